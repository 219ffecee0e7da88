"""Build a corpus of 20,000 small videos in steps, in one process, and watch what it takes all the while.

    python bench/soak.py data/soak                      # 100, 1,000, 10,000 and 20,000 videos; about an hour and a half
    python bench/soak.py data/soak --steps 100,1000     # a short one; the same command goes on where it stopped
    python bench/soak.py data/real --steps 100,1000 --networks real

Each step adds videos to the folder and builds again, against one Prefect server and a language-model server that
answers by rule (tests/answer_server.py). Then `facescribe build` is run again as a command, which must find nothing to
do, then `facescribe plan`, and `facescribe check`, which must find no fault.

The videos are 160 x 160 px and last a second, in six frames. 240 clips are rendered (pipeline/synthetic), and each
video is one of them, lit and grained by a seed of its own and encoded: other bytes and other pixels, but only 240
performances. One in ten has twelve frames, which the config of this bench asks of a motion tensor; one in a hundred is
no video, one in a hundred shows no face.

Two thirds of such a build is the work of three networks (detector, landmarks, identity), whose cost is the same for the
first video and the last. By default they are asked once for each picture of the 240 clips; after that a stand-in gives
what they said then, moved by a twentieth of a pixel, for the picture whose number stands as black and white blocks at
its top. All else is as ever. `--networks real` asks them each time.

The question of the usual prompt holds three notes, which a few faces have in common, so that few questions are asked
and the journal answers the rest. So the last build has another prompt, which also holds all that was measured: nearly
every text is then a question of its own.

Written into the folder: `minutes.jsonl` (memory, open files, threads and units done, by time) and `steps.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NUM_BASES, SIZE = 240, (160, 160)
SHORT, LONG = 6, 12
"""Frames of nine videos in ten, and of the tenth; each lasts a second."""

BUCKETS = 32
EVERY_S = 15.0

PACE_OVER = 8
"""Lines of what was watched, over which units are counted: a shard goes through six stages, of which some are quick."""

ANSWERS = """
from collections import deque
from tests.answer_server import answering, join_notes
def answer(request):
    notes = "Notes: " + request["messages"][-1]["content"].rpartition("Notes: ")[2]
    return join_notes({"messages": [{"content": notes}]})
with answering() as server:
    server.answer, server.requests = answer, deque(maxlen=1)  # it would else keep all of them
    print(server.address, flush=True)
    input()
"""

COMMANDS = ("build", "plan", "check")
STAGES = {
    "probe_videos",
    "extract_tracks",
    "measure_actions",
    "encode_motion",
    "draft_descriptions",
    "refine_descriptions",
}


def main() -> None:
    """Every step that is not done, and a table of all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where videos, corpus and figures lie")
    parser.add_argument("--steps", default="100,1000,10000,20000", help="videos after each step")
    parser.add_argument("--networks", choices=["recorded", "real"], default="recorded")
    parser.add_argument("--workers", type=int, default=2, help="shards side by side")
    parser.add_argument("--plot", type=Path, help="only draw what was watched so far into this PNG")
    parser.add_argument("--make", type=int, help="only make so many videos")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if arguments.make is not None:
        make_videos(folder, arguments.make)
        return
    if arguments.plot is not None:
        plot(folder, arguments.plot)
        return
    steps = [int(step) for step in arguments.steps.split(",")]
    os.environ |= {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    from flows.prefect_api import prefect_api

    if arguments.networks == "recorded":
        use_recorded(folder)
    rows = [json.loads(line) for line in _lines(folder / "steps.jsonl")]
    done = {(row["videos"], row.get("is_asked_anew", False)) for row in rows}
    with answers_by_rule() as server, watching(folder / "minutes.jsonl"), prefect_api():
        for step, prompt in [*((step, None) for step in steps), (steps[-1], evidence_prompt(folder))]:
            if (step, prompt is not None) not in done:
                subprocess.run([sys.executable, __file__, str(folder), "--make", str(step)], check=True)
                row = one_step(folder, step, prompt, server, arguments.workers)
                with (folder / "steps.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
    print(table(folder))


def one_step(folder: Path, videos: int, prompt: Path | None, server: str, workers: int) -> dict[str, Any]:
    """Add videos up to a number, build, and run the commands that must find nothing to do and no fault."""
    from flows.building import run_flow
    from pipeline.stage import Resources

    source, root = folder / "videos", folder / "corpus"
    for number in range(videos):
        place = source / _name(number)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / "made" / _name(number), place)
    began = time.monotonic()
    # The texts are the notes themselves, so that faces that do the same are told in the same words.
    how = Resources(server=server, max_duplicate_share=1.0, workers=workers)
    report = run_flow(source, root, config(prompt), how, BUCKETS)
    build_s = time.monotonic() - began
    (folder / "build.toml").write_text(as_toml(prompt))
    commands = {name: command(name, source, root, folder / "build.toml", server) for name in COMMANDS}
    assert "nothing to do" in commands["build"]["said"], commands["build"]["said"]
    assert commands["check"]["status"] == 0, commands["check"]["said"]
    return {
        "videos": videos,
        "is_asked_anew": prompt is not None,
        "build_s": build_s,
        "in_flow_s": report.wall_s,
        "stages": {name: stage.model_dump() for name, stage in report.stages.items()},
        "commands": commands,
        "counts": counts(root),
        "bytes": sizes(root),
    }


def evidence_prompt(folder: Path) -> Path:
    """A prompt with all that was measured."""
    path = folder / "evidence.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        'system = "Join the notes."\nuser = "{evidence}\\nNotes: {notes}."\nagain = "{evidence}\\nNotes: {notes}."\n'
    )
    return path


