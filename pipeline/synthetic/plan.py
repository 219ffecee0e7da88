"""Plan a clip from its seed: who does what, where, in front of what, and with which distractors; numbers only.

Shape letters: T = frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic import distractors as hard
from pipeline.synthetic import recipes
from pipeline.synthetic.recipes import LABELS, Movement, Series
from pipeline.synthetic.scene import MARGIN_PX, SKIN_TONES, Colour, Mask, Occluder

VERSION = 1
"""Raised when the same seed and switches would draw another clip."""

CHEST = 1.35
"""The drawn chest ends about this many face heights below the middle of the face."""

OUTSIDE = 1.6
"""A face that has left is this many face heights beyond the picture's edge: hair and shoulders are gone too."""


class ClipError(ValueError):
    """A clip that cannot be drawn as asked; the message says what was got and what was expected."""


@dataclass(frozen=True, eq=False)
class FacePlan:
    """One face and what it does: movements, centre [T, 2] px, height hairline to chin, yaw, pitch, roll [T, 3],
    weights of the blendshapes [T, 52], and the frames in which it is drawn [T]."""

    identity: int
    label: str
    movements: tuple[Movement, ...]
    centre_xy: Series
    height_px: float
    pose_deg: Series
    blendshapes: NDArray[np.float32]
    is_present: Mask


@dataclass(frozen=True)
class Shot:
    """The frames from one cut to the next, [first, stop), and what surrounds the faces in them.

    `lamp` points from the faces to the light, as x right, y up, z to the camera; `ambient` and `strength` are 0 to 1.
    """

    first: int
    stop: int
    background_seed: int
    lamp: tuple[float, float, float]
    ambient: float
    strength: float
    colour: Colour


@dataclass(frozen=True, eq=False)
class ClipPlan:
    """All that is drawn. Faces are in the order of their numbers; `ticks` [T] are times on the clock of TICKS_PER_S.

    shift_xy [T, 2] px moves the whole picture; gain [T] is a factor of its brightness; noise is in grey levels.
    """

    seed: int
    label: str
    distractors: tuple[str, ...]
    size: tuple[int, int]
    ticks: NDArray[np.int64]
    shots: tuple[Shot, ...]
    faces: tuple[FacePlan, ...]
    occluders: tuple[Occluder, ...]
    shift_xy: Series
    gain: Series
    noise: float

    @property
    def times_s(self) -> Series:
        """Presentation time of each frame [T] in seconds."""
        times: Series = self.ticks / hard.TICKS_PER_S
        return times

    @property
    def cuts_s(self) -> list[float]:
        """Presentation time of the first frame after each cut."""
        return [float(self.times_s[shot.first]) for shot in self.shots[1:]]


def plan_clip(
    seed: int,
    *,
    label: str | None = None,
    action: str | None = None,
    side: str | None = None,
    peak: float | None = None,
    distractors: Sequence[str] = (),
    size: tuple[int, int] = (640, 360),
    fps: float = 30.0,
    seconds: float = 2.5,
    identities: Sequence[int] | None = None,
) -> ClipPlan:
    """Decide everything about a clip from its seed; what is not given is drawn.

    The first face follows `label` or does the one `action` (on `side`, with weight `peak`), others follow labels of
    their own. `identities` are seeds of persons to choose from, each at most once where there are enough. Each subject
    (person, light, expression, …) has a random stream of its own: the same seed with other distractors is the same
    person who does the same.

    Raises:
        RecipeError: an unknown label or action, a side that it has not, or a peak outside of 0 to 1.
        DistractorError: an unknown distractor.
        ClipError: both a label and an action, no identity, or a size, rate or length that no clip can have.
    """
    chosen = hard.check_distractors(distractors)
    _check(label, action, size, fps, seconds)
    name = label or action or str(_rng(seed, "label").choice(LABELS))
    ticks = hard.frame_ticks(seconds, fps, _rng(seed, "clock") if "variable_frame_rate" in chosen else None)
    clip = _Clip(seed, frozenset(chosen), size, ticks / hard.TICKS_PER_S)
    shots = _plan_shots(clip)
    places = [place for number, shot in enumerate(shots) for place in _places(clip, number, shot)]
    people = _choose_people(clip, len(places), identities)
    first = _Task(name, side, peak)
    faces = tuple(
        _plan_face(clip, number, place, identity, first if number == 0 else _own_task(clip, number))
        for number, (place, identity) in enumerate(zip(places, people, strict=True))
    )
    return ClipPlan(
        seed=seed,
        label=name,
        distractors=chosen,
        size=size,
        ticks=ticks,
        shots=shots,
        faces=faces,
        occluders=_plan_occluders(clip, places, faces),
        shift_xy=_shake(clip),
        gain=hard.flicker(_rng(seed, "flicker"), clip.times_s) if "flicker" in chosen else np.ones(len(ticks)),
        noise=float(_rng(seed, "noise").uniform(1.0, 3.0)),
    )


