"""Tracks of clips that are folders of face crops: the same as those of the video that the crops were cut from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.run import ShardInput, run_stage
from pipeline.stage import Resources, content_hash
from pipeline.store import Store
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import Extraction, Networks, extract_tracks
from pipeline.tracks.given import link_given
from pipeline.tracks.stage import EXTRACT_TRACKS, open_networks
from pipeline.videos.config import VideoConfig
from pipeline.videos.frame_folder import hash_frames
from pipeline.videos.frames import probe, read_frames
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import WALK, BuildConfig, Walk
from schemas.rejects import REJECTS
from schemas.table import read_cell
from schemas.tracks import CROPS, TRACKS
from schemas.videos import SOURCES, VIDEOS

Assets = Callable[[str], Path]
NUM_FRAMES = 40


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks(TrackConfig())


def export(video: Path, folder: Path, *, name: str = "{:05d}.jpg", first: int = 1) -> Path:
    """The video's whole frames as pictures."""
    folder.mkdir(parents=True)
    for frame in islice(read_frames(video, probe(video).decoder), NUM_FRAMES):
        options = [cv2.IMWRITE_JPEG_QUALITY, 98]
        cv2.imwrite(str(folder / name.format(first + frame.index)), frame.rgb[..., ::-1], options)
    return folder


