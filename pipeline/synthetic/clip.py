"""One labelled clip: draw its plan frame by frame, keep the truth of each frame, write the video.

Shape letters: T = frames, N = faces, H, W = the picture's sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.synthetic import scene
from pipeline.synthetic.distractors import TICKS_PER_S
from pipeline.synthetic.person import Person, make_person
from pipeline.synthetic.plan import VERSION, ClipPlan, FacePlan, plan_clip
from pipeline.synthetic.recipes import true_events
from pipeline.synthetic.render import FaceState, Light, Rendered, render
from pipeline.synthetic.scene import Mask, Picture
from schemas.table import write_cell
from schemas.truth import TRUTH

__all__ = ["ClipPlan", "DrawnFrame", "draw_clip", "plan_clip", "render_clip", "truth_rows", "write_clip"]

LICENCE = "CC0-1.0"

# With its macroblock tree x264 gave small pictures other bytes from one time to the next, on one thread too.
_ENCODING = {"crf": "17", "preset": "veryfast", "x264-params": "mbtree=0"}

_NO_PICTURE = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class DrawnFrame:
    """A picture [H, W, 3]; for each face of the plan whether it is drawn [N], its visible share [N], box [N, 4] px."""

    rgb: Picture
    is_present: Mask
    visible_share: NDArray[np.float32]
    boxes_xyxy: NDArray[np.float32]


def render_clip(plan: ClipPlan) -> Iterator[Picture]:
    """The pictures of a clip, uint8 [H, W, 3], in order. The same plan gives the same bytes."""
    for frame in draw_clip(plan):
        yield frame.rgb


def draw_clip(plan: ClipPlan) -> Iterator[DrawnFrame]:
    """The pictures of a clip in order, each with what is true of it."""
    people = [make_person(face.identity) for face in plan.faces]
    rng = np.random.default_rng([plan.seed, VERSION])
    width, height = plan.size
    grain = np.round(rng.normal(0.0, plan.noise, (2 * height, 2 * width, 3))).astype(np.int16)
    for shot in plan.shots:
        background = scene.draw_background(np.random.default_rng(shot.background_seed), plan.size)
        light = Light(direction=shot.lamp, ambient=shot.ambient, strength=shot.strength, colour=shot.colour)
        for frame in range(shot.first, shot.stop):
            drawn = _draw_frame(plan, people, light, background, frame)
            x, y = rng.integers((width, height)).tolist()  # a sensor's noise is another in each frame
            bright = cv2.convertScaleAbs(drawn.rgb, alpha=float(plan.gain[frame]))
            noisy = cv2.add(bright, grain[y : y + height, x : x + width], dtype=cv2.CV_8U)
            yield replace(drawn, rgb=np.asarray(noisy, np.uint8))


def _draw_frame(plan: ClipPlan, people: Sequence[Person], light: Light, background: Picture, frame: int) -> DrawnFrame:
    drawn = [number for number, face in enumerate(plan.faces) if face.is_present[frame]]
    states = [_state(plan.faces[number], people[number], frame, plan.shift_xy[frame]) for number in drawn]
    rendered = render(scene.shifted_view(background, plan.shift_xy[frame]), states, light)
    rgb, is_hidden = rendered.rgb, np.zeros(rendered.face_of_pixel.shape, np.bool_)
    for occluder in plan.occluders:
        if occluder.is_present[frame]:
            is_hidden |= scene.draw_occluder(rgb, occluder, frame, plan.shift_xy[frame])
    return _truth_of(rendered, rgb, is_hidden, drawn, len(plan.faces))


def _state(face: FacePlan, person: Person, frame: int, shift_xy: NDArray[np.float64]) -> FaceState:
    yaw, pitch, roll = face.pose_deg[frame].tolist()
    x, y = (face.centre_xy[frame] + shift_xy).tolist()
    weights = face.blendshapes[frame].tolist()
    units = {name: weight for name, weight in zip(BLENDSHAPE_NAMES, weights, strict=True) if weight}
    return FaceState(
        person=person,
        units=units,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        centre_xy=(x, y),
        height_px=face.height_px,
    )


def _truth_of(rendered: Rendered, rgb: Picture, is_hidden: Mask, drawn: Sequence[int], num_faces: int) -> DrawnFrame:
    """What is true of a frame in which the faces `drawn` were rendered; one whose box is outside is not present."""
    height, width = is_hidden.shape
    is_present, share = np.zeros(num_faces, np.bool_), np.zeros(num_faces, np.float32)
    boxes = np.zeros((num_faces, 4), np.float32)
    for index, number in enumerate(drawn):
        left, top, right, bottom = rendered.boxes_xyxy[index].tolist()
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            continue
        num_seen = np.count_nonzero((rendered.face_of_pixel == index) & ~is_hidden)
        is_present[number] = True
        share[number] = num_seen / max(1, int(rendered.num_face_pixels[index]))
        boxes[number] = rendered.boxes_xyxy[index]
    return DrawnFrame(rgb, is_present, np.clip(share, 0.0, 1.0), boxes)


def write_clip(plan: ClipPlan, path: Path) -> list[dict[str, Any]]:
    """Draw a clip into an mp4 file (H.264, yuv420p) and return its rows of TRUTH, one for each face.

    The file appears whole or not at all. One encoder thread: the same plan then gives the same file.
    """
    import av

    part = path.with_name(f".{path.name}.part")
    frames: list[DrawnFrame] = []
    with av.open(str(part), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=30, options=_ENCODING)
        stream.width, stream.height = plan.size
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        for tick, drawn in zip(plan.ticks.tolist(), draw_clip(plan), strict=True):
            picture = av.VideoFrame.from_ndarray(drawn.rgb, format="rgb24")
            picture.pts, picture.time_base = tick, stream.time_base
            container.mux(stream.encode(picture))
            frames.append(replace(drawn, rgb=_NO_PICTURE))
        container.mux(stream.encode(None))
    part.replace(path)
    return truth_rows(plan, path.name, frames)


def truth_rows(plan: ClipPlan, clip: str, frames: Sequence[DrawnFrame]) -> list[dict[str, Any]]:
    """The rows of TRUTH of a clip of that file name, one for each face, from what was drawn [T]."""
    return [
        {
            "clip": clip,
            "face": number,
            "identity": f"person_{face.identity}",
            "label": face.label,
            "distractors": list(plan.distractors),
            "seed": plan.seed,
            "times_s": plan.times_s.tolist(),
            "is_present": [bool(frame.is_present[number]) for frame in frames],
            "visible_share": [float(frame.visible_share[number]) for frame in frames],
            "boxes_xyxy": _cell("boxes_xyxy", np.array([frame.boxes_xyxy[number] for frame in frames])),
            "pose_deg": _cell("pose_deg", face.pose_deg),
            "blendshapes": _cell("blendshapes", face.blendshapes),
            "events": true_events(face.movements),
            "cuts_s": plan.cuts_s,
            "licence": LICENCE,
        }
        for number, face in enumerate(plan.faces)
    ]


def _cell(column: str, array: NDArray[Any]) -> bytes:
    return write_cell(TRUTH.field(column), array)
