"""What may be chosen about face tracks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.stage import StageConfig


class TrackConfig(StageConfig):
    """How faces are found, followed and cut out."""

    detector: Literal["near", "far"] = "near"
    """What finds faces: `near` is fast and made for faces in the foreground, `far` also finds small ones."""

    faces_in_frame_folders: Literal["given", "search"] = "given"
    """Of clips that are folders of pictures: `given`, each picture is the crop of one face, as data sets of faces are
    published; no detector looks for it, and the clip is one track. `search`: pictures are treated as a video's frames
    are, which full scenes need."""

    min_detection_score: float = Field(default=0.5, ge=0, le=1)
    """Score of the detector from which a box is looked at as a face."""

    redetect_every: int = Field(default=5, ge=1)
    """Frames from one search of the detector to the next; between them faces are followed by their landmarks. The
    detector also looks whenever a face is lost or the picture changes at once. 1: search every frame."""

    min_presence: float = Field(default=0.5, ge=0, le=1)
    """Presence of the landmark network from which a box counts as a face: below, it was a false detection."""

    min_iou: float = Field(default=0.3, ge=0, le=1)
    """Overlap from which two boxes of successive frames can be the same face."""

    max_gap_s: float = Field(default=0.25, gt=0)
    """Longest time between two sightings of one face within a track. It also bounds the frame rate from below: at less
    than 1 / max_gap_s frames a second nothing is linked."""

    min_track_s: float = Field(default=0.5, ge=0)
    """Tracks that last less are left out, but not the face that a folder of its pictures gives."""

    max_track_s: float = Field(default=60.0, gt=0)
    """Longer tracks are cut into pieces of at most this length."""

    cut_threshold: float = Field(default=3.0, gt=0)
    """How many times more than its neighbours a frame must change to be a shot cut."""

    identity_every_s: float = Field(default=5.0, gt=0)
    """Longest time between two looks at who the face is."""

    same_person_below: float = Field(default=0.45, gt=0)
    """Distance between two face descriptors below which they are surely one person's."""

    other_person_above: float = Field(default=0.65, gt=0)
    """Distance above which they are surely two persons'."""

    crop_px: int = Field(default=224, ge=32, le=1024, multiple_of=2)
    """Side of the aligned crops. Motion tensors are of 224: from others they are made by resizing."""

    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the stored crops."""
