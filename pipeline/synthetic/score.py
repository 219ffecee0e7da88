"""Score face tracks and facial actions against the truth of rendered clips, joined by file name and presentation time.

Pure: tables in, figures out; the order of rows does not matter. Figures of several clips add up with `+`.
Shape letters: F = faces of a clip, T = frames of the clip, K = tracks, A = actions, S = sides (left, right).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from schemas.actions import ACTION_SIDES, ACTIONS, FACIAL_ACTIONS
from schemas.table import read_cell
from schemas.tracks import TRACKS
from schemas.truth import TRUTH

if TYPE_CHECKING:
    import pandas as pd

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]
Row = Mapping[str, Any]

NOT_SEEN, NO_FACE = -2, -1
"""What a track has in a frame, where it has no face: no box at all, or a box around nothing."""

_UNITS_OF = [
    [[BLENDSHAPE_NAMES.index(name) for name in facial.middle or side] for side in (facial.left, facial.right)]
    for facial in FACIAL_ACTIONS.values()
]
"""Blendshapes of each action [A][S], as indices."""


@dataclass(frozen=True)
class Rules:
    """What counts as seen, as shown, and as neither."""

    min_iou: float = 0.5
    """Overlap from which a box is a face's."""

    wanted_share: float = 0.5
    """Visible share from which a face must be found."""

    ignored_share: float = 0.1
    """Visible share from which a face may be found; below it is hidden, and a box around it is a false one."""

    shown_weight: float = 0.3
    """Drawn weight from which an action must be told."""

    absent_weight: float = 0.1
    """Drawn weight below which an action must not be told; between the two either answer is right."""

    asked_share: float = 0.5
    """Part of a true event's frames that must be measurable for the event to be asked about."""


RULES = Rules()

_Figures = TypeVar("_Figures", "FaceFigures", "ActionFigures")


def _add(one: _Figures, other: _Figures) -> _Figures:
    return type(one)(**{f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(one)})


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")


@dataclass(frozen=True)
class FaceFigures:
    """How tracks did on the faces of some clips."""

    num_frames: int = 0

    num_wanted: int = 0
    """Sightings that there were to make: face by face, frame by frame."""

    num_found: int = 0

    num_false: int = 0
    """Boxes around nothing."""

    num_switches: int = 0
    """Times that a track goes from one person to another."""

    num_fragmentations: int = 0
    """Times that a face changes its track although it was in plain view all the while."""

    num_restarts: int = 0
    """Times that a face goes on in another track after a cut, or after it was hidden or away: allowed."""

    num_across_cuts: int = 0
    """Tracks that go on over a cut."""

    ious: tuple[float, ...] = ()
    """Overlap of each found face's box with the true one."""

    late_starts_s: tuple[float, ...] = ()
    """For each stretch in which a face is in plain view: how long until a track has it."""

    early_ends_s: tuple[float, ...] = ()
    """The same at its end."""

    def __add__(self, other: FaceFigures) -> FaceFigures:
        return _add(self, other)

    @property
    def recall(self) -> float:
        """Share of the sightings that were made."""
        return _ratio(self.num_found, self.num_wanted)

    @property
    def false_per_frame(self) -> float:
        """Boxes around nothing, per frame."""
        return _ratio(self.num_false, self.num_frames)

    @property
    def iou_median(self) -> float:
        """Median overlap of found boxes with the true ones."""
        return _median(self.ious)

    def row(self) -> dict[str, float]:
        """The figures by name, lists as their median and greatest value."""
        counts = {name: value for name, value in vars(self).items() if name.startswith("num_")}
        return counts | {
            "recall": self.recall,
            "false_per_frame": self.false_per_frame,
            "iou_median": self.iou_median,
            "late_start_s": _median(self.late_starts_s),
            "late_start_s_max": max(self.late_starts_s, default=float("nan")),
            "early_end_s": _median(self.early_ends_s),
            "early_end_s_max": max(self.early_ends_s, default=float("nan")),
        }


