"""Draw which words of a clip's text meet which regions and moments.

Shape letters: L = text tokens, T = 16 frames, S = side in pixels, R = 7 cells a side, N = T * R * R visual tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.actions.geometry import REGION_POINTS
from pipeline.model.config import ALIGNED_GRID
from pipeline.training.alignment import (
    ClipFace,
    Mask,
    Told,
    even_mass,
    mass_of_words,
    place_of,
    region_cells,
    share_of,
)
from pipeline.training.alignment_scores import ASPECTS, ask_run

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList
    from pipeline.training.run_folder import RunFolder

_FRAME_PX = 112  # of a frame on the strip
_TRUE, _PADDED = "#00d0ff", "#9aa0a6"
_MOST_TOLD, _MOST_WORDS = 8, 40


def draw_alignment(
    path: Path,
    frames_TSS3: NDArray[np.uint8],
    text: str,
    spans: Sequence[tuple[int, int]],
    plan_LN: NDArray[np.floating],
    told: Sequence[Told],
    face: ClipFace,
    *,
    title: str = "",
) -> Path:
    """Write a PNG: the frames; under them, for each told action of this clip, where its words' mass lies (warm) and
    where and when it was by the claims (outlined); at the bottom each word by frame and by region.

    The heat of a strip is scaled to its own densest cell. In the tables at the bottom 1 is what even mass would give.
    """
    pairs = [(one, place_of(one, face)) for one in told]
    shown = [(one, place) for one, place in pairs if place is not None][:_MOST_TOLD]
    words = _words(text, spans, plan_LN)[:_MOST_WORDS]
    top = 1.05 * (len(shown) + 1) + 0.5
    height = top + 0.24 * max(len(words), 3) + 0.8
    picture = Figure(figsize=(16, height), layout="constrained")
    FigureCanvasAgg(picture)
    strips, tables = np.asarray(picture.subfigures(2, 1, height_ratios=[top, height - top])).tolist()
    axes = strips.subplots(len(shown) + 1, 1, squeeze=False)[:, 0]
    frames = _frames(frames_TSS3)
    _strip(axes[0], frames, face, "frames")
    chance_TRR = even_mass(face)
    for ax, (one, place) in zip(axes[1:], shown, strict=True):
        mass_TRR = mass_of_words(plan_LN, spans, one.start, one.end)
        if mass_TRR is None:
            _strip(ax, frames // 3, face, f"“{one.words}”\nno mass")
            continue
        own, chance = share_of(mass_TRR, place), share_of(chance_TRR, place)
        _strip(ax, _heated(frames, mass_TRR), face, f"“{one.words}”\n{one.action.replace('_', ' ')}\n{one.side}")
        _outline(ax, place.both_TRR)
        said = (f"{name} {getattr(own, name):.0%} (chance {getattr(chance, name):.0%})" for name in ASPECTS)
        ax.text(1.004, 0.5, "\n".join(said), transform=ax.transAxes, va="center", fontsize=8)
    axes[0].text(1.004, 0.5, "region 99% (chance 99%)", transform=axes[0].transAxes, fontsize=8, alpha=0)  # as wide
    strips.suptitle(f"{title}\n{text}" if title else text, fontsize=10, x=0.01, ha="left", wrap=True)
    _tables(tables, words, face, chance_TRR)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, format="png", dpi=100)
    return path


def draw_alignments(
    run: RunFolder, clips: ClipList, positions: Sequence[int], folder: Path, *, device: str = "cpu"
) -> list[Path]:
    """A picture for each of these clips that tells an action of the face, named by clip, of a finished run.

    Raises:
        EvaluationError, RunError, CheckpointError: as `measure_alignment`.
    """
    paths = []
    for scorer, reader, position, plan_LN in ask_run(run, clips, positions, device=device):
        frames_TSS3 = np.asarray(reader.cells(position)[0], np.uint8)
        row = clips.table.select(["clip_id", "path", "label"]).slice(position, 1).to_pylist()[0]
        paths.append(
            draw_alignment(
                folder / f"{row['clip_id']}.png",
                frames_TSS3,
                scorer.text(position) or "",
                scorer.spans(position),
                plan_LN,
                scorer.told(position),
                scorer.face(position),
                title=f"{row['path']} ({row['label'] or 'no label'})",
            )
        )
    return paths


def _words(
    text: str, spans: Sequence[tuple[int, int]], plan_LN: NDArray[np.floating]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Each token that moves mass, pieces of a word joined, with its mass of sum 1."""
    joined: list[tuple[int, int]] = []
    for row, (start, end) in enumerate(spans):
        if plan_LN[row].sum() > 0:
            if joined and joined[-1][1] == start and text[start : start + 1].isalnum():
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
    masses = [(text[start:end], mass_of_words(plan_LN, spans, start, end)) for start, end in joined]
    return [(word, mass) for word, mass in masses if mass is not None]