@dataclass(frozen=True, eq=False)
class _Clip:
    """What every part of the plan reads."""

    seed: int
    chosen: frozenset[str]
    size: tuple[int, int]
    times_s: Series


@dataclass(frozen=True)
class _Place:
    """Where a face is in a shot: its centre in the first and in the last frame. The shot's first face is `is_main`."""

    shot: Shot
    start_xy: tuple[float, float]
    end_xy: tuple[float, float]
    height_px: float
    is_main: bool


@dataclass(frozen=True)
class _Task:
    """The recipe that a face follows; None is drawn."""

    name: str
    side: str | None = None
    peak: float | None = None


def _rng(seed: int, subject: str, number: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(subject.encode()), number])


def _check(label: str | None, action: str | None, size: tuple[int, int], fps: float, seconds: float) -> None:
    if label is not None and action is not None:
        raise ClipError(f"a face follows a label or does one action: got label {label!r} and action {action!r}")
    if min(size) < 128 or max(size) > 4096 or size[0] % 2 or size[1] % 2:
        raise ClipError(f"size {size[0]}x{size[1]}: expected even sides from 128 to 4096 px")
    if not 5 <= fps <= 240:
        raise ClipError(f"fps {fps:g}: expected 5 to 240 frames per second")
    if not 1 <= seconds <= 3600:
        raise ClipError(f"seconds {seconds:g}: expected 1 to 3600, since an expression has to rise and fall")


def _plan_shots(clip: _Clip) -> tuple[Shot, ...]:
    num_frames = len(clip.times_s)
    edges = [0, num_frames]
    if "cut" in clip.chosen:
        edges.insert(1, round(num_frames * float(_rng(clip.seed, "cut").uniform(0.4, 0.6))))
    return tuple(_plan_shot(clip, number, *edges[number : number + 2]) for number in range(len(edges) - 1))


def _plan_shot(clip: _Clip, number: int, first: int, stop: int) -> Shot:
    """A lamp in the front half, mostly from above, warm or cool."""
    rng = _rng(clip.seed, "light", number)
    across, up, ambient, strength, warmth = rng.uniform((-1.0, -0.1, 0.35, 0.5, -0.12), (1.0, 0.9, 0.55, 0.8, 0.12))
    colour = np.array([1.0 + warmth, 1.0, 1.0 - warmth]) / (1.0 + abs(warmth))
    return Shot(
        first=first,
        stop=stop,
        background_seed=int(_rng(clip.seed, "background", number).integers(2**31)),
        lamp=(float(across), float(up), 1.0),
        ambient=float(ambient),
        strength=float(strength),
        colour=(float(colour[0]), float(colour[1]), float(colour[2])),
    )