def config(prompt: Path | None = None) -> Any:
    """Small crops, and motion tensors of the longer videos alone: 20,000 of them would be 50 GB."""
    from pipeline.descriptions.refine_stage import RefineConfig
    from pipeline.motion.config import MotionConfig
    from pipeline.tracks.config import TrackConfig
    from pipeline.walk import BuildConfig
    from tests.real_corpus import asking_by_rule

    tracks = TrackConfig(crop_px=96, jpeg_quality=85)
    refine = RefineConfig() if prompt is None else RefineConfig(prompt=str(prompt))
    return asking_by_rule(BuildConfig(tracks=tracks, motion=MotionConfig(min_frames=LONG - 1), descriptions=refine))


def as_toml(prompt: Path | None) -> str:
    """The same as a build file, for the commands."""
    from tests.answer_server import MODEL

    sections: dict[str, dict[str, Any]] = {
        "tracks": {"crop_px": 96, "jpeg_quality": 85},
        "motion": {"min_frames": LONG - 1},
        "descriptions": {"model": MODEL} | ({} if prompt is None else {"prompt": str(prompt)}),
        "resources": {"max_duplicate_share": 1.0},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{field} = {json.dumps(value)}\n" for field, value in fields.items())
        for name, fields in sections.items()
    )


def command(name: str, source: Path, root: Path, build_file: Path, server: str) -> dict[str, Any]:
    """Run a command as a user does: its status, seconds, peak memory in MiB, and last words."""
    asked = [sys.executable, "-m", "flows", name, *([] if name == "check" else [str(source)]), "--root", str(root)]
    asked += [] if name == "check" else ["--config", str(build_file), "--server", server]
    began = time.monotonic()
    peak_mib, used_before = 0.0, cpu_of_ended()
    with tempfile.TemporaryFile("w+") as words, subprocess.Popen(asked, stdout=words, stderr=words) as process:
        while process.poll() is None:
            peak_mib = max(peak_mib, peak_of(process.pid))
            time.sleep(0.05)
        seconds = time.monotonic() - began
        words.seek(0)
        facts = {"s": seconds, "cpu_s": cpu_of_ended() - used_before, "mib": peak_mib}
        return {"status": process.returncode, **facts, "said": words.read()[-600:]}


