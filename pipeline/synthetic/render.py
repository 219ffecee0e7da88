"""Draw faces with expressions, poses and light into a frame, and say pixel by pixel whose face is seen.

A depth buffer in numpy: triangles become rows of pixels, the nearest fragment of each pixel is kept and shaded.
Pixel coordinates are continuous: (0, 0) is the outer corner of the first pixel.
Shape letters: N = faces, V = vertices, Q = quads, F = triangles, R = rows of triangles, P = pixels, K = attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.mesh import EYE, HAIR, LASHES, MOUTH, TEETH, TONGUE, FaceMesh
from pipeline.synthetic.person import Person, face_mesh
from pipeline.synthetic.raster import draw_triangles, signed_areas

_CAMERA_DM = 9.0  # from the middle of the face: mild perspective
_CHEST_SHARE = 0.25  # of the head's turn
_SHADED_PX = 360.0  # a face is drawn about this tall, then averaged down
_MAX_OVERSAMPLING = 2.0
_FACE_TEXELS = 320  # height of the face region in the finest texture
_DENT_DARKNESS = 25.0  # by decimetre
_REACH = {  # the mesh's own units that stop short of what faces do; at weight 1 they are drawn this much larger
    "browDown": 1.4,
    "browInnerUp": 1.4,
    "browOuterUp": 1.4,
    "eyeSquint": 1.2,
    "eyeWide": 1.4,
    "mouthDimple": 1.3,
    "mouthFrown": 1.4,
    "mouthFunnel": 1.2,
    "mouthLowerDown": 1.4,
    "mouthPress": 1.3,
    "mouthRollLower": 1.3,
    "mouthRollUpper": 1.2,
    "mouthShrugLower": 1.4,
    "mouthStretch": 1.4,
    "mouthUpperUp": 1.3,
    "noseSneer": 1.5,
}
_GAZE_AT_REST = np.array([0, 0.05], np.float32)  # rightwards and upwards; the mesh's eyes look a little down
_TWO_SIDED = (LASHES, HAIR)
_NO_SECOND_MAP = np.empty(0)  # both coordinates are in the first


@dataclass(frozen=True)
class FaceState:
    """What one person's face does in one frame.

    units: ARKit names to weights 0..1, left and right the person's own; angles in degrees with the signs of
    `pipeline.tracks.quality.pose_deg`; centre_xy: where the middle of the face is, in pixels of the frame; height_px:
    chin to hairline of the face at rest, seen from the front.
    """

    person: Person
    units: Mapping[str, float]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    centre_xy: tuple[float, float]
    height_px: float


@dataclass(frozen=True)
class Light:
    """One distant lamp and an even glow.

    direction: from the face to the lamp, x to the image's right, y up, z to the camera, of any length; strength and
    ambient: 1 shows a lit surface in its own colour; colour: of the lamp, RGB 0..1.
    """

    direction: tuple[float, float, float]
    ambient: float
    strength: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Rendered:
    """A frame and what is known of it.

    rgb uint8 [H, W, 3]; face_of_pixel int16 [H, W]: the number of the face whose face region is in front there, -1
    for none; num_face_pixels int64 [N]: what each face region would cover if nothing hid it and the frame had no end;
    boxes_xyxy float32 [N, 4]: the smallest box around each face region (hairline to chin, temple to temple), be it
    covered or outside the frame.
    """

    rgb: NDArray[np.uint8]
    face_of_pixel: NDArray[np.int16]
    num_face_pixels: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]


def render(background: NDArray[np.uint8], faces: Sequence[FaceState], light: Light) -> Rendered:
    """Draw the faces, later ones in front of earlier ones, over a background, uint8 [H, W, 3].

    Raises:
        ValueError: a unit is unknown.
    """
    rgb = background.copy()
    face_of_pixel = np.full(background.shape[:2], -1, np.int16)
    num_face_pixels = np.zeros(len(faces), np.int64)
    boxes_xyxy = np.zeros((len(faces), 4), np.float32)
    for number, face in enumerate(faces):
        tile = _draw(face, light, (background.shape[1], background.shape[0]))
        num_face_pixels[number] = np.count_nonzero(tile.is_face)
        boxes_xyxy[number] = tile.box_xyxy
        _lay_over(rgb, face_of_pixel, tile, number)
    return Rendered(rgb, face_of_pixel, num_face_pixels, boxes_xyxy)


@dataclass(frozen=True)
class _Tile:
    """One drawn person: rgb uint8 [h, w, 3] times its cover uint8 [h, w], and its place in the frame."""

    rgb: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    is_face: NDArray[np.bool_]
    left: int
    top: int
    box_xyxy: NDArray[np.float32]


def _lay_over(rgb: NDArray[np.uint8], face_of_pixel: NDArray[np.int16], tile: _Tile, number: int) -> None:
    height, width = rgb.shape[:2]
    rows = slice(max(tile.top, 0), max(min(tile.top + tile.cover.shape[0], height), 0))
    columns = slice(max(tile.left, 0), max(min(tile.left + tile.cover.shape[1], width), 0))
    of_tile = (
        slice(rows.start - tile.top, rows.stop - tile.top),
        slice(columns.start - tile.left, columns.stop - tile.left),
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    cover = tile.cover[of_tile]
    behind = rgb[rows, columns]
    behind[:] = cv2.add(cv2.multiply(behind, cv2.merge([255 - cover] * 3), scale=1 / 255), tile.rgb[of_tile])
    of_pixel = face_of_pixel[rows, columns]
    of_pixel[cover > 127] = -1
    of_pixel[tile.is_face[of_tile]] = number


def _draw(face: FaceState, light: Light, frame_px: tuple[int, int]) -> _Tile:
    mesh = face_mesh()
    vertices = _expressed(mesh, face)
    normals = _normals(mesh, vertices)
    dents = _dents(mesh, vertices, normals)
    turned, turned_normals = _turned(face, vertices, normals)
    xy, depth = _projected(face, turned)
    box_xyxy = _box_of_face(face, vertices)
    low, high = _tile_corners(xy, box_xyxy, frame_px)
    width, height = (high - low).tolist()
    oversampling = float(np.clip(_SHADED_PX / face.height_px, 1.0, _MAX_OVERSAMPLING))
    size = (round(width * oversampling), round(height * oversampling))
    xy_tile = (xy - low) * (np.array(size) / (width, height))
    seen = _seen_triangles(mesh, face.person, xy_tile)
    carried = _carried(face.person, dents, turned_normals, light)
    fragments = draw_triangles(xy_tile, depth, carried, mesh.triangles[seen], size)
    parts = mesh.parts_of_triangles[seen[fragments.triangles]]
    texture = _texture_for(face.person, face.height_px * oversampling)
    colours, is_face = _shaded(face.person, texture, parts, fragments.values, light)
    return _averaged(fragments.pixels, colours, is_face, size, (width, height), low, box_xyxy)


def _tile_corners(
    xy: NDArray[np.float64], box_xyxy: NDArray[np.float32], frame_px: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Low and high corner of what is drawn: the face, in the frame or not, and of the rest what the frame shows."""
    margin = 0.1 * (box_xyxy[2:] - box_xyxy[:2])
    low = np.minimum(np.maximum(xy.min(axis=0), 0), box_xyxy[:2] - margin)
    high = np.maximum(np.minimum(xy.max(axis=0), frame_px), box_xyxy[2:] + margin)
    return np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64)