def _places(clip: _Clip, number: int, shot: Shot) -> list[_Place]:
    """One face near the middle, or two, or three side by side; the first two pass each other where they cross."""
    rng = _rng(clip.seed, "place", number)
    width, height = clip.size
    is_crossing, is_group = "crossing" in clip.chosen, bool(clip.chosen & {"crossing", "several"})
    face_px = float(
        rng.uniform(30, 48) if "small" in clip.chosen else height * rng.uniform(0.26, 0.32 if is_group else 0.6)
    )
    lanes = (
        [0.18, 0.5, 0.82]
        if "several" in clip.chosen
        else [0.2, 0.8]
        if is_crossing
        else [float(rng.uniform(0.36, 0.64))]
    )
    places: list[_Place] = []
    level = float(rng.uniform(0.42, 0.55)) * height
    for lane in rng.permutation(lanes).tolist():
        near = float(rng.uniform(1.1, 1.25)) if places else 1.0  # later faces stand nearer: they are drawn in front
        low = 0.65 * near * face_px
        centre = (lane * width, float(np.clip(level + rng.uniform(-0.2, 0.2) * face_px, low, height - low)))
        places.append(_Place(shot, centre, centre, near * face_px, is_main=not places))
    if is_crossing:
        first, second = places[:2]
        places[0] = replace(first, end_xy=(second.start_xy[0], first.start_xy[1]))
        level = first.start_xy[1] + float(rng.uniform(-0.1, 0.2)) * face_px
        places[1] = replace(second, start_xy=(second.start_xy[0], level), end_xy=(first.start_xy[0], level))
    return places


def _choose_people(clip: _Clip, count: int, identities: Sequence[int] | None) -> list[int]:
    rng = _rng(clip.seed, "people")
    if identities is None:
        return [int(identity) for identity in rng.integers(0, 2**31, size=count)]
    if not identities:
        raise ClipError("identities: expected at least one seed of a person, got none")
    return [int(identity) for identity in rng.choice(identities, size=count, replace=count > len(identities))]


def _own_task(clip: _Clip, number: int) -> _Task:
    return _Task(str(_rng(clip.seed, "label", number).choice(LABELS)))


def _plan_face(clip: _Clip, number: int, place: _Place, identity: int, task: _Task) -> FacePlan:
    """What one face does from the first to the last frame of its shot, at rest before and after."""
    times_s, shot = clip.times_s, place.shot
    start_s, end_s = float(times_s[shot.first]), float(times_s[shot.stop - 1])
    pose_deg, centre_xy = _head_path(clip, number, place)
    rest_s = end_s
    if "leave_and_return" in clip.chosen and place.is_main:
        moments = _absence(_rng(clip.seed, "absence", number), start_s, end_s)
        centre_xy[:, 0] += _way_out(clip, place, centre_xy) * hard.there_and_back(times_s, *moments)
        rest_s = moments[0]  # the expression is over when the face leaves
    expression = _rng(clip.seed, "expression", number)
    movements = recipes.plan_recipe(task.name, expression, start_s, rest_s, side=task.side, peak=task.peak)
    if "blinks" in clip.chosen:
        movements += hard.blinks(_rng(clip.seed, "blinks", number), start_s, end_s)
    weights = recipes.blend(movements, times_s)
    if "speech" in clip.chosen:
        weights = np.maximum(weights, hard.speech(_rng(clip.seed, "speech", number), times_s))
    frames = np.arange(len(times_s))
    return FacePlan(
        identity=identity,
        label=task.name,
        movements=movements,
        centre_xy=centre_xy,
        height_px=place.height_px,
        pose_deg=pose_deg,
        blendshapes=weights,
        is_present=(frames >= shot.first) & (frames < shot.stop),
    )