@dataclass(frozen=True)
class ActionFigures:
    """How well one action was told; frames are counted for each side of the face that the action has."""

    num_events: int = 0
    """True events that could be asked about: strong enough, and measurable for long enough."""

    num_unasked: int = 0
    """True events that are strong enough and were reported as not measurable."""

    num_hits: int = 0
    num_extra: int = 0
    """Measured events where nothing was shown, or that say again what another says."""

    num_right_side: int = 0
    """Hits that name the right side."""

    apex_errors_frames: tuple[float, ...] = ()
    """For each hit: distance of the nearest measured apex from the true one, in frames."""

    num_seen: int = 0
    """Frames in which the face is in plain view."""

    num_measurable: int = 0
    """Of these, frames in which the action was called measurable."""

    num_true: int = 0
    num_false: int = 0
    num_missed: int = 0
    """Measurable frames told rightly, told wrongly, and not told."""

    num_denied: int = 0
    """Missed frames in which the action was called absent; in the others nothing was claimed."""

    def __add__(self, other: ActionFigures) -> ActionFigures:
        return _add(self, other)

    @property
    def f1(self) -> float:
        """Of events."""
        return _ratio(2 * self.num_hits, self.num_events + self.num_hits + self.num_extra)

    @property
    def frame_f1(self) -> float:
        """Of frames."""
        return _ratio(2 * self.num_true, 2 * self.num_true + self.num_false + self.num_missed)

    def row(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "events": self.num_events,
            "unasked": self.num_unasked,
            "precision": _ratio(self.num_hits, self.num_hits + self.num_extra),
            "recall": _ratio(self.num_hits, self.num_events),
            "f1": self.f1,
            "right_side": _ratio(self.num_right_side, self.num_hits),
            "apex_error_frames": _median(self.apex_errors_frames),
            "measurable_share": _ratio(self.num_measurable, self.num_seen),
            "frame_precision": _ratio(self.num_true, self.num_true + self.num_false),
            "frame_recall": _ratio(self.num_true, self.num_true + self.num_missed),
            "frame_f1": self.frame_f1,
            "denied_share": _ratio(self.num_denied, self.num_true + self.num_missed),
        }


@dataclass(frozen=True)
class FaceScores:
    """The figures of each clip, by its file name."""

    clips: Mapping[str, FaceFigures]

    @property
    def pooled(self) -> FaceFigures:
        """All clips as one."""
        return sum(self.clips.values(), FaceFigures())

    def to_frame(self) -> pd.DataFrame:
        """One row per clip."""
        import pandas as pd

        return pd.DataFrame([{"clip": clip, **figures.row()} for clip, figures in self.clips.items()])


