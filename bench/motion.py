"""Measure on rendered faces how much of the motion weight lies where the action is, by distractor and by method.

    python bench/motion.py                          # one clip of each of seven expressions by distractor
    python bench/motion.py --clips 3
    python bench/motion.py --picture docs/motion.png

Truth: each face is drawn twice more in the pose, place and light of a frame, once with the expression of that frame and
once with that of the next one; what the distractors do is in both alike. What differs between the two pictures, cut out
by the track's own transform, is what the action moves there. Patches that change at least a fifth as much as the
clip's most changed one are its truly moving regions. Tracks are found by the real networks in the pictures with the
distractors. Seeds are not those that the defaults of MotionConfig were chosen on. Prints tables in Markdown. Of real
faces they show nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.length import machine
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.motion.change import change, grey
from pipeline.motion.config import MotionConfig
from pipeline.motion.encode import AlignedTrack, Clip, compared_with, encode_clips, motion_weights
from pipeline.motion.head import face_cover, landmarks_in_crop
from pipeline.synthetic.clip import ClipPlan, plan_clip, render_clip
from pipeline.synthetic.person import make_person
from pipeline.synthetic.recipes import LABELS
from pipeline.synthetic.render import FaceState, Light, render
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.crop import crop
from pipeline.tracks.extract import FaceTrack, Networks, extract_tracks
from pipeline.tracks.stage import open_networks
from pipeline.videos.frames import Frame
from schemas.motion import CLIP_FRAMES, CROP_PX, GRID

HELD_OUT_SEED = 780_000
SIZE, FPS = (320, 240), 15.0
MOVING_SHARE = 0.2
"""Of the clip's most changed patch: from here on a patch counts as truly moving."""

CONDITIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "head motion": ("head_motion",),
    "camera shake": ("camera_shake",),
    "flicker": ("flicker",),
    "speech": ("speech",),
    "blinks": ("blinks",),
    "uneven frame rate": ("variable_frame_rate",),
    "head, shake, flicker": ("head_motion", "camera_shake", "flicker"),
}
AT_REST = ("none", "head motion", "camera shake", "flicker")
EXPRESSIONS = tuple(label for label in LABELS if label != "neutral")

Weights = NDArray[np.floating]
"""Of a clip: [F, G, G]."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered clip as the pipeline sees it, and where the action moves the face [F, G, G], a second; `all_truth`
    has what its speech and blinks move as well."""

    track: AlignedTrack
    clip: Clip
    truth: Weights
    all_truth: Weights

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Frames that have a neighbour [F]."""
        return self.clip.is_motion_known.astype(np.bool_)


def differences(scene: Scene) -> Weights:
    """The plain difference of neighbouring aligned frames, a second."""
    found = np.zeros((CLIP_FRAMES, GRID, GRID), np.float32)
    for number, position in enumerate(scene.clip.positions.tolist()):
        if scene.is_known[number]:
            pair = (grey(scene.track.read_crop(position + step)) for step in (0, 1))
            step_s = scene.track.times_s[position + 1] - scene.track.times_s[position]
            found[number] = _pooled(cv2.absdiff(*pair)) / step_s
    return found


def former(scene: Scene) -> Weights:
    """What the stage did until version 2: each frame's median removed, scaled by 6 MAD, exponent 0.5."""
    plain = differences(scene)
    above = np.maximum(plain - np.median(plain, axis=(1, 2), keepdims=True), 0)
    return motion_weights(above, scene.is_known, MotionConfig(scale_mad=6.0, gamma=0.5, least_reach=1e-9))


def within_outline(scene: Scene) -> Weights:
    """The plain difference, of the face alone."""
    outlines = scene.track.landmarks[scene.clip.positions][..., :2]
    covers = [_pooled(face_cover(outline, MotionConfig().edge_px)) for outline in outlines]
    return differences(scene) * np.stack(covers)


def without_head(scene: Scene) -> Weights:
    """The present method, but for the head's movement, which is left in."""
    config, track = MotionConfig(), scene.track
    changes = np.zeros((CLIP_FRAMES, GRID, GRID), np.float32)
    for number, position in enumerate(scene.clip.positions.tolist()):
        other = compared_with(track.times_s, track.is_break_before, position, config.step_s)
        if scene.is_known[number] and other is not None:
            still = track.landmarks[position]
            before, after = (grey(track.read_crop(one)) for one in (position, other))
            changes[number] = change(before, after, still, still, config)
            changes[number] /= track.times_s[other] - track.times_s[position]
    return motion_weights(changes, scene.is_known, config)


def present(scene: Scene) -> Weights:
    """What the stage stores."""
    return scene.clip.motion_weights


METHODS: dict[str, Callable[[Scene], Weights]] = {
    "plain difference": differences,
    "former (median removed)": former,
    "plain, within the outline": within_outline,
    "present, head left in": without_head,
    "present": present,
}