def _head_path(clip: _Clip, number: int, place: _Place) -> tuple[Series, Series]:
    """Pose [T, 3] in degrees and centre [T, 2] in px: a mild sway about a resting pose, and what is asked for more."""
    rng = _rng(clip.seed, "head", number)
    times_s = clip.times_s
    pose_deg = rng.uniform((-12.0, -8.0, -5.0), (12.0, 8.0, 5.0)) + hard.sway(rng, times_s, (4.0, 3.0, 2.0), 0.6)
    drift = hard.sway(rng, times_s, (0.03, 0.03), 0.5)
    if "head_motion" in clip.chosen:
        pose_deg += hard.sway(rng, times_s, (45.0, 26.0, 24.0), 1.3)
        drift += hard.sway(rng, times_s, (0.35, 0.12), 1.0)
    start_s, end_s = float(times_s[place.shot.first]), float(times_s[place.shot.stop - 1])
    if "profile" in clip.chosen:
        length_s = end_s - start_s
        arrive, leave = rng.uniform((0.4, 0.6), (0.5, 0.7))
        turn = hard.there_and_back(
            times_s,
            start_s + 0.2 * length_s,
            start_s + arrive * length_s,
            start_s + leave * length_s,
            start_s + 0.95 * length_s,
        )
        goal_deg = float(rng.choice([-1, 1]) * rng.uniform(74, 88))
        pose_deg[:, 0] += turn * (goal_deg - pose_deg[:, 0])
        pose_deg[:, 1] *= 1 - 0.7 * turn
    start, end = np.array(place.start_xy), np.array(place.end_xy)
    way = np.interp(times_s, [start_s + 0.15 * (end_s - start_s), end_s - 0.15 * (end_s - start_s)], [0.0, 1.0])
    return pose_deg, start + way[:, None] * (end - start) + drift * place.height_px


def _absence(rng: np.random.Generator, start_s: float, end_s: float) -> tuple[float, float, float, float]:
    """When a face starts to leave, is gone, starts to return, is back."""
    parts = np.array([0.5, 0.62, 0.78, 0.9]) + rng.uniform(-0.03, 0.03, 4)
    starts, gone, returns, back = (start_s + parts * (end_s - start_s)).tolist()
    return starts, gone, returns, back


def _way_out(clip: _Clip, place: _Place, centre_xy: Series) -> float:
    """How far to move, px, so that a face is outside wherever its own way leads: out by the side it is nearer to."""
    low, high = float(centre_xy[:, 0].min()), float(centre_xy[:, 0].max())
    to_the_right = clip.size[0] - low + OUTSIDE * place.height_px
    to_the_left = high + OUTSIDE * place.height_px
    return to_the_right if to_the_right < to_the_left else -to_the_left


def _shake(clip: _Clip) -> Series:
    """How far the whole picture is moved [T, 2], px."""
    if "camera_shake" not in clip.chosen:
        return np.zeros((len(clip.times_s), 2))
    reach_px = min(0.03 * clip.size[1], MARGIN_PX - 1.0)
    return hard.sway(_rng(clip.seed, "shake"), clip.times_s, (reach_px, reach_px), 7.0)


def _plan_occluders(clip: _Clip, places: Sequence[_Place], faces: Sequence[FacePlan]) -> tuple[Occluder, ...]:
    """A desk where one is needed, and what passes in front of the main face of each shot; later ones in front."""
    makers = {"occluding_bar": _bar, "occluding_hand": _hand, "short_miss": _board}
    passing = tuple(
        maker(_rng(clip.seed, name, number), clip.times_s, place.shot, face)
        for number, (place, face) in enumerate(zip(places, faces, strict=True))
        if place.is_main
        for name, maker in makers.items()
        if name in clip.chosen
    )
    return _desks(clip, places, faces) + passing