@dataclass(frozen=True)
class ActionScores:
    """The figures of each action, over all clips."""

    actions: Mapping[str, ActionFigures]

    def __add__(self, other: ActionScores) -> ActionScores:
        return ActionScores({name: figures + other.actions[name] for name, figures in self.actions.items()})

    @property
    def pooled(self) -> ActionFigures:
        """All actions as one."""
        return sum(self.actions.values(), ActionFigures())

    @property
    def shown(self) -> list[str]:
        """Actions of which there was an event to ask about, or that was there and not measurable."""
        return [name for name, figures in self.actions.items() if figures.num_events + figures.num_unasked]

    @property
    def called_measurable(self) -> list[str]:
        """Those of the shown actions that could be measured in at least one event."""
        return [name for name in self.shown if self.actions[name].num_events]

    @property
    def mean_f1(self) -> float:
        """Mean over the actions called measurable of the F1 of their events."""
        return _ratio(sum(self.actions[name].f1 for name in self.called_measurable), len(self.called_measurable))

    @property
    def mean_frame_f1(self) -> float:
        """Mean over the actions called measurable of the F1 of their frames."""
        known = [self.actions[name].frame_f1 for name in self.called_measurable]
        return float(np.nanmean(known)) if known else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row per action."""
        import pandas as pd

        return pd.DataFrame([{"action": name, **figures.row()} for name, figures in self.actions.items()])


@dataclass(frozen=True)
class Match:
    """Which face each track has in each frame of one clip.

    identities [F]; is_wanted and is_ignored [F, T]; times_s [T]; cuts [C], the first frame of each shot but the first;
    track_ids [K]; owner [K, T], a number of a face, or NO_FACE, or NOT_SEEN; iou [K, T] with the owner;
    num_strays: boxes at times at which the clip has no frame.
    """

    identities: list[str]
    is_wanted: Flags
    is_ignored: Flags
    times_s: Series
    cuts: list[int]
    track_ids: list[str]
    owner: NDArray[np.int64]
    iou: Series
    num_strays: int

    @property
    def found_by(self) -> NDArray[np.int64]:
        """The track [F, T] that has each face where it is wanted, else -1."""
        found = np.full(self.is_wanted.shape, -1)
        for track, frame in zip(*np.nonzero(self.owner >= 0), strict=True):
            found[self.owner[track, frame], frame] = track
        return np.where(self.is_wanted, found, -1)

    def face_of(self, track: int) -> int:
        """The face that a track has in most of its frames, or NO_FACE."""
        owners = self.owner[track][self.owner[track] >= 0]
        return int(np.bincount(owners).argmax()) if len(owners) else NO_FACE


def score_faces(truth: pa.Table, tracks: pa.Table, names: Mapping[str, str], rules: Rules = RULES) -> FaceScores:
    """Score rows of TRACKS against rows of TRUTH; `names` gives the clip's file name for each video_id.

    Raises:
        ValueError: a track belongs to a video without a name, or to none of the clips.
    """
    matches = match_clips(truth, tracks, names, rules)
    return FaceScores({clip: face_figures(matched) for clip, matched in matches.items()})


def score_actions(
    truth: pa.Table, tracks: pa.Table, actions: pa.Table, names: Mapping[str, str], rules: Rules = RULES
) -> ActionScores:
    """Score rows of ACTIONS against rows of TRUTH; a track stands for the face that it has most of the time.

    The errors are those of `score_faces`.
    """
    measured = {row["track_id"]: row for row in actions.to_pylist()}
    nothing = ActionScores({action: ActionFigures() for action in FACIAL_ACTIONS})
    by_clip = _by_clip(truth, tracks, names).values()
    return sum((_score_clip(faces, match(faces, seen, rules), measured, rules) for faces, seen in by_clip), nothing)


def match_clips(truth: pa.Table, tracks: pa.Table, names: Mapping[str, str], rules: Rules = RULES) -> dict[str, Match]:
    """The match of each clip by its file name. The errors are those of `score_faces`."""
    return {clip: match(faces, seen, rules) for clip, (faces, seen) in _by_clip(truth, tracks, names).items()}


def match(faces: Sequence[Row], tracks: Sequence[Row], rules: Rules = RULES) -> Match:
    """Give each box of a clip to the face that it overlaps: as many wanted faces as can be, then the most overlap.

    `faces` are the rows of TRUTH of one clip, `tracks` the rows of TRACKS of its video.
    Source: Kuhn 1955 for the assignment; who must be found and who may be, after the KITTI benchmark (Geiger 2012).
    """
    faces = sorted(faces, key=lambda row: row["face"])
    tracks = sorted(tracks, key=lambda row: row["track_id"])
    times_s = np.array(faces[0]["times_s"], np.float64)
    present = np.array([row["is_present"] for row in faces], np.bool_)
    visible = np.array([row["visible_share"] for row in faces], np.float32)
    is_wanted = present & (visible >= rules.wanted_share)
    is_ignored = present & (visible >= rules.ignored_share) & ~is_wanted
    true_boxes = np.array([read_cell(TRUTH.field("boxes_xyxy"), row["boxes_xyxy"]) for row in faces], np.float64)
    boxes, num_strays = _on_clock(tracks, times_s)
    owner = np.where(np.isnan(boxes[..., 0]), NOT_SEEN, NO_FACE)
    iou = np.full(owner.shape, np.nan)
    for frame in np.flatnonzero((owner == NO_FACE).any(axis=0)).tolist():
        here = np.flatnonzero(owner[:, frame] == NO_FACE)
        there = np.flatnonzero(is_wanted[:, frame] | is_ignored[:, frame])
        overlap = _pairwise_iou(boxes[here, frame], true_boxes[there, frame])
        worth = np.where(overlap >= rules.min_iou, overlap + len(faces) * is_wanted[there, frame], 0.0)
        for row, column in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if worth[row, column] > 0:
                owner[here[row], frame], iou[here[row], frame] = there[column], overlap[row, column]
    cuts = np.searchsorted(times_s, np.array(faces[0]["cuts_s"], np.float64) - _half_step_s(times_s)).tolist()
    return Match(
        identities=[row["identity"] for row in faces],
        is_wanted=is_wanted,
        is_ignored=is_ignored,
        times_s=times_s,
        cuts=cuts,
        track_ids=[row["track_id"] for row in tracks],
        owner=owner,
        iou=iou,
        num_strays=num_strays,
    )


def face_figures(matched: Match) -> FaceFigures:
    """What a clip's match amounts to."""
    found_by = matched.found_by
    is_found = found_by >= 0
    faces, tracks = range(len(found_by)), range(len(matched.track_ids))
    changes = [in_view for face in faces for in_view in _track_changes(matched, face, found_by[face])]
    stretches = [(face, part) for face in faces for part in _runs(matched.is_wanted[face], matched.cuts)]
    found_times = [
        (matched.times_s[part], matched.times_s[part][is_found[face, part]])
        for face, part in stretches
        if is_found[face, part].any()
    ]
    return FaceFigures(
        num_frames=len(matched.times_s),
        num_wanted=int(matched.is_wanted.sum()),
        num_found=int(is_found.sum()),
        num_false=int((matched.owner == NO_FACE).sum()) + matched.num_strays,
        num_switches=sum(_num_switches(matched, track) for track in tracks),
        num_fragmentations=sum(changes),
        num_restarts=len(changes) - sum(changes),
        num_across_cuts=sum(_goes_over_a_cut(matched, track) for track in tracks),
        ious=tuple(matched.iou[found_by[is_found], np.nonzero(is_found)[1]].tolist()),
        late_starts_s=tuple(float(found_s[0] - times_s[0]) for times_s, found_s in found_times),
        early_ends_s=tuple(float(times_s[-1] - found_s[-1]) for times_s, found_s in found_times),
    )


