"""Say whether two faces are the same person: a face as a point in 128 dimensions, by dlib's recognition network."""

from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.crop import crop
from pipeline.tracks.networks import NUM_LANDMARKS

IDENTITY_WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
"""The asset that the network reads."""

_CHIP_PX = 150
_PADDING = 0.25  # the margin that the network was trained with
_ANCHORS = (263, 362, 33, 133, 2)  # corners of the left eye and of the right one, outer and inner; below the nose
_MEAN_FACE = np.array(  # where dlib has these five points in the mean face, as parts of its side
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)


class IdentityNetwork:
    """dlib's face recognition network (ResNet of 29 layers). An instance belongs to one thread: make one for each.

    Source: King 2017, dlib_face_recognition_resnet_model_v1 (CC0-1.0); 99.38 % on Labeled Faces in the Wild, as stated
    there for single frontal pictures.
    """

    def __init__(self, weights: Path) -> None:
        """Load the network.

        Raises:
            RuntimeError: there is no such file, or it is not dlib's face recognition network.
        """
        self._network = dlib.face_recognition_model_v1(str(weights))

    def embed(self, rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The face of a frame, uint8 [H, W, 3], with landmarks [478, 3] in its pixels, as a point float32 [128].

        Raises:
            ValueError: the landmarks have another shape.
        """
        if landmarks.shape != (NUM_LANDMARKS, 3):
            raise ValueError(f"landmarks: expected shape [{NUM_LANDMARKS}, 3], got {list(landmarks.shape)}")
        chip = crop(rgb, _chip_matrix(landmarks), _CHIP_PX)
        return np.array(self._network.compute_face_descriptor(chip), np.float32)


def identity_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The Euclidean distance of two faces [128]: 0 for the same picture, about 0.8 for two people.

    On real clips and stills of 13 people no two were nearer than 0.50, and one person's single frames were up to 0.65
    apart where a hand covers the face; the medians of nine frames each were at most 0.44 and at least 0.56 apart.
    A face of less than 32 pixels or one that is blurred by more than 2 % of its height says little.
    """
    return float(np.linalg.norm(a - b))


def _chip_matrix(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """The similarity [2, 3] from pixels of the frame to those of dlib's face chip: the best fit to its mean face.

    Source: get_face_chip_details in dlib, for its five landmarks; the fit by Umeyama 1991.
    """
    face = landmarks[_ANCHORS, :2].astype(np.float64)
    target = (_PADDING + _MEAN_FACE) / (1 + 2 * _PADDING) * _CHIP_PX
    centre, target_centre = face.mean(axis=0), target.mean(axis=0)
    # As complex numbers a turn and a scale are one factor, and the best one is a projection.
    z, w = ((points - points.mean(axis=0)) @ [1, 1j] for points in (face, target))
    factor = np.vdot(z, w) / max(np.vdot(z, z).real, 1e-12)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, target_centre - turn @ centre])