def _desks(clip: _Clip, places: Sequence[_Place], faces: Sequence[FacePlan]) -> tuple[Occluder, ...]:
    """Where a chest would end in mid-air its owner stands behind a desk, one for all the faces of a shot."""
    desks = []
    for shot in dict.fromkeys(place.shot for place in places):
        there = [face for face, place in zip(faces, places, strict=True) if place.shot is shot]
        edge_px = min(float(face.centre_xy[:, 1].mean()) + CHEST * face.height_px for face in there)
        if edge_px < clip.size[1]:
            rng = _rng(clip.seed, "desk", shot.first)
            shade = (rng.uniform(45, 150) * rng.uniform((0.95, 0.8, 0.65), (1.0, 0.95, 0.9))).tolist()
            centre_xy = np.tile((clip.size[0] / 2, edge_px), (len(clip.times_s), 1))
            colour = (shade[0], shade[1], shade[2])
            desks.append(Occluder("desk", colour, 0.0, centre_xy, float(max(clip.size)), there[0].is_present))
    return tuple(desks)


def _hand(rng: np.random.Generator, times_s: Series, shot: Shot, face: FacePlan) -> Occluder:
    """From below to mouth, chin or cheek, over the eyes too where it reaches up, and down again."""
    start_s, length_s = _span(times_s, shot)
    begin, arrive, leave, end = (start_s + length_s * rng.uniform((0.1, 0.3, 0.6, 0.8), (0.2, 0.4, 0.7, 0.9))).tolist()
    goal = rng.uniform((-0.3, -0.1), (0.3, 0.4))
    from_below = np.array([goal[0] + rng.uniform(-0.5, 0.5), 2.2])
    way = hard.there_and_back(times_s, begin, arrive, leave, end)[:, None]
    fidget = hard.sway(rng, times_s, (0.05, 0.05), 1.0)
    return Occluder(
        kind="hand",
        colour=SKIN_TONES[int(rng.integers(len(SKIN_TONES)))],
        angle_deg=float(rng.uniform(-35, 35)),
        centre_xy=face.centre_xy + (from_below + way * (goal - from_below) + fidget) * face.height_px,
        height_px=0.95 * face.height_px,
        is_present=face.is_present & (times_s > begin) & (times_s < end),
    )


def _bar(rng: np.random.Generator, times_s: Series, shot: Shot, face: FacePlan) -> Occluder:
    """From one side to the other, upright or a little tilted."""
    start_s, length_s = _span(times_s, shot)
    begin, end = (start_s + length_s * rng.uniform((0.05, 0.75), (0.25, 0.95))).tolist()
    across = float(rng.choice([-1, 1])) * np.interp(times_s, [begin, end], [-1.6, 1.6])
    dark = float(rng.uniform(30, 120))
    return Occluder(
        kind="bar",
        colour=(dark, dark * float(rng.uniform(0.8, 1.1)), dark * float(rng.uniform(0.7, 1.1))),
        angle_deg=float(rng.uniform(-25, 25)),
        centre_xy=face.centre_xy.mean(axis=0) + np.column_stack([across, np.zeros(len(times_s))]) * face.height_px,
        height_px=1.4 * face.height_px,
        is_present=face.is_present & (times_s >= begin) & (times_s <= end),
    )


def _board(rng: np.random.Generator, times_s: Series, shot: Shot, face: FacePlan) -> Occluder:
    """There at once, covering the whole head, and gone at once."""
    start_s, length_s = _span(times_s, shot)
    begin = start_s + length_s * float(rng.uniform(0.3, 0.65))
    covered_s = float(rng.uniform(0.1, 0.2))
    shown = (times_s >= begin) & (times_s < begin + covered_s)
    shown[np.searchsorted(times_s, begin)] = True  # one frame at the least, however far apart they are
    grey = rng.uniform((60, 60, 60), (170, 160, 150)).tolist()
    return Occluder(
        kind="board",
        colour=(grey[0], grey[1], grey[2]),
        angle_deg=float(rng.uniform(-8, 8)),
        centre_xy=face.centre_xy,
        height_px=2.4 * face.height_px,
        is_present=face.is_present & shown,
    )


def _span(times_s: Series, shot: Shot) -> tuple[float, float]:
    """Start and length of a shot in seconds."""
    start_s = float(times_s[shot.first])
    return start_s, float(times_s[shot.stop - 1]) - start_s
