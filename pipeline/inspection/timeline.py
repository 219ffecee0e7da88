"""Draw what one track shows over time: frames of its film with their motion, and curve and events of each action.

Places in time are percent of the track's duration, so that film, curves and events lie under one another at any width.
Shape letters: T = frames of the track, G = 14 patches a side.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.inspection.blurring import blurred
from schemas.actions import ACTION_SIDES, ACTIONS, FACIAL_ACTIONS, TOLD_ACTIONS, UNMEASURED_REASONS
from schemas.motion import CLIP_FRAMES, MOTION
from schemas.table import read_cell

FRAME_PX = 128
"""Side of the pictures on the page: sharp in the film, and still good in the larger preview."""

JPEG_QUALITY = 80
MAX_LANES = 6
MOVED_FROM = 0.2
"""Rise above rest from which an action without an event is drawn."""

HEAT_LEVELS = 24
HEAT_OPACITY = 0.8

TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
MAX_TICKS = 10


@dataclass(frozen=True)
class Clock:
    """The track's own time: 0 s at its first frame, as in the texts."""

    start_s: float
    end_s: float

    def since_start(self, time_s: float) -> float:
        """Seconds from the track's start of a presentation time."""
        return time_s - self.start_s

    def percent(self, time_s: float) -> float:
        """Where a presentation time lies in the track, 0 to 100."""
        duration_s = self.end_s - self.start_s
        return round(100 * (time_s - self.start_s) / duration_s, 3) if duration_s > 0 else 50.0

    def ticks(self) -> list[tuple[float, str]]:
        """Place in percent and label of each mark on the time axis."""
        duration_s = self.end_s - self.start_s
        step = next((step for step in TICK_STEPS_S if duration_s / step <= MAX_TICKS), TICK_STEPS_S[-1])
        times_s = np.arange(0, duration_s + 1e-9, step).tolist()
        return [(self.percent(self.start_s + time_s), f"{time_s:.3g}") for time_s in times_s]


@dataclass(frozen=True)
class FilmFrame:
    """One picture of the film, as data URIs. `heat` is None where the motion is not known."""

    time_s: float
    percent: float
    picture: str
    heat: str | None
    clip: int | None


@dataclass(frozen=True)
class Span:
    """A stretch of the time axis, by its place in percent, with what it means in words."""

    left: float
    width: float
    words: str


@dataclass(frozen=True)
class Bar(Span):
    """An event from onset to offset; `apex` is a place within the bar, in percent of it."""

    apex: float
    side: str
    intensity: str


@dataclass(frozen=True)
class Lane:
    """One action over time: an SVG path for each side in a box of 100 x 100, and the events below it.

    What is no action of the face alone (of the head, or of a region as a whole) has no path.
    """

    action: str
    name: str
    action_unit: str
    paths: Mapping[str, str]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Lanes:
    """The actions that moved most, drawn to one scale, and how many more had events."""

    shown: tuple[Lane, ...]
    scale: float
    unmeasured: tuple[Span, ...]
    num_more: int

    @property
    def sides(self) -> list[str]:
        """The sides that appear, in the order of the legend."""
        seen = {side for lane in self.shown for side in [*lane.paths, *(bar.side for bar in lane.bars)]}
        return [side for side in ("left", "right", "both", "middle") if side in seen]


def middles(count: int, wanted: int) -> list[int]:
    """Positions in the middle of `wanted` equal segments of `count`, or all where there are fewer."""
    wanted = min(count, wanted)
    return [int((segment + 0.5) * count / wanted) for segment in range(wanted)]


def choose_clip_frames(clips: pa.Table) -> list[tuple[str, int, int]]:
    """Clip id, number of the clip from 1, and frame of up to sixteen real frames, evenly spread over a track's clips.

    `clips` holds clip_id, start_s and is_padding.
    """
    ordered = clips.sort_by("start_s").to_pylist()
    padding = [read_cell(MOTION.field("is_padding"), clip["is_padding"]) for clip in ordered]
    every = [
        (clip["clip_id"], number, frame)
        for number, (clip, is_padding) in enumerate(zip(ordered, padding, strict=True), start=1)
        for frame in np.flatnonzero(is_padding == 0).tolist()
    ]
    return [every[position] for position in middles(len(every), CLIP_FRAMES)]