def cpu_of_ended() -> float:
    """Seconds of processors that ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_of(pid: int) -> float:
    """The most memory that a process has held so far, in MiB: what the kernel tells its parent counts the parent's."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def counts(root: Path) -> dict[str, int]:
    """Rows by table, units by outcome, and the number of the snapshot."""
    from pipeline.inspection.corpus import Corpus

    corpus = Corpus(root)
    ledger = corpus.arrow("ledger", ["stage", "outcome", "reason"]).to_pylist()
    ended = Counter(f"{row['stage']} {row['outcome']} {row['reason'] or ''}".strip() for row in ledger)
    return {"snapshot": corpus.snapshot.number, **corpus.snapshot.counts, **ended}


def sizes(root: Path) -> dict[str, int]:
    """Bytes and files below each folder of the corpus, and the bytes of the newest snapshot."""
    found: Counter[str] = Counter()
    for place, _, names in os.walk(root):
        top = Path(place).relative_to(root).parts[:1]
        for name in names:
            found[f"{top[0] if top else name} bytes"] += (Path(place) / name).stat().st_size
            found[f"{top[0] if top else name} files"] += 1
    found["newest snapshot bytes"] = max((root / "snapshots").glob("*.json")).stat().st_size
    return dict(found)


@contextmanager
def answers_by_rule() -> Iterator[str]:
    """A process that answers as a language-model server would; its address."""
    asked = [sys.executable, "-c", ANSWERS]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def watching(log_path: Path) -> Iterator[None]:
    """Write a line every EVERY_S seconds while the context is open."""
    from pipeline import progress

    began, is_over = time.time(), threading.Event()
    latest: dict[tuple[str, int], int] = {}
    ended: Counter[str] = Counter()

    def count(stage: str, bucket: int, done: int, total: int) -> None:
        ended[stage] += max(0, done - latest.get((stage, bucket), 0))
        latest[stage, bucket] = done

    def watch() -> None:
        while not is_over.wait(EVERY_S):
            line = {"s": time.time() - began, "at": time.time(), "done": dict(ended), "processes": processes()}
            with log_path.open("a") as log:
                log.write(json.dumps(line) + "\n")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        with progress.listening(count):
            yield
    finally:
        is_over.set()
        thread.join()


ROLES = {
    "pipeline.videos.decoding": "decoders",
    "prefect.server": "prefect server",
    "answer_server": "answers",
    "pipeline.supervise": "supervisor",
    "flows": "command",
}
"""What stands in a process's command, and what it is."""


def processes() -> dict[str, dict[str, int]]:
    """By role: how many there are, their memory, open files and threads together."""
    import psutil

    found: dict[str, dict[str, int]] = {}
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            words = " ".join(process.cmdline())
            role = "builder" if process is own else next((r for w, r in ROLES.items() if w in words), "other")
            facts = {"count": 1, "rss": process.memory_info().rss, "fds": process.num_fds()}
            facts["threads"] = process.num_threads()
            facts["cpu_s"] = int(sum(process.cpu_times()[:2]))
        except psutil.Error:
            continue
        of_role = found.setdefault(role, dict.fromkeys(facts, 0))
        for name, value in facts.items():
            of_role[name] += value
    return found


def make_videos(folder: Path, num_videos: int) -> None:
    """Make the videos that are not there yet; the same number always gives the same video."""
    made = folder / "made"
    missing = [number for number in range(num_videos) if not (made / _name(number)).exists()]
    if not missing:
        return
    bases = base_clips(folder)
    for number in missing:
        place = made / _name(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{os.getpid()}.{place.name}")
        write_video(part, bases, number)
        part.replace(place)


def base_clips(folder: Path, num: int = NUM_BASES) -> Any:
    """The rendered clips, uint8 [num, LONG, H, W, 3]; kept in the folder."""
    import numpy as np

    from pipeline.synthetic.clip import render_clip
    from pipeline.synthetic.plan import plan_clip

    kept = folder / "bases.npy"
    if not kept.exists():
        plans = (plan_clip(seed, size=SIZE, fps=LONG, seconds=1) for seed in range(num))
        bases = np.array([[*render_clip(plan)][:LONG] for plan in plans])
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, bases)
    return np.load(kept, mmap_mode="r")