def _pooled(picture: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


@lru_cache(maxsize=1)
def _networks() -> Networks:
    return open_networks(TrackConfig())


def make_scene(label: str, condition: str, seed: int) -> Scene | None:
    """Render a clip, track its face, encode it, and draw the truth; None where no track of 16 frames was found."""
    cv2.setNumThreads(1)
    asked = partial(plan_clip, seed, label=label, size=SIZE, fps=FPS)
    plan = asked(distractors=CONDITIONS[condition])
    alone = asked(distractors=tuple(set(CONDITIONS[condition]) & {"variable_frame_rate"}))  # what the recipe does
    pictures = list(render_clip(plan))

    def read() -> Iterator[Frame]:
        return (
            Frame(n, float(time_s), rgb) for n, (time_s, rgb) in enumerate(zip(plan.times_s, pictures, strict=True))
        )

    with extract_tracks(read, _networks(), TrackConfig()) as found:
        if not found.tracks:
            return None
        faces = max(found.tracks, key=lambda track: len(track.times_s))
        landmarks = found.landmarks_px(faces)
        jpegs = [np.frombuffer(jpeg, np.uint8) for jpeg in found.crops_jpeg(faces)]
    crops = [np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), np.uint8) for jpeg in jpegs]
    track = AlignedTrack(
        times_s=faces.times_s,
        is_break_before=faces.is_gap_before,
        landmarks=landmarks_in_crop(landmarks, faces.transforms, 1.0),
        read_crop=crops.__getitem__,
    )
    clip = next(encode_clips(track, MotionConfig()), None)
    if clip is None:
        return None
    recipe, shown = alone.faces[0].blendshapes, plan.faces[0].blendshapes
    truth = _truth(plan, recipe, faces, clip)
    return Scene(track, clip, truth, truth if np.array_equal(recipe, shown) else _truth(plan, shown, faces, clip))


def _truth(plan: ClipPlan, recipe: NDArray[np.float32], track: FaceTrack, clip: Clip) -> Weights:
    """Change of brightness a second that weights [T, 52] cause between each frame and the next [F, G, G]."""
    truth = np.zeros((CLIP_FRAMES, GRID, GRID), np.float32)
    shown = plan.faces[0].blendshapes
    for number, position in enumerate(clip.positions.tolist()):
        if not clip.is_motion_known[number]:
            continue
        frame, following = track.frame_indices[[position, position + 1]].tolist()
        if np.abs(recipe[following] - recipe[frame]).max() < 1e-3:
            continue
        distraction = np.where(shown[frame] > recipe[frame], shown[frame], 0)
        cut = [
            crop(_drawn(plan, frame, np.maximum(recipe[when], distraction)), track.transforms[position], CROP_PX)
            for when in (frame, following)
        ]
        step_s = track.times_s[position + 1] - track.times_s[position]
        truth[number] = _pooled(cv2.absdiff(*map(grey, cut))) / step_s
    return truth