def _by_clip(truth: pa.Table, tracks: pa.Table, names: Mapping[str, str]) -> dict[str, tuple[list[Row], list[Row]]]:
    """For each clip, in name order, its rows of TRUTH and its rows of TRACKS."""
    clips: dict[str, tuple[list[Row], list[Row]]] = {}
    for row in sorted(truth.to_pylist(), key=lambda row: str(row["clip"])):
        clips.setdefault(row["clip"], ([], []))[0].append(row)
    for row in tracks.to_pylist():
        name = names.get(row["video_id"])
        if name not in clips:
            known = f"its file name is {name!r}" if name else "`names` has no file name for it"
            raise ValueError(
                f"track {row['track_id']} is of video {row['video_id']}, which is no clip of TRUTH: {known}"
            )
        clips[name][1].append(row)
    return clips


def _on_clock(tracks: Sequence[Row], times_s: Series) -> tuple[Series, int]:
    """Boxes of the tracks on the clip's frames [K, T, 4], NaN where there is none; and how many fit no frame."""
    boxes = np.full((len(tracks), len(times_s), 4), np.nan)
    num_strays = 0
    for number, row in enumerate(tracks):
        frames = _frames_at(np.array(row["times_s"], np.float64), times_s)
        boxes[number, frames[frames >= 0]] = read_cell(TRACKS.field("boxes_xyxy"), row["boxes_xyxy"])[frames >= 0]
        num_strays += int((frames < 0).sum())
    return boxes, num_strays


def _frames_at(moments_s: Series, times_s: Series) -> NDArray[np.int64]:
    """The frame whose time is nearest to each moment, or -1 where none lies within half a frame's step."""
    later = np.clip(np.searchsorted(times_s, moments_s), 1, max(1, len(times_s) - 1))
    later = np.minimum(later, len(times_s) - 1)
    earlier = np.maximum(later - 1, 0)
    nearest = np.where(moments_s - times_s[earlier] < times_s[later] - moments_s, earlier, later)
    return np.where(np.abs(times_s[nearest] - moments_s) <= _half_step_s(times_s), nearest, -1)


def _half_step_s(times_s: Series) -> float:
    return float(np.diff(times_s).min()) / 2 if len(times_s) > 1 else 0.5