def write_video(place: Path, bases: Any, number: int) -> None:
    """The video of a number: see the top of this file."""
    import av
    import numpy as np

    rng = np.random.default_rng([7, number])
    if number % 100 == 17:
        place.write_bytes(b"no video at all " + rng.bytes(500))
        return
    frames = np.asarray(bases[number % len(bases)])[:: 1 if number % 10 == 3 else LONG // SHORT]
    gain, grain = rng.uniform(0.85, 1.15), rng.normal(0, 2, (*SIZE, 3))
    if number % 100 == 42:
        frames = np.repeat(np.repeat(frames[:, :16, :16], 10, axis=1), 10, axis=2)  # a corner of the background
    with av.open(str(place), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=len(frames), options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.thread_count = 1
        for position, frame in enumerate(frames):
            grain = np.roll(grain, rng.integers(0, SIZE[0]), axis=1)
            picture = np.clip(frame * gain + grain, 0, 255).astype(np.uint8)
            if number % 100 != 42:
                write_code(picture, number % len(bases), position)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


BLOCK_PX, NUM_BITS = 8, 12
"""The code of a picture: a white block, a black one, then the bits of base and position."""


def write_code(picture: Any, base: int, position: int) -> None:
    """Write into a picture, uint8 [H, W, 3], which one it is."""
    bits = [1, 0, *(base * LONG + position >> bit & 1 for bit in range(NUM_BITS))]
    for number, bit in enumerate(bits):
        picture[:BLOCK_PX, number * BLOCK_PX : (number + 1) * BLOCK_PX] = 255 * bit


def read_code(picture: Any) -> int | None:
    """What `write_code` wrote; None of a picture without."""
    middles = picture[BLOCK_PX // 2, BLOCK_PX // 2 : (NUM_BITS + 2) * BLOCK_PX : BLOCK_PX].mean(axis=1)
    if middles[0] < 192 or middles[1] > 64:
        return None
    return sum(1 << bit for bit, grey in enumerate(middles[2:]) if grey > 128)


class RecordedNetworks:
    """Detector, landmarks and identity at once, as `extract.Networks` has them."""

    def __init__(self, recorded: dict[int, Any]) -> None:
        self._recorded = recorded
        self.detector = self.faces = self.identity = self

    def _of(self, rgb: Any) -> Any:
        return self._recorded.get(-1 if (code := read_code(rgb)) is None else code)

    def detect(self, rgb: Any, *, min_score: float) -> Any:
        """What the detector found in this picture, lit otherwise."""
        import numpy as np

        from pipeline.tracks.detectors import Detections

        said = self._of(rgb)
        if said is None:
            return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 6, 2), np.float32), np.zeros(0, np.float32))
        return said["detections"]

    def landmarks(self, rgb: Any, roi: Any) -> Any:
        """The landmarks of this picture's face, moved a little, each time in the same way."""
        import zlib

        import numpy as np

        from pipeline.tracks.networks import Landmarks

        said = self._of(rgb)
        if said is None:
            return Landmarks(np.zeros((478, 3), np.float32), 0.0)
        moved = np.random.default_rng(zlib.crc32(rgb)).normal(0, 0.05, (478, 3))
        return Landmarks((said["points"] + moved).astype(np.float32), said["presence"])

    def embed(self, rgb: Any, landmarks: Any) -> Any:
        """Who the clip's face is."""
        return self._of(rgb)["identity"]


def use_recorded(folder: Path) -> None:
    """Record what the networks say of the rendered clips, where that is not done, and let the track stage ask that."""
    import pickle

    from pipeline.tracks import stage as track_stage

    kept = folder / "recorded.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(record(base_clips(folder))))
    networks = RecordedNetworks(pickle.loads(kept.read_bytes()))
    track_stage.open_networks = lambda config: networks  # type: ignore[assignment,return-value]


