"""Blur the pictures of faces on pages that leave the house.

A crop is a face from side to side, so all of it is blurred: it is brought to CELLS x CELLS colours, and what is shown
is made from these alone. That cannot be undone picture by picture. It hides who is seen from networks and strangers;
whoever has the video, or knows the clothes, the room or the text, may still tell. docs/security.md says what was
measured.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CELLS = 8
"""Colours that are left along each side of a crop, of which a face takes some five. Of nine pictures of three people,
with 10 the face network still placed eight nearest to the right person; with 8, three, as chance does."""


def blurred(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop uint8 [H, W, 3] of a face, of which CELLS x CELLS colours are left, in the same size."""
    height, width = rgb.shape[:2]
    few: Any = cv2.resize(rgb, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    shown: NDArray[np.uint8] = np.asarray(cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return shown