def crop_faces(video: Path, found: Extraction, folder: Path, *, margin: float, px: int) -> np.ndarray:
    """Its faces, as data sets are cut: a square around the middle face, `margin` times as large. Returns the transform
    [2, 3] from the video's pixels."""
    (track,) = found.tracks
    boxes = track.boxes_xyxy
    left, top, right, bottom = boxes[len(boxes) // 2].tolist()
    scale = px / (margin * max(right - left, bottom - top))
    shift = px / 2 - scale * np.array([(left + right) / 2, (top + bottom) / 2])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    folder.mkdir(parents=True)
    for frame in islice(read_frames(video, probe(video).decoder), NUM_FRAMES):
        cut = cv2.warpAffine(frame.rgb, matrix, (px, px), flags=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{frame.index + 1:05d}.png"), cut[..., ::-1])
    return matrix


def of_folder(folder: Path, networks: Networks, **config: object) -> Extraction:
    read = partial(read_frames, folder, probe(folder).decoder)
    return extract_tracks(read, networks, TrackConfig.model_validate(config), is_face_given=True)


def of_video(video: Path, networks: Networks) -> Extraction:
    decoder = probe(video).decoder
    return extract_tracks(lambda: islice(read_frames(video, decoder), NUM_FRAMES), networks, TrackConfig())


@pytest.mark.parametrize("name", ["single_face.mp4", "carphone_pristine.mp4"])
@pytest.mark.parametrize(("margin", "px"), [(1.0, 112), (1.3, 224), (2.0, 224)])
def test_landmarks_of_given_crops_are_those_of_the_video(
    assets: Assets, networks: Networks, tmp_path: Path, name: str, margin: float, px: int
) -> None:
    with of_video(assets(name), networks) as whole:
        matrix = crop_faces(assets(name), whole, tmp_path / "clip", margin=margin, px=px)
        (track,) = whole.tracks
        expected = whole.landmarks_px(track)[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    with of_folder(tmp_path / "clip", networks) as crops:
        (given,) = crops.tracks
        found = crops.landmarks_px(given)[..., :2]
        num_crops = len(list(crops.crops_jpeg(given)))
    assert given.frame_indices.tolist() == track.frame_indices.tolist()
    assert num_crops == len(given.times_s) == NUM_FRAMES
    eyes = np.linalg.norm(expected[:, 33] - expected[:, 263], axis=-1)
    away = np.linalg.norm(found - expected, axis=-1).mean(axis=1) / eyes
    assert np.median(away) < 0.025
    assert away.max() < 0.08
    assert np.isnan(given.scores).all(), "no detector was asked"
    assert not given.is_gap_before.any()
    assert (given.start_reason, given.end_reason) == ("video_start", "video_end")
    assert np.abs(given.pose_deg - track.pose_deg).mean() < 2


def test_holes_and_frames_without_a_face_are_gaps_of_one_track(
    assets: Assets, networks: Networks, tmp_path: Path
) -> None:
    with of_video(assets("single_face.mp4"), networks) as whole:
        crop_faces(assets("single_face.mp4"), whole, tmp_path / "clip", margin=1.3, px=160)
    for number in range(11, 26):  # 0.6 s, which ends a track of a video
        (tmp_path / "clip" / f"{number:05d}.png").unlink()
    for number in (31, 32):
        cv2.imwrite(str(tmp_path / "clip" / f"{number:05d}.png"), np.zeros((160, 160, 3), np.uint8))
    with of_folder(tmp_path / "clip", networks) as crops:
        (track,) = crops.tracks
        assert len(list(crops.crops_jpeg(track))) == len(track.times_s)
    there = [*range(10), *range(25, 30), *range(32, 40)]
    assert track.frame_indices.tolist() == there
    assert track.times_s.tolist() == [place / 25 for place in there]
    assert track.frame_indices[track.is_gap_before].tolist() == [25, 32]


def test_a_searched_folder_has_the_tracks_of_its_video(assets: Assets, networks: Networks, tmp_path: Path) -> None:
    video = assets("single_face.mp4")
    folder = export(video, tmp_path / "clip", name="{}.jpg", first=9)
    read = partial(read_frames, folder, probe(folder).decoder)
    with of_video(video, networks) as whole, extract_tracks(read, networks, TrackConfig()) as pictures:
        (expected,), (found,) = whole.tracks, pictures.tracks
        assert found.frame_indices.tolist() == expected.frame_indices.tolist()
        away = np.abs(pictures.landmarks_px(found) - whole.landmarks_px(expected))
        assert np.median(away) < 0.5
    (folder / "25.jpg").unlink()
    with extract_tracks(read, networks, TrackConfig()) as holed:
        (track,) = holed.tracks
    assert track.frame_indices[track.is_gap_before].tolist() == [17], "a short hole is a gap, as in a video"


def test_a_folder_of_no_faces_gives_no_track(assets: Assets, networks: Networks, tmp_path: Path) -> None:
    with of_folder(export(assets("no_face.mp4"), tmp_path / "room"), networks) as extraction:
        assert extraction.tracks == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_short_clip_of_a_given_face_is_a_track(
    assets: Assets, networks: Networks, tmp_path: Path, count: int
) -> None:
    folder = export(assets("single_face.mp4"), tmp_path / "clip")
    for path in sorted(folder.iterdir())[count:]:
        path.unlink()
    with of_folder(folder, networks) as extraction:
        (track,) = extraction.tracks
    assert len(track.times_s) == count


def test_runs_end_at_gaps_and_at_breaks() -> None:
    seen = np.array([0, 1, 1, 1, 0, 1, 1, 0], np.bool_)
    assert [link.frames.tolist() for link in link_given(seen, [3])] == [[1, 2], [3], [5, 6]]
    assert link_given(np.zeros(3, np.bool_), []) == []


# --- the stages


@pytest.mark.timeout(120)
def test_the_stages_take_folders(assets: Assets, tmp_path: Path) -> None:
    source = tmp_path / "source"
    export(assets("single_face.mp4"), source / "Clip" / "clip_224x224" / "00001")
    export(assets("no_face.mp4"), source / "Clip" / "clip_224x224" / "00002")
    cut = shutil.copytree(source / "Clip" / "clip_224x224" / "00001", source / "Clip" / "clip_224x224" / "00003")
    picture = cut / "00020.jpg"
    picture.write_bytes(picture.read_bytes()[:2000])
    rows = []
    for folder in sorted((source / "Clip" / "clip_224x224").iterdir()):
        video_id, size_bytes = hash_frames(folder)
        path = folder.relative_to(source).as_posix()
        rows.append({"video_id": video_id, "path": path, "other_paths": [], "size_bytes": size_bytes})
    sources, store = SOURCES.rows(rows), Store.open_or_create(tmp_path / "corpus", 1)
    resources = Resources(source=source)
    given = ShardInput(content_hash([sources]), rows=sources)
    probed = run_stage(PROBE_VIDEOS, 0, [given], VideoConfig(), resources, store).receipt.files
    videos = store.read(probed[VIDEOS.name])
    for config in (TrackConfig(), TrackConfig(faces_in_frame_folders="search", detector="far")):
        given = ShardInput(content_hash([videos]), rows=videos)
        files = run_stage(EXTRACT_TRACKS, 0, [given], config, resources, store).receipt.files
        (track,) = store.read(files[TRACKS.name]).to_pylist()
        assert track["num_frames"] == store.read(files[CROPS.name]).num_rows == NUM_FRAMES
        assert read_cell(TRACKS.field("landmarks_px"), track["landmarks_px"]).shape == (NUM_FRAMES, 478, 3)
        is_given = config.faces_in_frame_folders == "given"
        assert track["detector"].startswith("no detector, each frame is a face" if is_given else "BlazeFace full")
        assert (track["detection_scores"] == [None] * NUM_FRAMES) is is_given
        assert len(track["weights"]) == (2 if is_given else 3)
        refused = {row["path"][-5:]: row for row in store.read(files[REJECTS.name]).to_pylist()}
        assert {path: row["reason"] for path, row in refused.items()} == {"00002": "no_face", "00003": "corrupt"}
        assert "00003/00020.jpg" in refused["00003"]["detail"]


@pytest.mark.timeout(120)
def test_the_walk_goes_on_from_a_folder_as_from_a_video(assets: Assets, tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "corpus"
    export(assets("single_face.mp4"), source / "00001")
    video_id, size_bytes = hash_frames(source / "00001")
    row = {"video_id": video_id, "path": "00001", "other_paths": [], "size_bytes": size_bytes}
    walk = Walk(Store.open_or_create(root, 1), SOURCES.rows([row]), BuildConfig())
    walk.keep_sources()
    names = ("probe_videos", "extract_tracks", "measure_actions", "encode_motion")
    for stage in (stage for stage in WALK if stage.name in names):
        for bucket in walk.take_settled(stage):
            walk.run(stage, bucket, Resources(source=source))
    walk.commit(source)
    corpus = Corpus(root)
    counts = {name: corpus.arrow(name).num_rows for name in ("videos", "tracks", "crops", "actions", "motion")}
    assert counts == {"videos": 1, "tracks": 1, "crops": NUM_FRAMES, "actions": 1, "motion": counts["motion"]}
    assert counts["motion"] >= 1