def _pairwise_iou(a: Series, b: Series) -> Series:
    """Overlap [N, M] of boxes [N, 4] with boxes [M, 4]. Not the tracker's own: a yardstick shares no code."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b))
    either = area_a[:, None] + area_b[None] - both
    overlap: Series = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return overlap


def _runs(flags: Flags, breaks: Iterable[int] = ()) -> list[slice]:
    """The runs of true flags [T], none of which reaches over a break."""
    edge = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)) != 0
    edge[[at for at in breaks if 0 < at < len(flags)]] = True
    at = np.flatnonzero(edge).tolist()
    return [slice(start, end) for start, end in pairwise(at) if flags[start]]


def _track_changes(matched: Match, face: int, found_by: NDArray[np.int64]) -> list[bool]:
    """For each time that a face goes on in another track: was it in plain view all the while?"""
    frames = np.flatnonzero(found_by >= 0).tolist()
    return [
        bool(matched.is_wanted[face, before : after + 1].all()) and not _is_cut_between(matched, before, after)
        for before, after in pairwise(frames)
        if found_by[before] != found_by[after]
    ]


def _is_cut_between(matched: Match, before: int, after: int) -> bool:
    return any(before < cut <= after for cut in matched.cuts)


def _num_switches(matched: Match, track: int) -> int:
    frames = np.flatnonzero(matched.owner[track] >= 0)
    owners = matched.owner[track, frames]
    people = [matched.identities[face] for face in owners[matched.is_wanted[owners, frames]]]
    return sum(one != next_one for one, next_one in pairwise(people))


def _goes_over_a_cut(matched: Match, track: int) -> bool:
    frames = np.flatnonzero(matched.owner[track] != NOT_SEEN)
    return len(frames) > 0 and _is_cut_between(matched, int(frames[0]), int(frames[-1]))


@dataclass(frozen=True)
class _Case:
    """One action of one face: what was drawn, and what all tracks of the face say of it.

    times_s, is_wanted [T]; drawn (weights), is_measurable, is_told, is_unclear [T, S], where S is 1 for an action of
    the middle; true_events and told_events in the order of their onsets.
    """

    times_s: Series
    is_wanted: Flags
    drawn: Series
    is_measurable: Flags
    is_told: Flags
    is_unclear: Flags
    true_events: list[Row]
    told_events: list[Row]


def _score_clip(faces: Sequence[Row], matched: Match, measured: Mapping[str, Row], rules: Rules) -> ActionScores:
    faces = sorted(faces, key=lambda row: row["face"])
    rows_of: dict[int, list[Row]] = {face: [] for face in (NO_FACE, *range(len(faces)))}
    for number, track_id in enumerate(matched.track_ids):
        if track_id in measured:
            rows_of[matched.face_of(number)].append(measured[track_id])
    of_nobody = [event["action"] for row in rows_of.pop(NO_FACE) for event in row["events"]]
    figures = {name: ActionFigures(num_extra=of_nobody.count(name)) for name in FACIAL_ACTIONS}
    for face, rows in rows_of.items():
        for name, case in _cases(faces[face], matched.is_wanted[face], matched.times_s, rows).items():
            figures[name] += _event_figures(case, rules) + _frame_figures(case, rules)
    return ActionScores(figures)


def _cases(face: Row, is_wanted: Flags, times_s: Series, rows: Sequence[Row]) -> dict[str, _Case]:
    """The case of each action, from the face's row of TRUTH and the rows of ACTIONS of its tracks."""
    drawn = read_cell(TRUTH.field("blendshapes"), face["blendshapes"]).astype(np.float64)
    measurable = np.zeros((len(times_s), len(FACIAL_ACTIONS), len(ACTION_SIDES)), np.bool_)
    for row in rows:
        frames = _frames_at(np.array(row["times_s"], np.float64), times_s)
        measurable[frames[frames >= 0]] |= read_cell(ACTIONS.field("measurable"), row["measurable"])[frames >= 0] > 0
    told = sorted((event for row in rows for event in row["events"]), key=_place)
    unclear = [span for row in rows for span in row["unclear"]]
    cases = {}
    for number, (name, facial) in enumerate(FACIAL_ACTIONS.items()):
        sides = slice(0, 1 if facial.middle else len(ACTION_SIDES))
        told_here = [event for event in told if event["action"] == name]
        unclear_here = [span for span in unclear if span["action"] == name]
        cases[name] = _Case(
            times_s=times_s,
            is_wanted=is_wanted,
            drawn=np.stack([drawn[:, units].max(axis=1) for units in _UNITS_OF[number][sides]], axis=1),
            is_measurable=measurable[:, number, sides],
            is_told=_covered(told_here, times_s, "onset_s", "offset_s")[:, sides],
            is_unclear=_covered(unclear_here, times_s, "start_s", "end_s")[:, sides],
            true_events=sorted((event for event in face["events"] if event["action"] == name), key=_place),
            told_events=told_here,
        )
    return cases


def _place(event: Row) -> tuple[float, float, str, str]:
    return event["onset_s"], event["offset_s"], event["action"], event["side"]


