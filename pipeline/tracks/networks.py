"""Place the 478 landmarks of a face, and run any other network of a MediaPipe .task file, by LiteRT on one thread.

Pixel coordinates are continuous: (0, 0) is the outer corner of the first pixel and its centre is (0.5, 0.5).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.crop import crop

NUM_LANDMARKS = 478

_MESH_PX = 256
_ROI_SCALE = 1.5  # what the landmark network was trained on: the face's box, half as large again
_OUTER_EYE_CORNERS = (33, 263)  # the subject's right and left


@dataclass(frozen=True)
class Landmarks:
    """The 478 landmarks of one face.

    points float32 [478, 3] in pixels of the frame; z, on the same scale, grows away from the camera. presence is the
    network's belief, 0 to 1, that it was shown a face at all.
    """

    points: NDArray[np.float32]
    presence: float


@dataclass(frozen=True)
class Roi:
    """A square around one face: centre and side in pixels of the frame, angle in radians, clockwise as seen."""

    centre_x: float
    centre_y: float
    side_px: float
    angle_rad: float


_loading = Lock()


@contextmanager
def _quietly() -> Iterator[None]:
    """LiteRT greets on standard error when a process loads its first network, and has no switch for that."""
    with _loading, Path(os.devnull).open("wb") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


class Network:
    """A TFLite network of one float32 input. It keeps its activations inside: make one for each thread."""

    def __init__(self, model: bytes) -> None:
        """Load the network from the bytes of a .tflite file.

        Raises:
            ValueError: the bytes are no TFLite network.
        """
        # One thread: videos are what runs side by side.
        with _quietly():
            from ai_edge_litert.interpreter import Interpreter  # a training needs names from here, and no runtime

            self._interpreter = Interpreter(model_content=model, num_threads=1)
            self._interpreter.allocate_tensors()
        (self._input,) = (details["index"] for details in self._interpreter.get_input_details())
        self._outputs = {details["name"]: details["index"] for details in self._interpreter.get_output_details()}

    def __call__(self, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The outputs by name, as copies, for an input of the shape that the network was exported with.

        Raises:
            ValueError: the input has another shape or is not float32.
        """
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


class FaceNetworks:
    """The landmark network (478 points). An instance belongs to one thread: make one for each.

    Source: MediaPipe Face Landmarker, float16 version 1 (Apache-2.0).
    """

    def __init__(self, task_path: Path) -> None:
        """Load the network; the errors are those of `load_network`."""
        self._mesh = load_network(task_path, "face_landmarks_detector.tflite")

    def landmarks(self, rgb: NDArray[np.uint8], roi: Roi) -> Landmarks:
        """Place the landmarks of the face in `roi` of a frame, uint8 [H, W, 3].

        Source: Grishchenko et al. 2020, Attention Mesh (arXiv:2006.10962).
        """
        matrix = _matrix_of(roi)
        outputs = self._mesh(np.multiply(crop(rgb, matrix, _MESH_PX)[None], np.float32(1 / 255), dtype=np.float32))
        points = outputs["Identity"].reshape(NUM_LANDMARKS, 3)
        return Landmarks(
            points=_back_project(points, matrix).astype(np.float32),
            presence=float(sigmoid(outputs["Identity_1"]).item()),  # Identity_2 is not the presence
        )


def load_network(task_path: Path, member: str) -> Network:
    """One network out of a .task file, which is a zip archive.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a .task file, or has no such member.
    """
    try:
        with zipfile.ZipFile(task_path) as task:
            model = task.read(member)
    except zipfile.BadZipFile:
        raise ValueError(f"{task_path.name} is not a .task file (a zip archive): fetch it again") from None
    except KeyError:
        raise ValueError(f"{task_path.name} holds no {member}: expected a MediaPipe face_landmarker.task") from None
    return Network(model)


def roi_of_detection(box_xyxy: NDArray[np.float32], keypoints_xy: NDArray[np.float32]) -> Roi:
    """The square that the landmark network wants, from a box [4] and its keypoints [6, 2]: the eyes lie level in it."""
    return _roi(box_xyxy, keypoints_xy[1] - keypoints_xy[0])


def roi_of_landmarks(points: NDArray[np.float32]) -> Roi:
    """The square that the landmark network wants, from the face's landmarks [478, 3] in the frame before.

    Source: MediaPipe's face landmarker graph, which so follows a face without detecting it again.
    """
    right_eye, left_eye = points[_OUTER_EYE_CORNERS, :2]
    return _roi(landmark_box(points), left_eye - right_eye)


def landmark_box(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smallest box around landmarks [478, 3], float32 [4] left, top, right, bottom: hairline to chin."""
    box: NDArray[np.float32] = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return box.astype(np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic function, of any shape."""
    return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)


def _roi(box_xyxy: NDArray[np.float32], across_eyes: NDArray[np.float32]) -> Roi:
    left, top, right, bottom = box_xyxy.tolist()
    eyes_x, eyes_y = across_eyes.tolist()
    return Roi(
        centre_x=(left + right) / 2,
        centre_y=(top + bottom) / 2,
        side_px=_ROI_SCALE * max(right - left, bottom - top),
        angle_rad=float(np.arctan2(eyes_y, eyes_x)),
    )


def _matrix_of(roi: Roi) -> NDArray[np.float64]:
    """The similarity [2, 3] from pixels of the frame to pixels of the landmark network's input."""
    scale = _MESH_PX / roi.side_px
    cos, sin = scale * np.cos(roi.angle_rad), scale * np.sin(roi.angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = _MESH_PX / 2 - turn @ np.array([roi.centre_x, roi.centre_y])
    return np.column_stack([turn, shift])


def _back_project(points: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [478, 3] from pixels of the network's input to pixels of the frame."""
    turn, shift = matrix[:, :2], matrix[:, 2]
    xy = (points[:, :2] - shift) @ np.linalg.inv(turn).T
    return np.column_stack([xy, points[:, 2] / np.hypot(turn[0, 0], turn[0, 1])])
