"""Measure facescribe beside its peers: the same videos, one machine, one run, each peer in an environment of its own.

    python bench/peers.py                                   # takes some ten minutes, the first time longer
    python bench/peers.py --only facescribe mediapipe --videos single_face.mp4
    python bench/peers.py --rendered build/truth/plain      # a corpus of `facescribe synth`, with its truth

A peer decodes with its own OpenCV, looks at every frame and keeps nothing; facescribe probes, decodes, tracks, crops,
measures and writes. Loading of programs and weights is not counted, for anybody. MediaPipe's newer versions report
their use to Google, so every peer runs without a network. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

# Only the standard library up here: this file is also run by the peers' environments, which hold nothing of ours.

ENVIRONMENTS = Path(__file__).resolve().parents[1] / "build" / "peers"

REAL_VIDEOS = (
    "WolfgangLanger_Pexels.mp4",
    "single_face.mp4",
    "carphone_pristine.mp4",
    "face_noface.mov",
    "noface_face.mov",
    "no_face.mp4",
)
NO_FACE = "no_face.mp4"

WARM_UP_FRAMES = 15

Look = Callable[[Any], bool]
"""Whether a face is in a frame, BGR uint8 [H, W, 3] as OpenCV decodes it."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with: how it is installed, and what opens it."""

    title: str
    environment: str
    requirements: tuple[str, ...]
    open: Callable[[bool], Look]
    """Called in the peer's environment; True: keep to one thread, because other processes use the other cores."""

    needs_our_torch: bool = False


def open_mediapipe(is_single_threaded: bool) -> Look:
    """Google's own runtime with the same weights, following faces from frame to frame, blendshapes on."""
    import cv2
    import mediapipe as mp  # type: ignore[import-not-found]
    from mediapipe.tasks.python import BaseOptions, vision  # type: ignore[import-not-found]

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=os.environ["FACE_LANDMARKER_TASK"]),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
    )
    landmarker = vision.FaceLandmarker.create_from_options(options)
    clock_ms = iter(range(0, 2**40, 33))  # one landmarker for all videos: making it anew is not counted

    def look(bgr: Any) -> bool:
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        return bool(landmarker.detect_for_video(picture, next(clock_ms)).face_landmarks)

    return look


def open_mtcnn(is_single_threaded: bool, **options: Any) -> Look:
    """facenet-pytorch's detector, on every frame, all faces."""
    import cv2
    import torch
    from facenet_pytorch import MTCNN  # type: ignore[import-not-found]

    if is_single_threaded:
        torch.set_num_threads(1)
    detector = MTCNN(keep_all=True, device="cpu", **options)

    def look(bgr: Any) -> bool:
        with torch.inference_mode():
            return detector.detect(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))[0] is not None

    return look


def open_haar(is_single_threaded: bool) -> Look:
    """OpenCV's own cascade."""
    import cv2

    if is_single_threaded:
        cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).with_name("data") / "haarcascade_frontalface_alt2.xml"))

    def look(bgr: Any) -> bool:
        return len(cascade.detectMultiScale(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))) > 0

    return look


PEERS = {
    "mediapipe": Peer(
        "MediaPipe 1.2.2 Face Landmarker (video mode, blendshapes)", "mediapipe", ("mediapipe==1.2.2",), open_mediapipe
    ),
    "mtcnn": Peer(
        "facenet-pytorch 2.6.0 MTCNN, every frame, as shipped (faces from 20 px)",
        "mtcnn",
        ("facenet-pytorch==2.6.0",),
        open_mtcnn,
        needs_our_torch=True,
    ),
    "mtcnn80": Peer(
        "the same, faces from 80 px",
        "mtcnn",
        ("facenet-pytorch==2.6.0",),
        partial(open_mtcnn, min_face_size=80),
        needs_our_torch=True,
    ),
    "haar": Peer(
        "OpenCV 4.14 cascade (frontalface_alt2), every frame",
        "opencv",
        ("opencv-python-headless==4.14.0.94", "numpy<2.4"),
        open_haar,
    ),
}

PUBLISHED = (
    "| peer | published frames per second | on | source |\n|---|---|---|---|\n"
    "| py-feat 2, Detectorv2 | 355 (long video), 270 (short), about 38 at batch 1 | RTX PRO 6000, batch 16 | its "
    "`docs/benchmarks/throughput.csv` |\n"
    "| py-feat 2, RetinaFace and parts | 167 (long), 107 (short) | the same | the same |\n"
    "| py-feat 2, img2pose | 32 (long), 39 (short) | the same | the same |\n"
    "| OpenFace 3 | none found for video | | it has no video extraction (its issue 7) |\n\n"
    "| peer | published mean F1 of action units, DISFA+ | source |\n|---|---|---|\n"
    "| py-feat 2 | 0.540 | py-feat's own measurement, its `docs/benchmarks/accuracy.md` |\n"
    "| OpenFace 3 | 0.488 | the same |\n"
    "| LibreFace | 0.461 | the same |\n"
)

