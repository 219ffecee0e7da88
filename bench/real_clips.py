"""Tracks and curves of real videos, to be held against what can be seen: tables, and a contact sheet of each track.

    python bench/real_clips.py

Prints tables in Markdown and writes one picture for each track below build/real_clips: crops at equal steps of time,
each with its moment and the scores of smile, jaw and brow. The videos are not ours: keep the pictures to yourself.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.length import machine, run_stages
from pipeline.assets import fetch_all
from pipeline.inspection.corpus import Corpus

VIDEOS = (
    "WolfgangLanger_Pexels.mp4",
    "single_face.mp4",
    "carphone_pristine.mp4",
    "face_noface.mov",
    "noface_face.mov",
    "no_face.mp4",
)
CURVES = {"smile": ("mouthSmileLeft", "mouthSmileRight"), "jaw": ("jawOpen",), "brow": ("browInnerUp",)}
OUT = Path(__file__).resolve().parents[1] / "build" / "real_clips"
MOMENTS = 8


def main() -> None:
    """Run the stages, print, draw."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as work:
        source, root = Path(work, "videos"), Path(work, "corpus")
        source.mkdir()
        for path in fetch_all(VIDEOS).values():
            shutil.copy(path, source)
        run_stages(source, root, workers=2)
        show(Corpus(root))


def show(corpus: Corpus) -> None:
    """The tables, and the pictures."""
    paths = {row["video_id"]: row["path"] for row in corpus.arrow("videos", ["video_id", "path"]).to_pylist()}
    events = {row["track_id"]: row["events"] for row in corpus.arrow("actions", ["track_id", "events"]).to_pylist()}
    tracks = corpus.arrow("tracks").to_pylist()
    print("| video | track, s | begins, ends | gaps | largest identity distance | mean visibility |")
    print("|---|---|---|---|---|---|")
    for track in sorted(tracks, key=lambda row: (paths[row["video_id"]], row["start_s"])):
        seen = np.frombuffer(track["visibility"], np.float32).mean()
        print(
            f"| {paths[track['video_id']]} | {track['start_s']:.2f} to {track['end_s']:.2f} "
            f"| {track['start_reason']}, {track['end_reason']} | {len(track['gaps'])} "
            f"| {max(track['identity_distances'], default=float('nan')):.2f} | {seen:.2f} |"
        )
    for track in tracks:
        name = f"{paths[track['video_id']]} {track['start_s']:.1f} s"
        curves, crops = corpus.blendshapes(track["track_id"]), _crops(corpus, track)
        at = np.linspace(0, len(crops) - 1, MOMENTS).round().astype(int).tolist()
        scores = {curve: curves[list(shapes)].max(axis=1).to_numpy() for curve, shapes in CURVES.items()}
        print(f"\n**{name}**\n\n| s | " + " | ".join(f"{track['times_s'][i]:.1f}" for i in at) + " |")
        print("|---|" + "---|" * MOMENTS)
        for curve, values in scores.items():
            print(f"| {curve} | " + " | ".join(f"{values[i]:.2f}" for i in at) + " |")
        print("\n" + ("; ".join(_in_words(event) for event in events.get(track["track_id"], ())) or "no event"))
        _draw(OUT / f"{name.replace(' ', '_')}.png", track, crops, scores, at)


def _in_words(event: dict[str, Any]) -> str:
    return (
        f"{event['intensity']} {event['action'].replace('_', ' ')} ({event['side']}) "
        f"{event['onset_s']:.1f} to {event['offset_s']:.1f} s, apex {event['apex_s']:.1f}"
    )


def _crops(corpus: Corpus, track: dict[str, Any]) -> list[bytes]:
    rows = corpus.of_track("crops", track["video_id"], track["track_id"], ["position", "crop_jpeg"])
    return [row["crop_jpeg"] for row in rows.sort_by("position").to_pylist()]


def _draw(
    path: Path, track: dict[str, Any], crops: list[bytes], scores: dict[str, NDArray[Any]], at: list[int]
) -> None:
    tiles = []
    for i in at:
        tile: Any = cv2.imdecode(np.frombuffer(crops[i], np.uint8), cv2.IMREAD_COLOR)
        words = [f"{track['times_s'][i]:.1f} s", *(f"{curve} {values[i]:.2f}" for curve, values in scores.items())]
        for line, text in enumerate(words):
            for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(tile, text, (6, 20 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)
        tiles.append(tile)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.hstack(tiles))


if __name__ == "__main__":
    main()
