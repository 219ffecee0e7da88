"""Measure 52 facial actions (ARKit's blendshapes, 0 to 1) from landmarks, frame by frame, by MediaPipe's network.

Of known weakness: cheekSquint and noseSneerLeft hardly react; smile, jawOpen and eyeBlink are its best.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.networks import NUM_LANDMARKS, load_network

BLENDSHAPE_NAMES: tuple[str, ...] = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)
"""In the network's order; left and right are the subject's. "_neutral" means nothing."""

# fmt: off
_SUBSET = (  # the landmarks that the network reads, of 478
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
# fmt: on
_OUTPUT = "StatefulPartitionedCall:0"


class BlendshapeNetwork:
    """The blendshape network of a .task file. An instance belongs to one thread: make one for each.

    Source: MediaPipe Face Landmarker, float16 version 1 (Apache-2.0).
    """

    def __init__(self, task_path: Path) -> None:
        """Load the network; the errors are those of `load_network`."""
        self._network = load_network(task_path, "face_blendshapes.tflite")

    def measure(self, landmarks_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Actions [T, 52], 0 to 1, from landmarks [T, 478, 3] in pixels.

        The network itself takes out place and size, so any unit that x and y share will do. It does not take out roll.

        Raises:
            ValueError: the landmarks have another shape.
        """
        if landmarks_px.shape[1:] != (NUM_LANDMARKS, 3):
            raise ValueError(f"landmarks: expected shape [T, {NUM_LANDMARKS}, 3], got {list(landmarks_px.shape)}")
        subset = np.ascontiguousarray(landmarks_px[:, None, _SUBSET, :2], np.float32)
        actions = [self._network(points)[_OUTPUT] for points in subset]  # one by one: the network takes no batch
        return np.array(actions, np.float32).reshape(-1, len(BLENDSHAPE_NAMES))