NO_TORCHVISION = '''"""facenet-pytorch imports one function of torchvision: here it is, from OpenCV."""

import sys
import types


def batched_nms(boxes, scores, idxs, iou_threshold):
    import cv2
    import torch

    corners = boxes.numpy()
    sides = corners.copy()
    sides[:, 2:] -= sides[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(sides, scores.numpy(), idxs.numpy().astype("int32"), 0.0, iou_threshold)
    return torch.as_tensor(kept, dtype=torch.int64)


for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision.ops.boxes"].batched_nms = batched_nms
sys.modules["torchvision.transforms"].functional = types.ModuleType("torchvision.transforms.functional")
'''


# ---- in a peer's environment --------------------------------------------------------------------------------------

_opened: list[Look] = []
"""The peer of this process, once it is open."""


def _begin(name: str, is_single_threaded: bool, first: str, barrier: Any) -> None:
    """Open the peer in a new process, let it see some frames, and wait for the others."""
    look = PEERS[name].open(is_single_threaded)
    for bgr, _ in zip(_frames(first), range(WARM_UP_FRAMES), strict=False):
        look(bgr)
    _opened.append(look)
    barrier.wait()


def _see_video(path: str) -> dict[str, Any]:
    import numpy as np

    (look,) = _opened
    look(np.zeros((128, 128, 3), np.uint8))  # nothing to follow: what was seen in the video before is forgotten
    began_s = time.process_time()
    found = [look(bgr) for bgr in _frames(path)]
    return {"video": Path(path).name, "found": found, "cpu_s": time.process_time() - began_s}


def _frames(path: str) -> Iterator[Any]:
    import cv2

    video = cv2.VideoCapture(path)
    while True:
        is_read, bgr = video.read()
        if not is_read:
            return
        yield bgr


def _be_peer(name: str, processes: int, videos: Sequence[str]) -> None:
    """Look at all videos with so many processes, and say in JSON what was found and what it took."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    with context.Pool(processes, _begin, (name, processes > 1, videos[0], barrier)) as pool:
        barrier.wait()
        began_s = time.monotonic()
        seen = list(pool.imap_unordered(_see_video, videos, chunksize=1))
        wall_s = time.monotonic() - began_s
    cpu_s = sum(video.pop("cpu_s") for video in seen)
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "found": {video["video"]: video["found"] for video in seen}}))


# ---- in ours ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One program over all videos: seconds of the clock and of processors, and the frames of each with a face."""

    wall_s: float
    cpu_s: float
    found: Mapping[str, Sequence[bool]]

    @property
    def num_frames(self) -> int:
        """Frames of all videos."""
        return sum(map(len, self.found.values()))


def run_peer(name: str, videos: Sequence[Path], processes: int) -> Run:
    """Run one peer in its environment, without a network where the system allows that."""
    from pipeline.assets import fetch

    python = make_environment(PEERS[name])
    arguments = ["--as", name, "--processes", str(processes), "--paths", *map(str, videos)]
    environment = {**os.environ, "FACE_LANDMARKER_TASK": str(fetch("face_landmarker.task")), "GLOG_minloglevel": "3"}
    command = [*_without_network(), str(python), str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _without_network() -> list[str]:
    cut = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare"):
        return []
    return cut if subprocess.run([*cut, "true"], capture_output=True, check=False).returncode == 0 else []


def make_environment(peer: Peer) -> Path:
    """The peer's own Python, made and filled the first time; it lies under build/ and can be deleted."""
    folder = ENVIRONMENTS / peer.environment
    python, is_whole = folder / "bin" / "python", folder / "is_whole"
    if is_whole.exists():
        return python
    print(f"installing {', '.join(peer.requirements)} into {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", *(["--no-deps"] if peer.needs_our_torch else [])]
    subprocess.run([*pip, *peer.requirements], check=True)
    if peer.needs_our_torch:  # it is 700 MB large; what it asks for in other versions works as we have it
        import torch

        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "ours.pth").write_text(f"{Path(torch.__file__).parents[1]}\n", encoding="utf-8")
        (packages / "sitecustomize.py").write_text(NO_TORCHVISION, encoding="utf-8")
    is_whole.touch()
    return python