def _covered(spans: Sequence[Row], times_s: Series, first: str, last: str) -> Flags:
    """Frames and sides [T, S] that lie in one of the spans, ends included."""
    covered = np.zeros((len(times_s), len(ACTION_SIDES)), np.bool_)
    slack_s = _half_step_s(times_s)
    for span in spans:
        inside = (times_s >= span[first] - slack_s) & (times_s <= span[last] + slack_s)
        covered |= inside[:, None] & _sides(span)
    return covered


def _sides(span: Row) -> Flags:
    return np.array([span["side"] in (side, "both", "middle") for side in ACTION_SIDES])


def _event_figures(case: _Case, rules: Rules) -> ActionFigures:
    """Pair true with measured events of the same action so that they share the most time; only asked ones count."""
    is_strong = np.array([event["peak"] >= rules.shown_weight for event in case.true_events], np.bool_)
    shares = np.array([_measurable_share(case, event) for event in case.true_events], np.float64)
    is_asked = is_strong & (shares >= rules.asked_share)
    shared_s = np.array(
        [[_shared_s(event, told) for told in case.told_events] for event in case.true_events], np.float64
    ).reshape(len(case.true_events), len(case.told_events))
    pairs = [(t, m) for t, m in zip(*linear_sum_assignment(shared_s, maximize=True), strict=True) if shared_s[t, m] > 0]
    hits = [(case.true_events[t], case.told_events[m], shared_s[t] > 0) for t, m in pairs if is_asked[t]]
    paired = {m for _, m in pairs}
    extra = [m for m in range(len(case.told_events)) if m not in paired]
    step_s = float(np.median(np.diff(case.times_s))) if len(case.times_s) > 1 else 1.0
    return ActionFigures(
        num_events=int(is_asked.sum()),
        num_unasked=int((is_strong & ~is_asked).sum()),
        num_hits=len(hits),
        num_extra=sum(_is_extra(case, m, is_asked & (shared_s[:, m] > 0), rules) for m in extra),
        num_right_side=sum(event["side"] == told["side"] for event, told, _ in hits),
        apex_errors_frames=tuple(_apex_error_s(case, event, near) / step_s for event, _, near in hits),
    )


def _measurable_share(case: _Case, event: Row) -> float:
    """Part of an event's frames in which any of its sides could be measured."""
    inside = (case.times_s >= event["onset_s"]) & (case.times_s <= event["offset_s"])
    sides = _sides(event)[: case.drawn.shape[1]]
    return float(case.is_measurable[inside][:, sides].any(axis=1).mean()) if inside.any() else 0.0


def _shared_s(one: Row, other: Row) -> float:
    """Time that two events share; a little is added, for an event of a single frame has none of its own."""
    both_s = min(one["offset_s"], other["offset_s"]) - max(one["onset_s"], other["onset_s"])
    return max(0.0, float(both_s) + 1e-6)


def _apex_error_s(case: _Case, event: Row, near: Flags) -> float:
    apexes = [told["apex_s"] for told, is_near in zip(case.told_events, near, strict=True) if is_near]
    return float(min(abs(apex_s - event["apex_s"]) for apex_s in apexes))


def _is_extra(case: _Case, number: int, is_repeated: Flags, rules: Rules) -> bool:
    """Whether an unpaired measured event is wrong: it repeats an asked event, or nothing was drawn there at all.

    Speech and short blinks are drawn without being events of the recipe: to measure them is not wrong.
    """
    told = case.told_events[number]
    inside = _covered([told], case.times_s, "onset_s", "offset_s")[:, : case.drawn.shape[1]]
    return bool(is_repeated.any()) or not bool((case.drawn[inside] >= rules.absent_weight).any())


def _frame_figures(case: _Case, rules: Rules) -> ActionFigures:
    """Frames of true events with enough weight must be told, those with hardly any must not; others are left out."""
    is_event = _covered(case.true_events, case.times_s, "onset_s", "offset_s")[:, : case.drawn.shape[1]]
    asked = case.is_measurable & case.is_wanted[:, None]
    shown = asked & is_event & (case.drawn >= rules.shown_weight)
    absent = asked & (case.drawn < rules.absent_weight)
    missed = shown & ~case.is_told
    return ActionFigures(
        num_seen=int(case.is_wanted.sum()) * case.drawn.shape[1],
        num_measurable=int(asked.sum()),
        num_true=int((shown & case.is_told).sum()),
        num_false=int((absent & case.is_told).sum()),
        num_missed=int(missed.sum()),
        num_denied=int((missed & ~case.is_unclear).sum()),
    )
