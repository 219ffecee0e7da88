"""FERV39k: 38,935 clips in 22 kinds of scenes, each with one label of seven and one official division.

On the disk, as published (2022)::

    0_7_LabelClips/Action/Happy/0267.mp4        videos
    2_ClipsforFaceCrop/Action/Happy/0267/*.jpg  cropped faces, a folder of frames a clip
    3_ClipsforScenImages/…                      whole pictures; not read
    4_setups/All_scenes/train_All.csv           no header, one space: `Action/Happy/0267 Happy`; also test_All.csv
    4_setups/22_scenes/…                        the same for each scene, with the scene in the name of file or folder

What copies differ in: `0_7_labelClips`, `2_ClipforFaceCrop`, and `All_scenes` beside the clips. All of these are read.
A clip goes by its place, `Action/Happy/0267`: the number alone stands for many clips. Its label is written in the list
and in its path, and a clip where these differ is told of. About 3,257 clips of train have fewer than 16 frames.

Protocols: `ferv39k`, fold 1, train and test; and, where the lists of scenes are there, `ferv39k-scenes` with a fold
for each scene. No validation part. Neither persons nor sources are published, so that nothing keeps them apart: a
scene is no group, since every scene is on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.annotation_files import read_lines
from pipeline.videos.datasets.clip_notes import ClipNotes
from pipeline.videos.datasets.listing import DatasetError, Fault, FoldPart, Listing
from pipeline.videos.label_names import DFEW_LABELS, label_name

TITLE = "FERV39k (2022)"
LICENCE = "FERV39k: non-commercial research alone, no redistribution (password by e-mail from the authors)"
LABELS = DFEW_LABELS
PROTOCOL, SCENES_PROTOCOL = "ferv39k", "ferv39k-scenes"
PARTS = ("train", "test")

SCENES = (
    *("Action", "Argue", "Business", "Conflict", "Contest", "Crime", "Crisis", "DailyLife", "ElegantArt"),
    *("Experiment", "History", "Interview", "Liveshow", "Medicine", "OfficialEvent", "ScholarReport", "School"),
    *("Social", "Speech", "Talkshow", "Terror", "War"),
)

VARIANTS: Mapping[str, str] = {
    "faces": "cropped faces, a folder of frames a clip",
    "clips": "videos",
}

_PLACES: Mapping[str, Sequence[str]] = {
    "faces": ("2_ClipsforFaceCrop", "2_ClipforFaceCrop", "ClipsforFaceCrop"),
    "clips": ("0_7_LabelClips", "LabelClips"),
}

PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = {
    (PROTOCOL, "1", "train"): dict(zip(LABELS, (5854, 5523, 7790, 5906, 2502, 1833, 1680), strict=True)),
    (PROTOCOL, "1", "test"): dict(zip(LABELS, (1473, 1393, 1958, 1487, 638, 467, 431), strict=True)),
}
"""By the official lists, as counted in those of DFER-CLIP: 31,088 and 7,847."""

_LINE = re.compile(r"\s*(\S.*?)[\s,]+([A-Za-z]+)\s*")
_CLIP = re.compile(r"(\d{1,6})(?:\.\w+)?")
_SCENE_BY_NAME = {on_disk.plain_name(scene): scene for scene in SCENES}
_WORD_BY_LABEL = dict(zip(LABELS, ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear"), strict=True))


def read(folder: Path, variant: str | None = None) -> Listing:
    """List FERV39k below `folder`, which holds `2_ClipsforFaceCrop` or `0_7_LabelClips`, and `4_setups`.

    Raises:
        DatasetError: no clips of the variant, or no list of All_scenes, packed or not.
    """
    variant, place = on_disk.choose_variant(TITLE, folder, variant, _PLACES, lambda place: bool(_clips_in(place)))
    faults: list[Fault] = []
    paths = _paths(folder, place, faults, is_frames=variant == "faces")
    notes = ClipNotes(faults)
    read_from = _read_lists(folder, notes, faults)
    for name in notes.names:
        if name not in paths:
            faults.append(Fault("missing", name, f"no {'folder' if variant == 'faces' else 'video'} in {place.name}"))
    if any(fault.kind == "missing" for fault in faults):
        for packed in on_disk.archives(place):
            faults.append(Fault("missing_file", on_disk.below(folder, packed), "still packed: unpack it"))
    faults.extend(notes.extra(paths, "no list of All_scenes names it"))
    return Listing(
        dataset="ferv39k",
        variant=variant,
        folder=folder,
        clips=notes.clips(paths, licence=LICENCE, splits=notes.parts_of(PROTOCOL, "1")),
        faults=tuple(faults),
        annotation_files=tuple(sorted(on_disk.below(folder, path) for path in read_from)),
        is_frames=variant == "faces",
        published=PUBLISHED,
    )


def _clips_in(place: Path) -> list[tuple[str, str, Path]]:
    """Scene, label's word and folder, of every folder that holds clips of one label, as they are written."""
    return [
        (scene.name, word.name, Path(word))
        for scene in on_disk.entries(place)
        if scene.is_dir()
        for word in on_disk.entries(Path(scene))
        if word.is_dir() and on_disk.entries(Path(word))
    ]