def _expressed(mesh: FaceMesh, face: FaceState) -> NDArray[np.float32]:
    vertices = face.person.vertices.copy()
    for name, weight in face.units.items():
        if name not in mesh.units:
            raise ValueError(f"unknown facial unit {name!r}: expected one of {', '.join(sorted(mesh.units))}")
        if weight:
            vertices += (
                np.float32(weight * _REACH.get(name.removesuffix("Left").removesuffix("Right"), 1.0)) * mesh.units[name]
            )
    return vertices


def _normals(mesh: FaceMesh, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit normals [V, 3]: the mean over a vertex's quads, by area."""
    corners = vertices[mesh.quads]
    across = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    with_none = np.concatenate([across, np.zeros((1, 3), np.float32)])
    sums = with_none[mesh.quads_of_vertex].sum(axis=1)
    normals: NDArray[np.float32] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return normals


def _dents(mesh: FaceMesh, vertices: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each vertex lies below the plane of its neighbours [V], decimetres: folds and wrinkles are above zero."""
    with_none = np.concatenate([vertices, np.zeros((1, 3), np.float32)])
    counts = (mesh.neighbours < len(vertices)).sum(axis=1)
    middles = with_none[mesh.neighbours].sum(axis=1) / counts[:, None]
    dents: NDArray[np.float32] = np.einsum("vi,vi->v", middles - vertices, normals)
    return dents


def _turned(
    face: FaceState, vertices: NDArray[np.float32], normals: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vertices and normals [V, 3] in the pose, x to the image's right, y down, z away, the face's middle at zero.

    The chest follows the head's turn by a part only; between the two the neck bends.
    """
    head, chest = _rotation(face, 1.0), _rotation(face, _CHEST_SHARE)
    share = face.person.head_share[:, None]
    pivot = face.person.neck
    from_pivot = vertices - pivot
    turned = share * (from_pivot @ head.T) + (1 - share) * (from_pivot @ chest.T)
    turned_normals = share * (normals @ head.T) + (1 - share) * (normals @ chest.T)
    middle = head @ (face.person.middle - pivot)
    return (turned - middle).astype(np.float32), turned_normals.astype(np.float32)


def _box_of_face(face: FaceState, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    person = face.person
    edge = vertices[person.face] + person.face_shift - person.middle
    xy, _ = _projected(face, (edge @ _rotation(face, 1.0).T).astype(np.float32))
    return np.asarray(np.concatenate([xy.min(axis=0), xy.max(axis=0)]), np.float32)


def _rotation(face: FaceState, share: float) -> NDArray[np.float32]:
    """From the mesh's axes to the image's: pitch, then yaw, then roll, with the signs of `tracks.quality.pose_deg`."""
    angles = share * np.radians([face.yaw_deg, face.pitch_deg, face.roll_deg])
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch @ np.diag([1, -1, -1]), np.float32)


def _projected(face: FaceState, turned: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels of the frame [V, 2] and depth [V], which grows away from the camera."""
    scale = face.height_px / face.person.height_dm
    depth = turned[:, 2].astype(np.float64)
    xy = turned[:, :2] * (scale * _CAMERA_DM / (_CAMERA_DM + depth))[:, None]
    return xy + face.centre_xy, depth


def _seen_triangles(mesh: FaceMesh, person: Person, xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """The triangles [F, 3] that are drawn and turn their outside to the camera."""
    is_drawn = np.repeat(person.is_drawn, 2)
    is_drawn &= (signed_areas(xy, mesh.triangles) < 0) | np.isin(mesh.parts_of_triangles, _TWO_SIDED)
    return np.flatnonzero(is_drawn)


def _carried(
    person: Person, dents: NDArray[np.float32], normals: NDArray[np.float32], light: Light
) -> NDArray[np.float32]:
    """What is interpolated over triangles [V, 5]: surface coordinates (2), openness, diffuse light, gloss."""
    towards = np.array(light.direction, np.float32) * np.array([1, -1, -1], np.float32)
    towards /= np.linalg.norm(towards)
    halfway = towards + np.array([0, 0, -1], np.float32)
    halfway /= np.linalg.norm(halfway)
    openness = person.openness * np.clip(1 - _DENT_DARKNESS * np.maximum(dents - 0.001, 0), 0.25, 1)
    diffuse = np.clip((normals @ towards + 0.15) / 1.15, 0, None)
    gloss = np.clip(normals @ halfway, 0, None) ** 16
    return np.column_stack([person.surface, openness, openness * diffuse, openness * gloss]).astype(np.float32)


def _texture_for(person: Person, height_px: float) -> NDArray[np.uint8]:
    """The texture whose pixels are about as large as the picture's, where a finer one would sparkle."""
    halvings = round(np.log2(_FACE_TEXELS / height_px))
    return person.textures[int(np.clip(halvings, 0, len(person.textures) - 1))]


def _shaded(
    person: Person, texture: NDArray[np.uint8], parts: NDArray[np.int8], values: NDArray[np.float32], light: Light
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colour of the pixels [P, 3] and whether each is of the face region [P]."""
    painted = _sampled(texture, values[:, :2]) / 255
    albedo, is_face = painted[:, :3] ** 2, painted[:, 3] > 0.5
    shine = np.full(len(parts), 0.06, np.float32)
    for part, (colour, part_shine) in _paints(person).items():
        of_part = parts == part
        albedo[of_part], shine[of_part] = np.square(colour), part_shine
    of_eye = parts == EYE
    albedo[of_eye] = _eye(person, values[of_eye, :2])
    is_face |= (parts == EYE) | (parts == MOUTH) | (parts == TEETH) | (parts == TONGUE) | (parts == LASHES)
    shine[of_eye] = 0.25
    lit = light.ambient * values[:, 2:3] + light.strength * values[:, 3:4] * np.array(light.colour, np.float32)
    linear = albedo * lit + (light.strength * shine * values[:, 4])[:, None]
    return (255 * np.sqrt(np.clip(linear, 0, 1)) + 0.5).astype(np.uint8), is_face


def _paints(person: Person) -> dict[int, tuple[tuple[float, float, float], float]]:
    """Colour, as displayed, and shine of the parts that have one colour."""
    return {
        MOUTH: ((0.5, 0.2, 0.2), 0.0),
        TEETH: ((0.93, 0.91, 0.86), 0.1),
        TONGUE: (person.tongue, 0.1),
        LASHES: ((0.09, 0.07, 0.07), 0.0),
        HAIR: (person.hair, 0.15),
    }


def _sampled(texture: NDArray[np.uint8], surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """The texture's values [P, 4] at surface coordinates [P, 2], 0 to 1."""
    num, width = len(surface), 1024  # remap takes no list: the pixels are laid out as a picture
    places = np.zeros((-(-num // width) * width, 2), np.float32)
    places[:num] = surface * np.array(texture.shape[1::-1], np.float32) - 0.5
    grid = places.reshape(-1, width, 2)
    picture = cv2.remap(texture, grid, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture.reshape(-1, 4)[:num], np.float32)


def _eye(person: Person, direction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours [P, 3] of the eyeball by the sine of the angle from where it looks, rightwards and upwards [P, 2]."""
    radius = np.linalg.norm(direction - _GAZE_AT_REST, axis=1)[:, None]

    def inside(limit: float, softness: float) -> NDArray[np.float32]:
        return np.asarray(np.clip((limit - radius) / softness + 0.5, 0, 1), np.float32)

    colour = np.array([0.72, 0.68, 0.66], np.float32) * (1 - 0.25 * np.clip(radius - 0.6, 0, 1))
    iris = np.square(person.iris, dtype=np.float32) * (0.6 + 0.7 * np.clip(radius / 0.45, 0, 1) * inside(0.40, 0.1))
    colour = colour + inside(0.46, 0.08) * (iris - colour)
    return np.asarray(colour * (1 - 0.97 * inside(0.2, 0.06)), np.float32)


def _averaged(
    pixels: NDArray[np.int64],
    colours: NDArray[np.uint8],
    is_face: NDArray[np.bool_],
    size: tuple[int, int],
    size_px: tuple[int, int],
    low: NDArray[np.int64],
    box_xyxy: NDArray[np.float32],
) -> _Tile:
    """The tile at the frame's own scale, from one drawn at `size`."""
    opaque = np.full((len(pixels), 4), 255, np.uint8)
    opaque[:, :3] = colours
    picture = np.zeros(size[0] * size[1], np.uint32)
    picture[pixels] = opaque.view(np.uint32)[:, 0]  # four bytes at once
    region = np.zeros(size[0] * size[1], np.uint8)
    region[pixels] = np.where(is_face, 255, 0)
    rgba = cv2.resize(picture.view(np.uint8).reshape(*size[::-1], 4), size_px, interpolation=cv2.INTER_AREA)
    face_share = cv2.resize(region.reshape(size[::-1]), size_px, interpolation=cv2.INTER_AREA)
    return _Tile(
        rgb=np.asarray(rgba[..., :3], np.uint8),
        cover=np.asarray(rgba[..., 3], np.uint8),
        is_face=face_share > 127,
        left=int(low[0]),
        top=int(low[1]),
        box_xyxy=box_xyxy,
    )