def film_of_clips(
    clips: pa.Table, chosen: Sequence[tuple[str, int, int]], clock: Clock, *, is_blurred: bool = False
) -> Iterator[FilmFrame]:
    """The chosen frames with their motion. `clips` holds clip_id, times_s, frames, motion_weights, is_motion_known."""
    by_id = {clip["clip_id"]: clip for clip in clips.to_pylist()}
    for clip_id, number, frame in chosen:
        clip = by_id[clip_id]
        cells = {name: read_cell(MOTION.field(name), clip[name])[frame] for name in clip if name != "clip_id"}
        yield FilmFrame(
            time_s=clock.since_start(float(cells["times_s"])),
            percent=clock.percent(float(cells["times_s"])),
            picture=_picture(cells["frames"], is_blurred=is_blurred),
            heat=_heat(cells["motion_weights"]) if cells["is_motion_known"] else None,
            clip=number,
        )


def film_of_crops(crops: pa.Table, clock: Clock, *, is_blurred: bool = False) -> Iterator[FilmFrame]:
    """Frames without motion, from rows with time_s and crop_jpeg."""
    for crop in crops.to_pylist():
        rgb = cv2.imdecode(np.frombuffer(crop["crop_jpeg"], np.uint8), cv2.IMREAD_COLOR_RGB)
        picture = _picture(rgb, is_blurred=is_blurred)
        yield FilmFrame(clock.since_start(crop["time_s"]), clock.percent(crop["time_s"]), picture, None, None)


def _picture(rgb: Any, *, is_blurred: bool) -> str:
    shown = blurred(rgb) if is_blurred else rgb
    small = cv2.resize(shown, (FRAME_PX, FRAME_PX), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return _data_uri("image/jpeg", ".jpg", bgr, cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)


def _heat(weights: NDArray[np.float16]) -> str:
    """Weights [G, G] as a picture that is clear where nothing moves; the browser smooths it over the frame."""
    level = np.round(weights.astype(np.float32) * HEAT_LEVELS) / HEAT_LEVELS
    bgr = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_PLASMA)
    alpha = (level * 255 * HEAT_OPACITY).astype(np.uint8)
    return _data_uri("image/png", ".png", np.dstack([bgr, alpha]), cv2.IMWRITE_PNG_COMPRESSION, 9)


def _data_uri(media_type: str, suffix: str, image: Any, *options: int) -> str:
    done, encoded = cv2.imencode(suffix, image, list(options))
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture as {media_type}")
    return f"data:{media_type};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def lanes_of(
    actions: Mapping[str, Any], is_gap_before: Sequence[bool], clock: Clock, claimed: Collection[str] = ()
) -> Lanes:
    """The lanes of one row of ACTIONS: claimed actions first, then those with events, the strongest first, at most six.

    An action that a text claims has its lane even where it never moved: that is how a wrong claim is seen.
    """
    times_s = np.array(actions["times_s"], np.float64)
    curves = _curves(actions)
    is_gap = np.array(is_gap_before, np.bool_)
    reach = {
        action: max(float(rise.max(initial=0.0)) for rise, _ in sides.values()) for action, sides in curves.items()
    }
    for event in actions["events"]:
        if event["action"] not in curves:
            reach[event["action"]] = max(reach.get(event["action"], 0.0), event["peak"])
    with_event = {event["action"] for event in actions["events"]}
    untold = {span["action"] for span in actions["unclear"] if span["why"] == "not_told"}
    moved = [
        action
        for action in TOLD_ACTIONS
        if action in with_event or action in claimed or (action not in untold and reach.get(action, 0.0) >= MOVED_FROM)
    ]
    order = {action: (action not in claimed, action not in with_event, -reach.get(action, 0.0)) for action in moved}
    shown = sorted(moved, key=order.__getitem__)[:MAX_LANES]
    scale = _scale(max((reach.get(action, 0.0) for action in shown if action in curves), default=0.0))
    x = [clock.percent(time_s) for time_s in times_s.tolist()]
    lanes = [
        Lane(
            action=action,
            name=action.replace("_", " "),
            action_unit=TOLD_ACTIONS[action].action_unit,
            paths={
                side: _path(x, rise / scale, is_known, is_gap)
                for side, (rise, is_known) in curves.get(action, {}).items()
            },
            bars=tuple(_bar(event, clock) for event in actions["events"] if event["action"] == action),
        )
        for action in shown
    ]
    unmeasured = (*_unmeasured(actions["unmeasured"], clock), *_gaps(times_s, is_gap, clock))
    return Lanes(tuple(lanes), scale, unmeasured, len(with_event - set(shown)))