def _paths(folder: Path, place: Path, faults: list[Fault], *, is_frames: bool) -> dict[str, str]:
    """Path of each clip by its name."""
    paths: dict[str, str] = {}
    for scene, word, holder in _clips_in(place):
        for entry in on_disk.entries(holder):
            is_clip = entry.is_dir() if is_frames else entry.name.lower().endswith(on_disk.VIDEO_ENDINGS)
            if not is_clip:
                continue
            path, name = on_disk.below(folder, entry.path), _name(scene, word, entry.name)
            if name is None:
                faults.append(Fault("extra", path, "expected SCENE/EMOTION/NUMBER with a scene and a label of the set"))
            elif name in paths:
                faults.append(
                    Fault("extra", path, f"clip {name} is there twice; {paths[name]} is the one that is read")
                )
            else:
                paths[name] = path
    return paths


def _name(scene: str, word: str, clip: str) -> str | None:
    """The name of a clip, in the spelling of the official lists; None if it can be none of this set."""
    known, label, number = _SCENE_BY_NAME.get(on_disk.plain_name(scene)), label_name(word), _CLIP.fullmatch(clip)
    if known is None or label not in LABELS or number is None:
        return None
    return f"{known}/{_WORD_BY_LABEL[label]}/{number[1]:0>4}"


def _read_lists(folder: Path, notes: ClipNotes, faults: list[Fault]) -> list[Path]:
    """Note what the lists say, those of all scenes first, and return the files."""
    top = on_disk.find(folder, "4_setups/All_scenes", "All_scenes", "4_setups", "EmoLabel")
    read_from: list[Path] = []
    packed = [
        path for place in (top, on_disk.find(folder, "4_setups"), folder) if place for path in on_disk.archives(place)
    ]
    for part in PARTS:
        path = on_disk.find(top, f"{part}_All.csv") if top else None
        if path is not None:
            read_from.append(path)
            _read_list(folder, path, PROTOCOL, "1", part, None, notes, faults)
            continue
        archives = [path for path in packed if re.search("setup|scene|all", path.name.lower())]
        detail = f"not there: the protocol has no {part} part"
        if archives:
            detail = f"{on_disk.below(folder, archives[0])} is still packed: unpack it where it lies"
        faults.append(Fault("missing_file", f"4_setups/All_scenes/{part}_All.csv", detail))
    if not read_from and not any("packed" in fault.detail for fault in faults if fault.kind == "missing_file"):
        raise DatasetError(
            f"{folder}: clips of {TITLE}, but no 4_setups/All_scenes/train_All.csv or test_All.csv: put them "
            "beside the clips, as they come with the set"
        )
    scenes = on_disk.find(folder, "4_setups/22_scenes", "22_scenes")
    for path in sorted(scenes.rglob("*.csv")) if scenes else []:
        said = re.search("train|test", path.name.lower()) or re.search("train|test", path.parent.name.lower())
        scene = _scene_of(path)
        if said is None or scene is None:
            detail = "expected train or test, and a scene of the set, in the name of the file or of its folder"
            faults.append(Fault("bad_line", on_disk.below(folder, path), f"{detail}: the file is left out"))
            continue
        read_from.append(path)
        _read_list(folder, path, SCENES_PROTOCOL, scene, said[0], scene, notes, faults)
    return read_from


def _scene_of(path: Path) -> str | None:
    for text in (path.stem, path.parent.name):
        words = [_SCENE_BY_NAME.get(on_disk.plain_name(word)) for word in (text, *re.split(r"[_\s-]+", text))]
        found = {word for word in words if word}
        if len(found) == 1:
            return found.pop()
    return None


def _read_list(
    folder: Path,
    path: Path,
    protocol: str,
    fold: str,
    part: str,
    scene: str | None,
    notes: ClipNotes,
    faults: list[Fault],
) -> None:
    for where, line in read_lines(folder, path, faults):
        found = _LINE.fullmatch(line)
        parts = re.split(r"[/\\]", found[1].strip("/\\")) if found else []
        if scene and len(parts) == 2:
            parts = [scene, *parts]
        name = _name(*parts[-3:]) if len(parts) >= 3 else None
        if found is None or name is None:
            detail = f"expected SCENE/EMOTION/NUMBER EMOTION, such as Action/Happy/0267 Happy, got {line.strip()!r}"
            faults.append(Fault("bad_line", where, detail))
            continue
        notes.part(name, FoldPart(protocol, fold, part), where)
        label, of_path = label_name(found[2]), label_name(name.split("/")[1])
        if label not in LABELS:
            faults.append(Fault("unknown_label", where, f"clip {name}: {found[2]!r} is none of {', '.join(LABELS)}"))
            continue
        notes.label(name, label, where)
        if label != of_path:
            notes.label(name, of_path, f"{where} (its path)")
