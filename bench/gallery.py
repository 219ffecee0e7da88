"""How quickly a gallery of many rows opens, filters and searches, in headless Chromium, and what memory it takes.

    python -m bench.gallery --rows 10000 --folder build/bench-gallery

The corpus is made up: short texts, three classes, pictures of 32 px, a face of two frames. Times are the browser's own
(performance API); a filter's is from the event to the next frame on the screen.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline import snapshot as snapshots
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.store import Receipt, Store
from schemas.actions import ACTION_SIDES, ACTIONS, FACIAL_ACTIONS, REGIONS, TOLD_ACTIONS
from schemas.corpus import TABLES
from schemas.table import write_cell
from schemas.tracks import FACE_REGIONS, TRACKS

NUM_FRAMES = 2
NUM_BUCKETS = 64
REPEATS = 7
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PAINTED = """() => new Promise((done) => {
  const told = () => Object.fromEntries(performance.getEntriesByType('paint').map((e) => [e.name, e.startTime]));
  const wait = () => ('first-contentful-paint' in told()) && document.readyState === 'complete'
    ? requestAnimationFrame(() => setTimeout(() => done({...told(),
        'loaded': performance.getEntriesByType('navigation')[0].loadEventEnd,
        'first rows': performance.getEntriesByName('rows')[0]?.startTime ?? null,
        'heap MB': performance.memory.usedJSHeapSize / 1e6})))
    : setTimeout(wait, 10);
  wait();
})"""

CHANGED = """([id, value, kind]) => new Promise((done) => {
  const control = document.getElementById(id);
  control.value = value;
  const began = performance.now();
  control.dispatchEvent(new Event(kind));
  const script = performance.now() - began;
  requestAnimationFrame(() => setTimeout(() => done([script, performance.now() - began])));
})"""


def write_rows(folder: Path, num_rows: int) -> Corpus:
    """A corpus of `num_rows` tracks, one a video."""
    store = Store.open_or_create(folder, NUM_BUCKETS)
    chance = random.Random(0)
    names = sorted(FACIAL_ACTIONS)
    landmarks = write_cell(TRACKS.field("landmarks_px"), np.full((NUM_FRAMES, 478, 3), 112, np.float32))
    zeros = {"boxes_xyxy": (4,), "transforms": (2, 3), "pose_deg": (3,)}
    cells = {
        name: write_cell(TRACKS.field(name), np.zeros((NUM_FRAMES, *shape), np.float32))
        for name, shape in zeros.items()
    }
    cells["visibility"] = write_cell(TRACKS.field("visibility"), np.ones((NUM_FRAMES, len(FACE_REGIONS)), np.float32))
    measures = np.zeros((NUM_FRAMES, len(FACIAL_ACTIONS), len(ACTION_SIDES)), np.float32)
    rows: dict[str, list[list[dict[str, Any]]]] = {
        name: [[] for _ in range(NUM_BUCKETS)]
        for name in ("videos", "tracks", "crops", "actions", "drafts", "descriptions")
    }
    for number in range(num_rows):
        video_id, track_id = f"{number * 7919:032x}", f"{number:032x}"
        ids = {"video_id": video_id, "track_id": track_id, "unit_key": track_id}
        picture = np.full((32, 32, 3), [chance.randrange(256) for _ in range(3)], np.uint8)
        cv2.circle(picture, (16, 16), 9, (200, 200, 200), -1)
        jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        action = chance.choice(names)
        how = chance.choice(("slightly", "clearly", "strongly"))
        said = f"The {action.replace('_', ' ')} shows {how}, number {number}. "
        claim = {
            "action": action,
            "region": TOLD_ACTIONS[action].region,
            "side": "left",
            "start_s": 0.2,
            "end_s": 0.8,
            "polarity": "present",
            "intensity": "slight",
            "source": "prose",
            "why": "measured",
            "verdict": chance.choice(("supported", "supported", "contradicted", "not_measurable")),
        }
        refined = chance.random() < 0.7
        bucket = store.bucket_of(video_id)
        rows["videos"][bucket].append(
            {
                "video_id": video_id,
                "unit_key": track_id,
                "path": f"folder_{number % 50}/clip_{number:05}.mp4",
                "other_paths": [],
                "size_bytes": 1,
                "duration_s": 1.0,
                "num_frames": 30,
                "mean_fps": 30.0,
                "width_px": 640,
                "height_px": 360,
                "rotation_deg": 0,
                "codec": "h264",
                "container": "mp4",
                "has_audio": False,
                "decoder": "decord",
                "label": chance.choice(("fear", "happiness", "neutral")),
                "split": chance.choice(("train", "test")),
            }
        )
        rows["tracks"][bucket].append(
            ids
            | cells
            | {
                "landmarks_px": landmarks,
                "start_s": 0.0,
                "end_s": 1.0,
                "num_frames": NUM_FRAMES,
                "frame_width_px": 640,
                "frame_height_px": 360,
                "times_s": [0.0, 1.0],
                "frame_indices": [0, 29],
                "is_gap_before": [False, False],
                "detection_scores": [0.9, 0.9],
                "presence": [0.9, 0.9],
                "median_face_px": chance.uniform(40, 200),
                "start_reason": "video_start",
                "end_reason": "video_end",
                "decoder": "decord",
                "detector": "BlazeFace",
                "weights": [],
                "cuts_s": [],
                "gaps": [],
                "sharpness": [1.0, 1.0],
                "identity_times_s": [],
                "identity_distances": [],
            }
        )
        for at in range(NUM_FRAMES):
            rows["crops"][bucket].append(
                ids | {"position": at, "time_s": float(at), "crop_jpeg": jpeg, "sharpness": 1.0}
            )
        event = {"action": action, "side": "left", "onset_s": 0.2, "apex_s": 0.5, "offset_s": 0.8}
        rows["actions"][bucket].append(
            ids
            | {
                "times_s": [0.0, 1.0],
                "blendshapes": write_cell(ACTIONS.field("blendshapes"), np.zeros((NUM_FRAMES, len(BLENDSHAPE_NAMES)))),
                "baseline": [0.0] * len(BLENDSHAPE_NAMES),
                "measures": write_cell(ACTIONS.field("measures"), measures),
                "rest_share": write_cell(ACTIONS.field("rest_share"), np.ones(measures.shape[1:])),
                "measurable": write_cell(ACTIONS.field("measurable"), np.ones(measures.shape)),
                "events": [event | {"peak": 0.4, "intensity": "slight"}],
                "motion_energy": write_cell(ACTIONS.field("motion_energy"), np.zeros((NUM_FRAMES, len(REGIONS)))),
                "motion_shares": [0.0] * len(REGIONS),
                "is_measurable": [True, chance.random() < 0.8],
                "unmeasured": [],
                "unclear": [],
            }
        )
        text = said + "The brows stay at rest while the head turns a little, and the gaze goes to the side. " * 2
        written = {"text": text, "claims": [claim], "num_text_tokens": 50, "saw_label": False}
        rows["drafts"][bucket].append(ids | written | {"evidence": "{}", "writer": "template", "text": said})
        rows["descriptions"][bucket].append(
            ids
            | written
            | {
                "text_version": 1,
                "status": "refined" if refined else "fallback",
                "asked": [],
                "fallback_reason": None if refined else chance.choice(("prose_contradicted", "prose_too_long")),
            }
        )
    receipts = []
    for name, buckets in rows.items():
        for bucket, listed in enumerate(buckets):
            with store.writer(TABLES[name], bucket, {"stage": name}) as writer:
                writer.append(TABLES[name].rows(listed))
            facts = {"num_units": len(listed), "num_rejected": 0, "num_transient": 0}
            receipts.append(Receipt(stage=name, bucket=bucket, key="0", files={name: writer.file}, **facts))
    snapshots.commit(store, receipts, parent=None, source="videos", config={}, software={"facescribe": "bench"})
    return Corpus(folder)


def measure(page_path: Path) -> dict[str, Any]:
    """Times in ms of opening the page and of what a person does there; the middle of some repeats, and the worst."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        opened = []
        for _ in range(REPEATS):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(page_path.as_uri())
            opened.append(page.evaluate(PAINTED))
            page.close()
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(page_path.as_uri())
        page.wait_for_timeout(1000)
        done: dict[str, list[list[float]]] = {}
        for turn in range(REPEATS):
            for what, (control, value, kind) in {
                "filter by class": ("by-label", ("fear", "neutral")[turn % 2], "change"),
                "all classes again": ("by-label", "*", "change"),
                "filter by action": ("by-action", ("jaw_drop", "brow_lower")[turn % 2], "change"),
                "all actions again": ("by-action", "*", "change"),
                "search": ("search", f"number {turn}", "input"),
                "search nothing": ("search", "", "input"),
                "worst first": ("sort", "worst", "change"),
                "as listed": ("sort", "", "change"),
            }.items():
                done.setdefault(what, []).append(page.evaluate(CHANGED, [control, value, kind]))
        heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
        elements = page.evaluate("document.querySelectorAll('*').length")
        browser.close()
    result: dict[str, Any] = {
        name: {"middle": round(statistics.median(values), 1), "worst": round(max(values), 1)}
        for name in opened[0]
        if None not in (values := [one[name] for one in opened])
    }
    for what, times in done.items():
        shown = [after for _, after in times]
        result[what] = {"middle": round(statistics.median(shown), 1), "worst": round(max(shown), 1)}
    return result | {"heap MB after": round(heap, 1), "elements": elements}


def main() -> None:
    """Make, write, open, and print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True, help="an empty or new folder, or one of an earlier run")
    asked = parser.parse_args()
    root = asked.folder / "corpus"
    corpus = Corpus(root) if root.is_dir() else write_rows(root, asked.rows)
    page = asked.folder / "gallery.html"
    began = time.perf_counter()
    write_gallery(corpus, page)
    took_s = time.perf_counter() - began
    pages = asked.folder / "gallery_pages"
    size = sum(file.stat().st_size for file in pages.iterdir()) if pages.is_dir() else 0
    written = {"rows": asked.rows, "written in s": round(took_s, 1), "page MB": round(page.stat().st_size / 1e6, 2)}
    print(json.dumps(written | {"other files MB": round(size / 1e6, 1)} | measure(page), indent=1))


if __name__ == "__main__":
    main()
