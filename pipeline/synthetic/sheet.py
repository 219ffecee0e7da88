"""A contact sheet of a synthetic corpus: a filmstrip per clip, with the true boxes drawn into it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.corpus import read_truth
from pipeline.videos.frames import av_version, read_frames
from schemas.table import read_cell
from schemas.truth import TRUTH

MOST_CLIPS = 24

_TEXT_PX, _LINE_PX, _GAP_PX = 180, 17, 4
_SEEN, _COVERED = (90, 220, 90), (235, 120, 60)
_COVERED_BELOW = 0.5


def write_sheet(folder: Path, path: Path, *, clips: int = MOST_CLIPS, columns: int = 8, height_px: int = 100) -> Path:
    """Write a PNG of the first `clips` clips of a finished corpus, `columns` frames of each in turn.

    Boxes are the truth's: green, or orange where less than half of the face is seen.

    Raises:
        FileNotFoundError: the folder holds no finished corpus.
        VideoError: a video does not decode.
    """
    rows = sorted(read_truth(folder).to_pylist(), key=lambda row: (row["clip"], row["face"]))
    by_clip = itertools.groupby(rows, key=lambda row: row["clip"])
    strips = [
        _strip(folder / name, list(faces), columns, height_px) for name, faces in itertools.islice(by_clip, clips)
    ]
    width = max(strip.shape[1] for strip in strips)
    sheet = np.concatenate(
        [cv2.copyMakeBorder(s, 0, _GAP_PX, 0, width - s.shape[1], 0, value=(255,) * 3) for s in strips]
    )
    if not cv2.imwrite(str(path), sheet[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"cannot write {path}")
    return path


def _strip(video: Path, faces: Sequence[dict[str, Any]], columns: int, height_px: int) -> NDArray[np.uint8]:
    """What a clip is, and `columns` of its frames [height_px, ., 3]."""
    shown = _telling_frames(faces, columns)
    boxes = [read_cell(TRUTH.field("boxes_xyxy"), face["boxes_xyxy"]) for face in faces]
    pictures = [_caption(faces, height_px)]
    for frame in read_frames(video, av_version()):
        if frame.index not in shown:
            continue
        scale = height_px / frame.rgb.shape[0]
        width_px = round(frame.rgb.shape[1] * scale)
        small = cv2.resize(frame.rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)
        for face, boxes_T4 in zip(faces, boxes, strict=True):
            if face["is_present"][frame.index]:
                colour = _SEEN if face["visible_share"][frame.index] >= _COVERED_BELOW else _COVERED
                left, top, right, bottom = (round(float(side)) for side in boxes_T4[frame.index] * scale)
                cv2.rectangle(small, (left, top), (right, bottom), colour, 1)
        pictures.append(np.asarray(small, np.uint8))
    return np.concatenate(pictures, axis=1)


def _telling_frames(faces: Sequence[dict[str, Any]], count: int) -> set[int]:
    """The middles of `count` equal stretches; where a face is covered or away, the frame in which least is seen."""
    seen = np.array([face["visible_share"] for face in faces]).min(axis=0)
    stretches = [part for part in np.array_split(np.arange(len(seen)), count) if len(part)]
    worst = {
        int(part[seen[part].argmin()]) for part in stretches if seen[part].min() < _COVERED_BELOW <= seen[part].max()
    }
    calm = {int(part[len(part) // 2]) for part in stretches if not worst & set(part.tolist())}
    return worst | calm


def _caption(faces: Sequence[dict[str, Any]], height_px: int) -> NDArray[np.uint8]:
    """Number, label and distractors of a clip, black on white."""
    caption = np.full((height_px, _TEXT_PX, 3), 255, np.uint8)
    lines = [faces[0]["clip"].partition("_")[0], faces[0]["label"], *(f"+ {name}" for name in faces[0]["distractors"])]
    for number, line in enumerate(lines, start=1):
        place = (6, _LINE_PX * number)
        cv2.putText(caption, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return caption
