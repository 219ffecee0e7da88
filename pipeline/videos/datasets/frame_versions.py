"""Are the frames of a set of one version, and of the one that was asked for?

The field's sets are passed on in forms that look alike: at native length or interpolated in time to 16 frames (TIM),
at 224 or 256 pixels. A network that learned on one form and is asked on another does much worse (MAE-DFER, issue 14),
and nothing in the names of the files tells. Numbers of frames and the sizes in pictures' headers do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.videos.datasets.listing import DatasetClip, Fault, Listing
from pipeline.videos.datasets.looking import Look, Pixels

RESAMPLED_FRAMES = 16
"""What interpolated versions have."""

VERSION_SIDES = (224, 256)
"""Width and height in pixels of the versions in circulation."""

FEWEST = 5
"""Clips, below which nothing is concluded from how many frames most of them have."""

MOST_VERSIONS = 3
"""More sizes of clips than these, and than one in a hundred clips, are no versions: each clip has the size it has."""

PUBLISHED_PIXELS: Mapping[tuple[str, Pixels], Pixels] = {("dfew", (224, 224)): (256, 256)}
"""Of a set whose folder's name says the first size, the size that it was published with (MAE-DFER, issue 17)."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the name of a variant says, such as `clip_224x224_16f`."""

    num_frames: int | None
    pixels: Pixels | None


def said_by(variant: str) -> Said:
    """Number of frames and size in pixels, as far as a variant's name says them."""
    frames, pixels = re.search(r"_(\d+)f\b", variant), re.search(r"(\d+)x(\d+)", variant)
    return Said(int(frames[1]) if frames else None, (int(pixels[1]), int(pixels[2])) if pixels else None)


def length_faults(listing: Listing, looks: Mapping[str, Look]) -> Iterator[Fault]:
    """Clips with another number of frames than was said, with holes in their numbering, or of another version."""
    said = said_by(listing.variant).num_frames
    clips = [(clip, look) for clip, look in _seen(listing, looks) if look.num_frames is not None]
    lengths = [look.num_frames for _, look in clips if look.is_folder and look.num_frames is not None]
    is_other_version = False
    if said is not None and len(lengths) >= FEWEST and 2 * lengths.count(said) < len(lengths):
        is_other_version = True
        detail = (
            f"{lengths.count(said)} of {len(lengths)} clips have {said} frames, the others {_spread(lengths, said)}: "
            f"these are not the frames that were interpolated to {said}"
        )
        yield Fault("frame_version", listing.variant, detail)
    elif said is None and (resampled := _resampled(clips)):
        yield Fault("frame_version", listing.variant, resampled)
    for clip, look in clips:
        assert look.num_frames is not None
        expected = clip.num_frames if clip.num_frames is not None or not look.is_folder else said
        if look.is_folder and said is not None and (is_other_version or look.num_frames > said):
            if not is_other_version:
                detail = f"{look.num_frames} frames where this version has {said}: it is at native length"
                yield Fault("frame_version", clip.name, detail)
            expected = None
        missing = sum(last - first + 1 for first, last in look.holes)
        if missing:
            holes = [str(first) if first == last else f"{first} to {last}" for first, last in look.holes]
            listed = ", ".join(holes[:5]) + (f" and {len(holes) - 5} more holes" if len(holes) > 5 else "")
            rest = f"; the annotation says {expected}" if expected == look.num_frames + missing else ""
            yield Fault("frame_gap", clip.name, f"{look.num_frames} frames, these are not there: {listed}{rest}")
        if expected not in (None, look.num_frames, look.num_frames + missing):
            where = "the annotation says" if clip.num_frames is not None else "clips of this version have"
            yield Fault("frame_count", clip.name, f"{look.num_frames} frames, {where} {expected}")


def _resampled(clips: list[tuple[DatasetClip, Look]]) -> str | None:
    """That clips at native length are not: all or strikingly many have exactly 16 frames, and no annotation says so."""
    counts = Counter(look.num_frames for clip, look in clips if look.is_folder and clip.num_frames is None)
    total, exact = counts.total(), counts[RESAMPLED_FRAMES]
    if exact < FEWEST:
        return None
    if exact == total:
        return f"all {total} clips have exactly {RESAMPLED_FRAMES} frames: they were interpolated in time"
    near = max(1.0, sum(counts[RESAMPLED_FRAMES + step] for step in (-2, -1, 1, 2)) / 4)
    if exact > 4 * near and 50 * exact > total:
        return (
            f"{exact} of {total} clips have exactly {RESAMPLED_FRAMES} frames, and few have one more or less: "
            "interpolated clips among those at native length"
        )
    return None


def _spread(lengths: list[int], leave_out: int) -> str:
    others = sorted(length for length in lengths if length != leave_out)
    return f"{others[0]} to {others[-1]}" if others[0] != others[-1] else str(others[0])


def size_faults(listing: Listing, looks: Mapping[str, Look]) -> Iterator[Fault]:
    """Clips whose frames are of another size than those of the others, or than the variant's name says.

    Where each clip has a size of its own, as crops that nobody scaled have, none is told.
    """
    clips = [(clip, look.pixels) for clip, look in _seen(listing, looks) if look.is_folder and look.pixels]
    uniform = Counter(next(iter(pixels)) for _, pixels in clips if len(pixels) == 1)
    if not uniform or len(uniform) > max(MOST_VERSIONS, len(clips) // 100) or 2 * uniform.total() < len(clips):
        return
    usual = max(sorted(uniform), key=lambda pixels: uniform[pixels])
    said = said_by(listing.variant).pixels
    if said is not None and usual != said:
        is_known = PUBLISHED_PIXELS.get((listing.dataset, said)) == usual
        why = ", as published: its folder's name says otherwise" if is_known else f", not {in_words(said)}"
        yield Fault("frame_version", listing.variant, f"frames are {in_words(usual)}{why}", is_known)
    for clip, pixels in clips:
        if len(pixels) > 1:
            told = ", ".join(f"{count} frames of {in_words(one)}" for one, count in sorted(pixels.items()))
            yield Fault("frame_size", clip.name, f"sizes differ within the clip: {told}")
        elif (own := next(iter(pixels))) != usual:
            sides = {*own, *usual}
            kind = "frame_version" if sides <= set(VERSION_SIDES) else "frame_size"
            share = f"{uniform[usual]} of {len(clips)} clips have"
            yield Fault(kind, clip.name, f"frames of {in_words(own)}; {share} {in_words(usual)}")


def in_words(pixels: Pixels) -> str:
    """As people write a size."""
    return f"{pixels[0]} x {pixels[1]} px"


def _seen(listing: Listing, looks: Mapping[str, Look]) -> Iterator[tuple[DatasetClip, Look]]:
    for clip in listing.clips:
        look = None if clip.path is None else looks.get(clip.path)
        if look is not None and look.is_there and look.problem is None:
            yield clip, look
