"""Read a folder of pictures as the frames of a clip, with Pillow, in the decoder process of `decoding.py`.

- Each picture is brought to RGB, without its alpha, 16 bits a channel to 8; JPEG and WebP are turned as they ask.
- A picture's size is read from its header before it is decoded, so that a small file of huge size costs nothing.
- A picture of another size than the first is scaled to the first; where that would distort it, the clip is refused.
- One picture that is damaged refuses the clip, as one damaged frame refuses a video.
- There is no clock: a rate is assumed. A frame's time is its number, less that of the first, by that rate; its index is
  that difference too, so that missing numbers are missing frames.
"""

from __future__ import annotations

import errno
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.videos.frame_folder import FolderState, FrameFiles, folder_state, list_frames
from pipeline.videos.frames import FRAME_FOLDER, Frame, Limits, VideoError, VideoFacts, pillow_version
from pipeline.videos.paths import path_text
from pipeline.videos.refusing import (
    in_words,
    name_of,
    reasons,
    refuse_distorting,
    refuse_large,
    refuse_long,
    refuse_too_many,
)

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Decoders that may open a picture, whatever its name ends in; Pillow has others that start programs."""

_ORIENTATION = 0x0112
_TURNS = {3: 180, 5: 90, 6: -90, 7: 90, 8: 90}
"""Degrees against the clock by EXIF orientation; 2, 4, 5 and 7 are mirrored too."""

Size = tuple[int, int]


def probe_folder(folder: Path, limits: Limits, assumed_fps: float, beat: Callable[[], None]) -> VideoFacts:
    """Look at every picture's header and decode the first one.

    Raises:
        VideoError: see `frames.probe`.
    """
    with _while_unchanged(folder), reasons(folder):
        files = list_frames(folder)
        refuse_too_many(folder, len(files.names), limits)
        _refuse_wide(folder, files, limits)
        first, formats, rotation_deg = (0, 0), set(), 0
        for name in files.names:
            beat()
            with _opened(folder, name) as picture:
                formats.add(str(picture.format).lower())
                size = _displayed_size(picture)
                refuse_large(_frame_name(folder, name), *size, limits)
                if name == files.names[0]:
                    first, rotation_deg = size, _TURNS.get(_orientation(picture), 0)
                    _rgb(picture, size)
                refuse_distorting(folder, path_text(name), size, first)
    duration_s = (files.numbers[-1] - files.numbers[0] + 1) / assumed_fps
    refuse_long(folder, len(files.names), first[0] * first[1], duration_s, limits)
    return VideoFacts(
        duration_s=duration_s,
        num_frames=len(files.names),
        mean_fps=len(files.names) / duration_s,
        width_px=first[0],
        height_px=first[1],
        rotation_deg=rotation_deg,
        codec="+".join(sorted(formats)),
        container=FRAME_FOLDER,
        has_audio=False,
        decoder=pillow_version(),
        assumed_fps=assumed_fps,
    )


def read_folder(folder: Path, assumed_fps: float, beat: Callable[[], None]) -> Iterator[Frame]:
    """The frames in order of their numbers; all have the size of the first.

    Raises:
        VideoError: see `frames.read_frames`.
    """
    with _while_unchanged(folder), reasons(folder):
        files, first = list_frames(folder), None
        for name, number in zip(files.names, files.numbers, strict=True):
            beat()
            with _opened(folder, name) as picture:
                size = _displayed_size(picture)
                first = first or size
                refuse_distorting(folder, path_text(name), size, first)
                rgb = _rgb(picture, first)
            index = number - files.numbers[0]
            yield Frame(index, index / assumed_fps, rgb)


def _refuse_wide(folder: Path, files: FrameFiles, limits: Limits) -> None:
    """Numbers so far apart are times of day or the like, and no clip's clock."""
    if files.numbers[-1] - files.numbers[0] >= limits.max_frames:
        numbers = f"from {files.numbers[0]} to {files.numbers[-1]}"
        raise VideoError(
            "too_large",
            f"the frames of {name_of(folder)} are numbered {numbers}; {limits.max_frames} frames are the most. "
            "Are these numbers of frames? The last whole number of each name is taken",
        )


@contextmanager
def _while_unchanged(folder: Path) -> Iterator[None]:
    """What is read of a folder that changes meanwhile is of neither version: refuse it, whatever else was seen."""
    before = _state(folder)
    try:
        yield
    except VideoError as error:
        if _state(folder) != before:
            raise VideoError("file_changed", f"{name_of(folder)} was changed while it was read") from error
        raise
    if _state(folder) != before:
        raise VideoError("file_changed", f"{name_of(folder)} was changed while it was read")


def _state(folder: Path) -> FolderState | None:
    try:
        return folder_state(folder)
    except OSError:
        return None


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[Image]:
    """A picture of which the header was read.

    Raises:
        VideoError: `not_a_file`, `unreadable`, `empty_file`, `corrupt` or `not_a_video`; within, `corrupt` and
            `too_large` for what decoding it raises.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # `refuse_large` says what is too large, before anything is decoded
    path, words = folder / name, _frame_name(folder, name)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # asked before it is opened: opening a named pipe waits for ever
            raise VideoError("not_a_file", f"{words} is a folder, a pipe or a device")
        if facts.st_size == 0:
            raise VideoError("empty_file", f"{words} has no bytes")
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # of odd metadata, which nobody asks for
            with Image.open(file, formats=FORMATS) as picture:
                if picture.format in ("PNG", "WEBP") and getattr(picture, "n_frames", 1) > 1:
                    raise VideoError("not_a_video", f"{words} is an animation: a frame is one picture")
                yield picture
    except UnidentifiedImageError as error:
        raise VideoError("corrupt", f"{words} is no picture that is known: JPEG, PNG, BMP or WebP") from error
    except VideoError:
        raise
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # damaged pictures raise errors of many kinds: SyntaxError, struct.error, ValueError
        if isinstance(error, OSError) and error.errno is not None:  # Pillow's own have none
            reason = "not_a_file" if error.errno == errno.ELOOP else "unreadable"
            raise VideoError(reason, f"{error.strerror}: {words}") from error
        raise VideoError("corrupt", f"{words} does not decode: {in_words(error)}") from error


def _frame_name(folder: Path, name: str) -> str:
    return f"{name_of(folder)}/{path_text(name)}"


def _orientation(picture: Image) -> int:
    # PNG may keep it behind the picture, which would have to be decoded to learn its size.
    if picture.format not in ("JPEG", "WEBP"):
        return 1
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata do not hide the picture
        return 1


def _displayed_size(picture: Image) -> Size:
    width, height = picture.size
    return (height, width) if _orientation(picture) >= 5 else (width, height)


def _rgb(picture: Image, size: Size) -> NDArray[np.uint8]:
    """The picture as it is displayed, uint8 [H, W, 3], of the size that is wanted."""
    from PIL import Image, ImageOps

    shown = ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture
    if shown.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip instead of scale
        shown = Image.fromarray((np.asarray(shown).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    shown = shown.convert("RGB")
    if shown.size != size:
        shown = shown.resize(size, Image.Resampling.BICUBIC)
    return np.array(shown, np.uint8)