def _frames(frames_TSS3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([cv2.resize(frame, (_FRAME_PX, _FRAME_PX), interpolation=cv2.INTER_AREA) for frame in frames_TSS3])


def _heated(frames: NDArray[np.uint8], mass_TRR: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The frames, dark, with the mass over them."""
    heat = np.stack([cv2.resize(cells, (_FRAME_PX, _FRAME_PX), interpolation=cv2.INTER_LINEAR) for cells in mass_TRR])
    heat = np.sqrt(heat / max(float(heat.max()), 1e-12))[..., None]  # the root shows what is faint
    grey = frames.astype(np.float64).mean(axis=3, keepdims=True) * 0.55
    warm = np.array([255.0, 150.0, 40.0])
    mixed: NDArray[np.uint8] = np.clip(grey * (1 - 0.75 * heat) + warm * 0.9 * heat, 0, 255).astype(np.uint8)
    return mixed


def _strip(ax: Axes, frames: NDArray[np.uint8], face: ClipFace, label: str) -> None:
    """Frames side by side, with their times."""
    strip = np.concatenate([np.broadcast_to(f, (*f.shape[:2], 3)) for f in frames], axis=1)
    ax.imshow(strip, interpolation="nearest", aspect="equal")
    middles = (np.arange(len(frames)) + 0.5) * _FRAME_PX
    times = [f"{t:.1f}" if not p else "–" for t, p in zip(face.times_T, face.is_padding_T, strict=True)]  # noqa: RUF001
    ax.set_xticks(middles, times, fontsize=7)
    ax.tick_params(length=0, pad=1)
    ax.set_yticks([])
    ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8, labelpad=4)
    for edge in ax.spines.values():
        edge.set_visible(False)


def _outline(ax: Axes, both_TRR: Mask) -> None:
    """A line around the cells where and when the action was."""
    cell = _FRAME_PX / ALIGNED_GRID
    for frame, cells in enumerate(both_TRR):
        padded = np.pad(cells, 1)
        for row, column in np.argwhere(cells):
            x, y = frame * _FRAME_PX + column * cell, row * cell
            edges = (
                (padded[row, column + 1], (x, x + cell), (y, y)),
                (padded[row + 2, column + 1], (x, x + cell), (y + cell, y + cell)),
                (padded[row + 1, column], (x, x), (y, y + cell)),
                (padded[row + 1, column + 2], (x + cell, x + cell), (y, y + cell)),
            )
            for is_inside, xs, ys in edges:
                if not is_inside:
                    ax.plot(xs, ys, color=_TRUE, linewidth=1, clip_on=False)


def _tables(
    figure: Figure, words: Sequence[tuple[str, NDArray[np.float64]]], face: ClipFace, chance_TRR: NDArray[np.float64]
) -> None:
    """Words by frames, and words by regions, as multiples of even mass."""
    by_frame, by_region = figure.subplots(1, 2, width_ratios=[16, 6])
    if not words:
        by_frame.set_axis_off()
        by_region.set_axis_off()
        return
    names = [word for word, _ in words]
    even_T = np.maximum(chance_TRR.sum(axis=(1, 2)), 1e-12)
    in_time = np.stack([np.where(face.is_padding_T, np.nan, mass.sum(axis=(1, 2)) / even_T) for _, mass in words])
    cells = {region: region_cells(face, region, "both", dilate=0) for region in REGION_POINTS}
    in_space = np.array(
        [[mass[at].sum() / max(chance_TRR[at].sum(), 1e-12) for at in cells.values()] for _, mass in words]
    )
    times = [f"{time_s:.1f}" for time_s in face.times_T]
    for ax, values, columns in ((by_frame, in_time, times), (by_region, in_space, list(cells))):
        shown = ax.imshow(values, cmap="RdBu_r", vmin=0, vmax=2, aspect="auto", interpolation="nearest")
        ax.set_facecolor(_PADDED)
        ax.set_xticks(range(len(columns)), columns, fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        ax.tick_params(length=0)
    by_frame.set_xlabel("seconds from the track's start", fontsize=8)
    bar = figure.colorbar(shown, ax=by_region, fraction=0.05, pad=0.02, extend="max")
    bar.set_label("mass, times even", fontsize=8)