def run_facescribe(videos: Path, workers: int) -> Run:
    """Probe, track, measure and write all videos of a folder, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--as", "facescribe", "--processes", str(workers)]
    done = subprocess.run([*command, "--paths", str(videos)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"facescribe failed:\n{done.stderr[-2000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _be_facescribe(workers: int, videos: Path) -> None:
    from bench.length import run_stages

    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as folder:
        shortest = min(
            (path for path in videos.iterdir() if path.stem != "no_face"), key=lambda path: path.stat().st_size
        )
        run_stages(shortest, Path(folder, "warm"))
        cpu_s, began_s = _cpu_s(), time.monotonic()
        # Enough buckets that no two videos of so few share one: a shard is what a worker computes.
        run_stages(videos, Path(folder, "corpus"), workers=workers, buckets=256)
        wall_s, cpu_s = time.monotonic() - began_s, _cpu_s() - cpu_s
        found = _found_by_facescribe(Path(folder, "corpus"))
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "found": found}))


def _found_by_facescribe(root: Path) -> dict[str, list[bool]]:
    from pipeline.inspection.corpus import Corpus

    corpus = Corpus(root)
    videos = corpus.arrow("videos", ["video_id", "path", "num_frames"]).to_pylist()
    found = {row["video_id"]: [False] * row["num_frames"] for row in videos}
    for row in corpus.arrow("tracks", ["video_id", "frame_indices"]).to_pylist():
        for index in row["frame_indices"]:
            found[row["video_id"]][index] = True
    return {row["path"]: found[row["video_id"]] for row in videos}


def _cpu_s() -> float:
    """Seconds of processors used by this process and all below it, those that ended too."""
    import psutil

    own = psutil.Process()
    return sum(
        sum(process.cpu_times()[:4]) if process == own else sum(process.cpu_times()[:2])
        for process in [own, *own.children(recursive=True)]
    )


# ---- what each step costs -----------------------------------------------------------------------------------------

STEPS = {
    # step: functions and methods that are it, as module:name; what a step calls of another step counts there
    "hash sources and rows": ("pipeline.videos.sources:_hash", "pipeline.stage:content_hash"),
    "load the networks": (
        "pipeline.tracks.stage:open_networks",
        "pipeline.actions.blendshapes:BlendshapeNetwork.__init__",
    ),
    "probe, in the decoder's process": ("pipeline.videos.frames:probe",),
    "wait for decoded frames, twice": ("pipeline.videos.frames:read_frames",),
    "cuts": ("pipeline.videos.cuts:CutFinder.see", "pipeline.videos.cuts:CutFinder.cuts"),
    "detector": ("pipeline.tracks.detectors:NearDetector.detect", "pipeline.tracks.detectors:FarDetector.detect"),
    "landmarks": ("pipeline.tracks.networks:FaceNetworks.landmarks",),
    "follow, link, pose": (
        "pipeline.tracks.follow:FaceFollower.see",
        "pipeline.tracks.extract:Extraction._sightings",
        "pipeline.tracks.extract:link_pieces",
        "pipeline.tracks.extract:_tracks",
    ),
    "alignment over time": ("pipeline.tracks.crop:align",),
    "crop": ("pipeline.tracks.extract:crop",),
    "JPEG": ("pipeline.tracks.extract:_jpeg",),
    "visibility, sharpness": ("pipeline.tracks.extract:region_features", "pipeline.tracks.extract:sharpness"),
    "identity": ("pipeline.tracks.identity:IdentityNetwork.embed",),
    "blendshapes": ("pipeline.actions.blendshapes:BlendshapeNetwork.measure",),
    "measures and events": (
        "pipeline.actions.measures:signals",
        "pipeline.actions.events:find_events",
        "pipeline.actions.events:unclear_spans",
        "pipeline.actions.measurable:measurability",
    ),
    "Parquet": ("pipeline.store:ShardWriter.append", "pipeline.store:ShardWriter._write_waiting"),
}
Seconds = tuple[float, float]
"""Of the clock, and of the processor for this thread: the second hardly minds what else the machine does."""

NETWORKS = ("detector", "landmarks", "identity", "blendshapes")


def _clocks_s() -> Seconds:
    return time.perf_counter(), time.thread_time()


def _plus(a: Seconds, b: Seconds) -> Seconds:
    return a[0] + b[0], a[1] + b[1]


def _minus(a: Seconds, b: Seconds) -> Seconds:
    return a[0] - b[0], a[1] - b[1]


@dataclass
class Stopwatch:
    """Seconds and calls of each step, without what other steps take inside of it. For one thread."""

    seconds: dict[str, Seconds] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    _inner_s: list[Seconds] = field(default_factory=lambda: [(0.0, 0.0)])

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Count the time inside as the step's."""
        self._inner_s.append((0.0, 0.0))
        began_s = _clocks_s()
        try:
            yield
        finally:
            took_s = _minus(_clocks_s(), began_s)
            self.seconds[step] = _plus(self.seconds.get(step, (0.0, 0.0)), _minus(took_s, self._inner_s.pop()))
            self.calls[step] = self.calls.get(step, 0) + 1
            self._inner_s[-1] = _plus(self._inner_s[-1], took_s)

    def wrapped(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed; of a generator each item."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.time(step):
                result = function(*args, **kwargs)
            return self._items(step, result) if isinstance(result, Iterator) else result

        return timed

    def _items(self, step: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.time(step):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item


def print_steps(videos: Path) -> None:
    """Run facescribe with one worker and a stopwatch at each step, then decode alone, and print what each step took."""
    from bench.length import run_stages
    from pipeline.videos.frames import probe, read_frames

    paths = [path for path in sorted(videos.iterdir()) if path.suffix in {".mp4", ".mov"}]
    decode_s, num_frames = 0.0, 0
    for path in paths:
        decoder, began_s = probe(path).decoder, time.perf_counter()
        num_frames += sum(1 for _ in read_frames(path, decoder))
        decode_s += time.perf_counter() - began_s
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as root:
        run_stages(min(paths, key=lambda path: path.stat().st_size), Path(root, "warm"))
        for step, places in STEPS.items():
            for place in places:
                _wrap(watch, step, place)
        began_s = time.perf_counter()
        run_stages(videos, Path(root, "corpus"))
        whole_s = time.perf_counter() - began_s
    print(f"\nEach step, one worker, {num_frames} frames:\n")
    print("| step | calls | ms per frame | share | CPU ms per frame, of its own thread |\n|---|---|---|---|---|")
    for step in [step for step in STEPS if step in watch.seconds]:
        wall_s, cpu_s = watch.seconds[step]
        print(f"| {step} | {watch.calls[step]} | {1000 * wall_s / num_frames:.2f} | {wall_s / whole_s:.0%}", end="")
        print(f" | {1000 * cpu_s / num_frames:.2f} |")
    rest_s = whole_s - sum(wall_s for wall_s, _ in watch.seconds.values())
    print(f"| everything else | | {1000 * rest_s / num_frames:.2f} | {rest_s / whole_s:.0%} | |")
    print(f"| **all** | | **{1000 * whole_s / num_frames:.2f}** | | |")
    print(f"| limit: decode alone, once | | {1000 * decode_s / num_frames:.2f} | | |")
    of_networks = [watch.seconds.get(step, (0.0, 0.0)) for step in NETWORKS]
    wall_s, cpu_s = (1000 * sum(values) / num_frames for values in zip(*of_networks, strict=True))
    print(f"| limit: networks alone | | {wall_s:.2f} | | {cpu_s:.2f} |")


def _wrap(watch: Stopwatch, step: str, place: str) -> None:
    """Time a function wherever a module of ours has it by name."""
    module_name, _, name = place.partition(":")
    holder: Any = import_module(module_name)
    *owner, attribute = name.split(".")
    for part in owner:
        holder = getattr(holder, part, None)
    original = getattr(holder, attribute, None)
    if original is None:
        print(
            f"{place} is no longer there: its time counts as everything else, bring STEPS up to date", file=sys.stderr
        )
        return
    timed = watch.wrapped(step, original)
    setattr(holder, attribute, timed)
    # A name that is imported from a module is the importer's own; the place above says which module is meant.
    if not owner and original.__module__ == module_name:
        for module in [m for n, m in sys.modules.items() if n.startswith("pipeline.")]:
            for own_name in [n for n, value in vars(module).items() if value is original]:
                setattr(module, own_name, timed)


# ---- the tables ---------------------------------------------------------------------------------------------------


def print_comparison(videos: Path, only: Sequence[str], wanted: Mapping[str, Sequence[bool]]) -> None:
    """Run all with one and with two processes and print them side by side.

    `wanted` says for the videos with a truth in which frames a face is seen; for the others it is any program's.
    """
    paths = sorted(videos.glob("*.m*"), key=lambda path: -path.stat().st_size)  # the longest first, for two processes
    runs: dict[tuple[str, int], Run] = {}
    for name in only:
        for processes in (1, 2):
            is_ours = name == "facescribe"
            runs[name, processes] = run_facescribe(videos, processes) if is_ours else run_peer(name, paths, processes)
            print(f"{name}, {processes} done", file=sys.stderr)
    singles = {name: runs[name, 1] for name in only}
    refused = {path.name: [False] for path in paths}
    print(
        "| program | ms per frame, 1 process | CPU ms per frame | ms per frame, 2 processes | CPU ms per frame |",
        end="",
    )
    print(" faces found | found where there is none |\n|---|---|---|---|---|---|---|")
    num_frames = max(run.num_frames for run in singles.values())
    reference = {path.name: wanted.get(path.name) or _union(singles.values(), path.name) for path in paths}
    for name, run in singles.items():
        found = {**refused, **run.found}
        hits = sum(f and w for v, want in reference.items() for f, w in zip(found[v], want, strict=False))
        false = sum(f and not w for v, want in reference.items() for f, w in zip(found[v], want, strict=False))
        share = hits / max(1, sum(map(sum, reference.values())))
        costs = " | ".join(
            f"{1000 * runs[name, n].wall_s / num_frames:.1f} | {1000 * runs[name, n].cpu_s / num_frames:.1f}"
            for n in (1, 2)
        )
        title = PEERS[name].title if name in PEERS else "facescribe: probe, tracks, crops, actions, all written"
        print(f"| {title} | {costs} | {share:.1%} | {false} |")
    print(f"\n{num_frames} frames in {len(paths)} videos.", end=" ")
    print(
        "A face counts as there where the truth says so" if wanted else "A face counts as there where any of them",
        end="",
    )
    print("." if wanted else f" found one, except in {NO_FACE}.")
    _print_found(singles, reference)


def _union(runs: Any, video: str) -> list[bool]:
    if video == NO_FACE:
        return [False] * 10**6
    found = [run.found[video] for run in runs if video in run.found]
    return [any(seen) for seen in zip(*found, strict=False)]


def _print_found(singles: Mapping[str, Run], reference: Mapping[str, Sequence[bool]]) -> None:
    """The frames with a face, video by video; a truth of many clips would be a long table."""
    if len(reference) > 12:
        return
    print(f"\n| frames with a face | {' | '.join(singles)} |\n|---|{'---|' * len(singles)}")
    for video in sorted(reference):
        counts = [
            f"{sum(run.found[video])} of {len(run.found[video])}" if video in run.found else "0"
            for run in singles.values()
        ]
        print(f"| {video} | {' | '.join(counts)} |")


def _rendered(folder: Path) -> dict[str, list[bool]]:
    """For each clip of a rendered corpus the frames in which a face is in plain view."""
    import numpy as np
    import pyarrow.parquet as pq

    wanted: dict[str, Any] = {}
    for row in pq.read_table(folder / "truth.parquet", partitioning=None).to_pylist():
        seen = np.array(row["visible_share"]) >= 0.5
        wanted[row["clip"]] = wanted.get(row["clip"], False) | (seen & np.array(row["is_present"]))
    return {clip: seen.tolist() for clip, seen in wanted.items()}


@contextmanager
def _folder_of(paths: Sequence[Path]) -> Iterator[Path]:
    """A folder with copies of just these videos."""
    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as folder:
        for path in paths:
            shutil.copyfile(path, Path(folder, path.name))
        yield Path(folder)


def main() -> None:
    """Run what is asked for; with `--as`, be one of the programs that are compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["facescribe", *PEERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="programs to run")
    parser.add_argument("--videos", nargs="+", choices=REAL_VIDEOS, default=REAL_VIDEOS, help="real videos to use")
    parser.add_argument("--rendered", type=Path, help="also compare on a rendered corpus: a folder with truth.parquet")
    parser.add_argument("--no-steps", action="store_true", help="leave out what each step of facescribe costs")
    parser.add_argument("--as", dest="role", choices=names, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--paths", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "facescribe":
        _be_facescribe(arguments.processes, Path(arguments.paths[0]))
        return
    if arguments.role:
        _be_peer(arguments.role, arguments.processes, arguments.paths)
        return

    from bench.length import machine
    from pipeline.assets import fetch

    print(f"{machine()}\n\n## Real videos\n")
    with _folder_of([fetch(name) for name in arguments.videos]) as videos:
        print_comparison(videos, arguments.only, {})
        if not arguments.no_steps:
            print_steps(videos)
    if arguments.rendered:
        print(f"\n## Rendered videos: {arguments.rendered.name}\n")
        with _folder_of(sorted(arguments.rendered.glob("*.mp4"))) as videos:
            print_comparison(videos, arguments.only, _rendered(arguments.rendered))
    print(f"\n## Published by others, not measured here\n\n{PUBLISHED}")


if __name__ == "__main__":
    main()