def record(bases: Any) -> dict[int, Any]:
    """For each picture in which a face is seen, by its code: what each network says of it."""
    from pipeline.tracks.follow import FaceFollower
    from pipeline.tracks.stage import open_networks

    found: dict[int, Any] = {}
    tracks = config().tracks
    networks = open_networks(tracks)
    for base, frames in enumerate(bases):
        follower, identity = FaceFollower(networks.detector, networks.faces, tracks), None
        for position, frame in enumerate(frames[:: 1 if base % 10 == 3 else LONG // SHORT]):
            picture = frame.copy()
            write_code(picture, base, position)
            detections = networks.detector.detect(picture, min_score=tracks.min_detection_score)
            faces = follower.see(picture, may_be_cut=False)
            if not len(faces.presence) or not len(detections.scores):
                continue
            points = faces.landmarks_px[0]
            identity = networks.identity.embed(picture, points) if identity is None else identity
            said = {"points": points, "presence": float(faces.presence[0]), "identity": identity}
            found[base * LONG + position] = {"detections": detections, **said}
    return found


def _name(number: int) -> str:
    return f"{number // 1000:02d}/{number:05d}.mp4"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def title(row: dict[str, Any]) -> str:
    """What a step was."""
    return f"{row['videos']:,} videos" + (", asked anew" if row.get("is_asked_anew") else "")


def table(folder: Path) -> str:
    """The steps in Markdown: what a unit cost at each size."""
    rows = [json.loads(line) for line in _lines(folder / "steps.jsonl")]
    lines = ["| | " + " | ".join(title(row) for row in rows) + " |", "|---|" + "---|" * len(rows)]
    for stage in rows[0]["stages"]:
        cells = []
        for row in rows:
            of_stage = row["stages"][stage]
            num = of_stage["num_computed"]
            cells.append(f"{1000 * of_stage['work_s'] / num:.0f} ms x {num:,}" if num else "nothing")
        lines.append(f"| `{stage}`, a unit | " + " | ".join(cells) + " |")
    lines.append("| build, s | " + " | ".join(f"{row['build_s']:.0f}" for row in rows) + " |")
    for name in COMMANDS:
        cells = [f"{row['commands'][name]['s']:.1f} s, {row['commands'][name]['mib']:.0f} MiB" for row in rows]
        lines.append(f"| `facescribe {name}` afterwards | " + " | ".join(cells) + " |")
    for name in ("newest snapshot bytes", "receipts bytes", "memory bytes", "shards bytes", "answers.sqlite bytes"):
        lines.append(f"| {name} | " + " | ".join(f"{row['bytes'].get(name, 0):,}" for row in rows) + " |")
    return "\n".join(lines)


def plot(folder: Path, target: Path) -> None:
    """Memory, open files and threads of all processes, and units ended a minute, over the time that was watched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in _lines(folder / "minutes.jsonl")]
    minutes, paces, at = [], [], 0.0
    for number, line in enumerate(lines):
        before = lines[max(0, number - 1)]
        # What lies between two runs of the bench is left out.
        at += (line["s"] if line["s"] < before["s"] else line["at"] - before["at"]) / 60
        minutes.append(at)
        since = lines[max(0, number - PACE_OVER)]
        ended = [sum(n for stage, n in one["done"].items() if stage in STAGES) for one in (since, line)]
        passed = line["s"] - since["s"]
        paces.append(60 * (ended[1] - ended[0]) / passed if passed > 0 else 0.0)
    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    memory, handles, pace = figure.subplots(3, 1, sharex=True)
    for role in ("builder", "decoders", "prefect server", "answers"):
        of_role = [line["processes"].get(role, {}) for line in lines]
        memory.plot(minutes, [facts.get("rss", 0) / 2**20 for facts in of_role], label=f"{role}, MiB")
        handles.plot(minutes, [facts.get("fds", 0) for facts in of_role], label=f"{role}, open files")
    threads = [line["processes"].get("builder", {}).get("threads", 0) for line in lines]
    handles.plot(minutes, threads, "--", label="builder, threads")
    pace.plot(minutes, paces, label="units ended a minute, all stages together, over two minutes")
    pace.set_xlabel("minutes")
    for axes in (memory, handles, pace):
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", ncols=2, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main()