def _curves(actions: Mapping[str, Any]) -> dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]]:
    """For each action and side its rise above rest [T], and where it could be measured [T]."""
    cells = {name: read_cell(ACTIONS.field(name), actions[name]) for name in ("measures", "measurable")}
    mask = cells["measurable"].astype(np.bool_)
    rises = np.where(mask, np.maximum(cells["measures"].astype(np.float64), 0.0), 0.0)
    return {
        action: {
            side: (rises[:, a, s], mask[:, a, s])
            for s, side in enumerate(("middle",) if facial.middle else ACTION_SIDES)
        }
        for a, (action, facial) in enumerate(FACIAL_ACTIONS.items())
    }


def _scale(reach: float) -> float:
    """Top of the curves' box: the next quarter above what they reach."""
    return min(1.0, max(0.25, float(np.ceil(reach * 4) / 4)))


def _path(
    x: Sequence[float], heights: NDArray[np.float64], is_measurable: NDArray[np.bool_], is_gap: NDArray[np.bool_]
) -> str:
    """An SVG path in a box of 100 x 100 that leaves out what was not measured and does not bridge gaps."""
    y = 100 - 100 * np.minimum(heights, 1.0)
    parts, is_open = [], False
    for place, height, is_known, is_break in zip(x, y, is_measurable, is_gap, strict=True):
        if is_known:
            parts.append(f"{'L' if is_open and not is_break else 'M'}{place:.2f},{height:.1f}")
        is_open = bool(is_known)
    return "".join(parts)


def _bar(event: Mapping[str, Any], clock: Clock) -> Bar:
    left, right = clock.percent(event["onset_s"]), clock.percent(event["offset_s"])
    onset_s, apex_s, offset_s = (clock.since_start(event[name]) for name in ("onset_s", "apex_s", "offset_s"))
    side = "" if event["side"] == "middle" else f", {event['side']}"
    what = f"{event['action'].replace('_', ' ')}{side}, {event['intensity']}"
    return Bar(
        left=left,
        width=round(right - left, 3),
        words=f"{what}: from {onset_s:.2f} s, apex at {apex_s:.2f} s, until {offset_s:.2f} s, "
        f"{event['peak']:.2f} above rest",
        apex=round(100 * (clock.percent(event["apex_s"]) - left) / (right - left), 1) if right > left else 50.0,
        side=event["side"],
        intensity=event["intensity"],
    )


def _unmeasured(spans: Sequence[Mapping[str, Any]], clock: Clock) -> list[Span]:
    return [_span(s["start_s"], s["end_s"], f"not measured: {UNMEASURED_REASONS[s['why']]}", clock) for s in spans]


def _gaps(times_s: NDArray[np.float64], is_gap: NDArray[np.bool_], clock: Clock) -> list[Span]:
    after = np.flatnonzero(is_gap[1:]) + 1
    return [_span(float(times_s[at - 1]), float(times_s[at]), "no face found", clock) for at in after.tolist()]


def _span(start_s: float, end_s: float, words: str, clock: Clock) -> Span:
    left = clock.percent(start_s)
    seconds = f"{clock.since_start(start_s):.2f} to {clock.since_start(end_s):.2f} s"
    return Span(left, round(clock.percent(end_s) - left, 3), f"{words}, {seconds}")