def _drawn(plan: ClipPlan, frame: int, blendshapes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The face in the pose of a frame with these weights, on plain grey, without noise or flicker."""
    face, shot = plan.faces[0], plan.shots[0]
    yaw, pitch, roll = face.pose_deg[frame].tolist()
    x, y = (face.centre_xy[frame] + plan.shift_xy[frame]).tolist()
    units = {name: float(w) for name, w in zip(BLENDSHAPE_NAMES, blendshapes.tolist(), strict=True) if w}
    state = FaceState(_person(face.identity), units, yaw, pitch, roll, (x, y), face.height_px)
    light = Light(shot.lamp, shot.ambient, shot.strength, shot.colour)
    return render(np.full((plan.size[1], plan.size[0], 3), 128, np.uint8), [state], light).rgb


@lru_cache(maxsize=4)
def _person(identity: int) -> Any:
    return make_person(identity)


@dataclass(frozen=True)
class Score:
    """Of one clip and method: share of the weight on the regions that the action moves and on those that anything of
    the face moves, correlation with the truth, mean weight."""

    share: float
    share_of_all: float
    correlation: float
    mean: float


def score(scene: Scene, method: Callable[[Scene], Weights]) -> Score:
    """How well a method's weights lie on what the action moves, over the known frames of a clip."""
    weights, truth = method(scene)[scene.is_known].astype(np.float64), scene.truth[scene.is_known]
    total = max(float(weights.sum()), 1e-9)
    of_action, of_all = (float(weights[_is_moving(t)].sum()) for t in (truth, scene.all_truth[scene.is_known]))
    return Score(
        share=of_action / total,
        share_of_all=of_all / total,
        correlation=float(np.corrcoef(weights.ravel(), truth.ravel())[0, 1]) if weights.std() and truth.std() else 0.0,
        mean=float(weights.mean()),
    )


def _is_moving(truth: Weights) -> NDArray[np.bool_]:
    is_moving: NDArray[np.bool_] = (truth >= MOVING_SHARE * truth.max()) & (truth > 0)
    return is_moving


def _scores(task: tuple[str, str, int]) -> tuple[dict[str, Score], float, float] | None:
    """Scores by method, share of patches that move, and seconds that encoding the clip takes."""
    scene = make_scene(*task)
    if scene is None:
        return None
    began = time.process_time()
    list(encode_clips(scene.track, MotionConfig()))
    took_s = time.process_time() - began
    truth = scene.truth[scene.is_known]
    area = float(_is_moving(truth).mean())
    return {name: score(scene, method) for name, method in METHODS.items()}, area, took_s


def show(clips: int, workers: int, conditions: Sequence[str]) -> None:
    """The tables."""
    acting = [
        (label, condition, HELD_OUT_SEED + 100 * n + number)
        for condition in conditions
        for number, label in enumerate(EXPRESSIONS)
        for n in range(clips)
    ]
    resting = [
        ("neutral", condition, HELD_OUT_SEED + 50 + n)
        for condition in AT_REST
        if condition in conditions
        for n in range(3 * clips)
    ]
    with ProcessPoolExecutor(workers) as pool:
        results = list(pool.map(_scores, acting + resting))
    done = [(task, result) for task, result in zip(acting + resting, results, strict=True) if result is not None]
    print(f"{len(done)} of {len(results)} clips gave a track; {len(EXPRESSIONS) * clips} clips of each distractor.\n")
    print("Share of the motion weight on truly moving action regions (correlation with what the action changes):\n")
    print(f"| distractor | patches that move | {' | '.join(METHODS)} | present by plain | on all that the face does |")
    print("|---" * (len(METHODS) + 4) + "|")
    for condition in conditions:
        of_it = [result for (label, name, _), result in done if name == condition and label != "neutral"]
        shares = {name: float(np.mean([scores[name].share for scores, _, _ in of_it])) for name in METHODS}
        close = {name: float(np.mean([scores[name].correlation for scores, _, _ in of_it])) for name in METHODS}
        area = 100 * np.mean([area for _, area, _ in of_it])
        cells = [f"{100 * shares[name]:.1f} % ({close[name]:.2f})" for name in METHODS]
        factor = shares["present"] / shares["plain difference"]
        of_all = 100 * np.mean([scores["present"].share_of_all for scores, _, _ in of_it])
        print(f"| {condition} | {area:.1f} % | {' | '.join(cells)} | {factor:.1f} x | {of_all:.1f} % |")
    _show_at_rest([(task[0], task[1], result[0]) for task, result in done])
    print(
        f"\nEncoding a clip of 16 frames takes {np.median([took_s for _, (_, _, took_s) in done]):.3f} s on one core."
    )


def _show_at_rest(done: Sequence[tuple[str, str, dict[str, Score]]]) -> None:
    print("\nMean weight of a face that does nothing, and beside it of the acting faces:\n")
    print("| distractor | former, at rest | former, acting | present, at rest | present, acting |")
    print("|---|---|---|---|---|")
    for condition in [name for name in AT_REST if any(where == name for _, where, _ in done)]:
        cells = [
            np.mean([s[name].mean for label, where, s in done if where == condition and (label == "neutral") is rests])
            for name in ("former (median removed)", "present")
            for rests in (True, False)
        ]
        print(f"| {condition} | {' | '.join(f'{cell:.4f}' for cell in cells)} |")


def draw(path: Path, label: str = "surprise", seed: int = HELD_OUT_SEED + 3) -> None:
    """A filmstrip of a clip with head motion: its frames, what the action moves, former weights and present ones."""
    scene = make_scene(label, "head motion", seed)
    if scene is None:
        raise SystemExit(f"{label} of seed {seed}: no track, choose another seed")
    chosen = np.flatnonzero(scene.is_known)[1::2][:7]
    rows = {
        "frames": None,
        "what the action moves": scene.truth / max(scene.truth.max(), 1e-9),
        "former weights": former(scene).astype(np.float32),
        "present weights": present(scene).astype(np.float32),
    }
    strips = [
        _strip(name, scene.clip.frames[chosen], heat if heat is None else heat[chosen]) for name, heat in rows.items()
    ]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(strips), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _strip(name: str, frames: NDArray[np.uint8], heat: Weights | None) -> NDArray[np.uint8]:
    side = 128
    title = np.full((22, side * len(frames), 3), 255, np.uint8)
    cv2.putText(title, name, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    pictures = []
    for number, frame in enumerate(frames):
        picture = np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        if heat is not None:
            weight = cv2.resize(heat[number].astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)[
                ..., None
            ]
            dim = 0.45 * picture.mean(axis=2, keepdims=True)
            picture = dim + weight * (np.array([255, 120, 0], np.float32) - dim)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.vstack([title, np.hstack(pictures)])


def main() -> None:
    """Print the tables, or draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1, help="clips of each expression and distractor")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--distractors", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--picture", type=Path, help="draw a filmstrip there instead of measuring")
    asked = parser.parse_args()
    if asked.picture:
        draw(asked.picture)
        return
    print(machine(), end="\n\n")
    show(asked.clips, asked.workers, asked.distractors)


if __name__ == "__main__":
    main()
