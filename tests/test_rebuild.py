"""A rebuild from a text-only export: the same ids, boxes and motion tensors, and every difference told by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.check import check
from pipeline.export.comparison import RebuildReport
from pipeline.export.pairing import pair_tracks
from pipeline.export.parquet import export_parquet
from pipeline.export.reading import ReadExport, RebuildError, read_export
from pipeline.export.rebuild import rebuild
from pipeline.export.text_only import export_text_only
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.videos.frames import decord_version, read_frames
from pipeline.videos.sources import SourceError
from pipeline.walk import WALK, open_walk
from schemas.corpus import TABLES
from schemas.table import write_cell
from schemas.tracks import TRACKS
from tests.answer_server import answering
from tests.real_corpus import asking_by_rule, build_without_scheduler

SAID = """path,split,label,licence,consent
talk.mp4,train,happiness,CC BY 4.0,signed
room.mp4,train,,CC BY 4.0,signed
man/smile.mp4,test,neutral,CC BY 4.0,signed
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Corpus:
    root = tmp_path_factory.mktemp("rebuild") / "corpus"
    said = root.parent / "said.csv"
    said.write_text(SAID)
    build_without_scheduler(clips, root, annotations=said)
    return Corpus(root)


@pytest.fixture(scope="module")
def out(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "texts"
    export_text_only(corpus, folder)
    return folder


@pytest.fixture
def own(clips: Path, tmp_path: Path) -> Path:
    """One's own copy: the same bytes under other names, and other files between them."""
    folder = tmp_path / "own"
    (folder / "deep" / "er").mkdir(parents=True)
    shutil.copy(clips / "talk.mp4", folder / "deep" / "er" / "1.mp4")
    shutil.copy(clips / "man" / "smile.mp4", folder / "2.mp4")
    shutil.copy(clips / "room.mp4", folder / "3.mp4")
    (folder / "thesis.pdf").write_bytes(b"not a video")
    return folder


def made_again(out: Path, source: Path, root: Path) -> RebuildReport:
    return rebuild(read_export(out), source, Store.open_or_create(root, 4), Resources(workers=1))


def by_key(corpus: Corpus, table: str, left_out: set[str]) -> list[dict[str, Any]]:
    names = [field.name for field in TABLES[table].columns if field.name not in left_out]
    rows: list[dict[str, Any]] = corpus.arrow(table, names).to_pylist()
    return rows


def test_text_only_holds_no_pixel_landmark_or_motion(corpus: Corpus, out: Path) -> None:
    there = {path.parent.name for path in out.rglob("*.parquet")}
    assert there == {"videos", "tracks", "actions", "motion", "drafts", "descriptions", "rejects"}
    for path in out.rglob("*.parquet"):
        names = set(pq.read_schema(path).names)
        assert not names & {"frames", "motion_weights", "landmarks_px", "transforms", "crop_jpeg", "blendshapes"}, path
        for field in pq.read_schema(path):
            if pa.types.is_binary(field.type) or pa.types.is_fixed_size_binary(field.type):
                assert field.name in ("boxes_xyxy", "times_s"), f"{path}: {field.name}"
    assert sum(path.stat().st_size for path in out.rglob("*")) < 200_000
    tracks = pq.read_table(out / "tracks").to_pylist()
    assert all(len(row["landmarks_px_sha256"]) == len(row["crops_sha256"]) == 32 for row in tracks)
    assert {row["track_id"] for row in tracks} == set(corpus.arrow("tracks", ["track_id"])["track_id"].to_pylist())


def test_a_rebuild_gives_the_same_rows_and_asks_no_model(corpus: Corpus, out: Path, own: Path, tmp_path: Path) -> None:
    report = made_again(out, own, tmp_path / "again")
    assert report.is_same and report.num_videos_here == report.num_videos == 3
    assert report.num_others == 1 and not report.means and not report.other_ids
    assert report.texts_of_another_measurement == 0
    again = Corpus(tmp_path / "again")
    for table in ("tracks", "crops", "actions", "drafts", "descriptions", "motion"):  # bit by bit, keys too
        assert by_key(again, table, set()) == by_key(corpus, table, set()), table
    assert by_key(again, "videos", {"path", "other_paths", "unit_key"}) == by_key(
        corpus, "videos", {"path", "other_paths", "unit_key"}
    )
    assert set(again.videos()["path"]) == {"deep/er/1.mp4", "2.mp4", "3.mp4"}
    assert not check(again.store).faults
    # Once more, nothing is computed, and the snapshot stays.
    second = made_again(out, own, tmp_path / "again")
    assert second.is_same and second.snapshot == report.snapshot == 1
    assert set(second.num_computed.values()) == {0}


def test_missing_and_changed_videos_are_named(out: Path, own: Path, tmp_path: Path) -> None:
    (own / "2.mp4").unlink()
    (own / "3.mp4").rename(own / "room.mp4")
    with (own / "room.mp4").open("ab") as file:
        file.write(b"\0")
    report = made_again(out, own, tmp_path / "again")
    assert (report.missing, report.changed, report.num_videos_here) == (["man/smile.mp4"], ["room.mp4"], 1)
    assert not report.is_same and all(table.is_same for table in report.tables), "what is here is as it was"
    assert Corpus(tmp_path / "again").snapshot.counts["tracks"] == 1
    # When they come back, the rest is made.
    shutil.copy(tmp_path / "again" / "corpus.json", own / "2.mp4")
    assert not made_again(out, own, tmp_path / "again").is_same


def test_no_video_of_the_export(out: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "talk.mp4").write_bytes(b"other")
    with pytest.raises(RebuildError, match="none of the 3 videos of .* is in .*, by content .* 'talk.mp4' has other"):
        made_again(out, tmp_path / "other", tmp_path / "again")
    with pytest.raises(SourceError, match="no such file or folder"):
        made_again(out, tmp_path / "nowhere", tmp_path / "again")


def test_another_corpus_is_not_written_over(corpus: Corpus, out: Path, own: Path) -> None:
    with pytest.raises(RebuildError, match="holds another corpus: choose a new or empty folder as --root"):
        rebuild(read_export(out), own, corpus.store)


def test_rows_that_come_out_otherwise_are_told_by_column(out: Path, own: Path, tmp_path: Path) -> None:
    """Crops of another quality stand for another decoder: pixels differ, and what is measured of landmarks does not."""
    changed = _with_config(out, tmp_path / "changed", jpeg_quality=90)
    report = made_again(changed, own, tmp_path / "again")
    tables = {one.table: one for one in report.tables}
    assert not report.is_same
    assert tables["tracks"].columns == {"crops_sha256": 2}
    assert set(tables["motion"].columns) == {"frames_sha256", "motion_weights_sha256"}
    assert tables["motion"].num_differing == 2 and "there" in tables["motion"].examples[0]
    assert tables["actions"].is_same and tables["descriptions"].is_same
    assert report.texts_of_another_measurement == 0


def test_a_measurement_that_is_another_keeps_the_texts_under_keys_that_say_so(
    corpus: Corpus, out: Path, own: Path, tmp_path: Path
) -> None:
    changed = _with_config(out, tmp_path / "changed", smoothing_s=0.2)
    report = made_again(changed, own, tmp_path / "again")
    tables = {one.table: one for one in report.tables}
    assert tables["actions"].num_differing and tables["descriptions"].is_same and tables["drafts"].is_same
    again = Corpus(tmp_path / "again")
    columns = {"unit_key"}
    assert by_key(again, "descriptions", columns) == by_key(corpus, "descriptions", columns)
    keys = [set(one.arrow("drafts", ["unit_key"])["unit_key"].to_pylist()) for one in (corpus, again)]
    assert not keys[0] & keys[1], "a draft of another measurement is not under the key of this one"
    assert not check(again.store).faults


def _with_config(out: Path, target: Path, **fields: float) -> Path:
    """The export as if its config had said otherwise, checksums and all."""
    shutil.copytree(out, target)
    record = json.loads((target / "export.json").read_text())
    for section in record["config"].values():
        section.update({name: value for name, value in fields.items() if name in section})
    (target / "export.json").write_text(json.dumps(record))
    names = [line.split("  ")[1] for line in (target / "checksums.sha256").read_text().splitlines()]
    lines = [f"{hashlib.sha256((target / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (target / "checksums.sha256").write_text("".join(lines))
    return target


class TestExportsThatAreRefused:
    def test_a_damaged_file(self, out: Path, tmp_path: Path) -> None:
        shutil.copytree(out, tmp_path / "bad")
        (path,) = (tmp_path / "bad" / "drafts").glob("*.parquet")
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(RebuildError, match="is damaged: drafts/.* has other bytes than it was exported with"):
            read_export(tmp_path / "bad")
        path.unlink()
        with pytest.raises(RebuildError, match="is damaged: drafts/.* is not there"):
            read_export(tmp_path / "bad")

    def test_a_line_that_leads_out_of_the_folder(self, out: Path, tmp_path: Path) -> None:
        shutil.copytree(out, tmp_path / "bad")
        with (tmp_path / "bad" / "checksums.sha256").open("a") as file:
            file.write(f"{'0' * 64}  ../../etc/passwd\n")
        with pytest.raises(RebuildError, match="names no file of the folder"):
            read_export(tmp_path / "bad")

    def test_a_whole_export(self, corpus: Corpus, tmp_path: Path) -> None:
        export_parquet(corpus, tmp_path / "whole", ["videos"])
        with pytest.raises(RebuildError, match="nothing has to be rebuilt.*--text-only"):
            read_export(tmp_path / "whole")

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(RebuildError, match="holds no checksums.sha256 .* `facescribe export` wrote"):
            read_export(tmp_path)

    def test_a_config_of_another_version(self, out: Path, tmp_path: Path) -> None:
        changed = _with_config(out, tmp_path / "new")
        record = json.loads((changed / "export.json").read_text())
        record["config"]["tracks"]["better"] = 1
        (changed / "export.json").write_text(json.dumps(record))
        changed = _with_config(changed, tmp_path / "newer")
        with pytest.raises(RebuildError, match="tracks.better is not known here .* with the facescribe that it was"):
            read_export(changed)


@pytest.fixture(scope="module")
def frame_folders(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """Face pictures as data sets publish them: a folder a clip, a picture a frame."""
    folder = tmp_path_factory.mktemp("frames") / "set"
    frames = [f.rgb for f in read_frames(clips / "man" / "smile.mp4", decord_version())][:24]
    side = min(frames[0].shape[:2])
    for name, step in (("00001", 1), ("00002", -1)):
        (folder / name).mkdir(parents=True)
        for number, rgb in enumerate(frames[::step]):
            picture = cv2.resize(np.ascontiguousarray(rgb[:side, :side]), (224, 224), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / name / f"{number + 1:05d}.jpg"), picture[:, :, ::-1])
    return folder


@pytest.fixture
def listed(frame_folders: Path, tmp_path: Path) -> Iterator[str]:
    lines = [
        f"{frame_folders / name},{label},CC BY 4.0,signed" for name, label in (("00001", "fear"), ("00002", "anger"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,licence,consent", *lines]))
    yield f"manifest:{tmp_path / 'list.csv'}"


def build_from_address(address: str, root: Path) -> None:
    with answering() as answers:
        walk = open_walk(Store.open_or_create(root, 4), address, asking_by_rule())
        walk.keep_sources()
        resources = Resources(source=walk.folder or Path(), server=answers.address)
        for stage in WALK:
            for bucket in walk.take_settled(stage):
                walk.run(stage, bucket, resources)
        walk.commit(address)


def test_folders_of_frames_are_rebuilt_likewise(listed: str, frame_folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    build_from_address(listed, root)
    made = export_text_only(Corpus(root), tmp_path / "out")
    assert made.rows["tracks"] == 2
    own = tmp_path / "own"
    shutil.copytree(frame_folders, own / "mine")
    (own / "mine" / "00001").rename(own / "mine" / "first")
    report = made_again(tmp_path / "out", own, tmp_path / "again")
    assert report.is_same, report.tables
    again = Corpus(tmp_path / "again")
    assert set(again.videos()["path"]) == {"mine/first", "mine/00002"}
    for table in ("tracks", "crops", "motion"):
        assert by_key(again, table, {"unit_key"}) == by_key(Corpus(root), table, {"unit_key"}), table


def test_tracks_with_another_id_are_found_by_their_boxes() -> None:
    def track(track_id: str, shift: float, start: float = 0.0, video: str = "v") -> dict[str, Any]:
        boxes = np.array([[10, 10, 60, 60]] * 5, np.float32) + np.float32(shift)
        times = [start + n / 25 for n in range(5)]
        cell = write_cell(TRACKS.field("boxes_xyxy"), boxes)
        return {"track_id": track_id, "video_id": video, "times_s": times, "boxes_xyxy": cell}

    there = [track("a", 0), track("b", 200), track("same", 400), track("late", 0, start=9)]
    here = [track("A", 0.02), track("B", 200.3), track("same", 400), track("new", 300), track("else", 0, video="w")]
    pairs = pair_tracks(there, here)
    assert {ours: theirs for ours, (theirs, _) in pairs.items()} == {"A": "a", "B": "b"}
    assert all(overlap > 0.97 for _, overlap in pairs.values())


def test_texts_follow_a_track_whose_id_is_another(out: Path, own: Path, tmp_path: Path) -> None:
    """As after another decoder: the export's boxes are shifted, and so its ids are others than those here."""
    shifted = _with_other_ids(out, tmp_path / "shifted")
    report = made_again(shifted, own, tmp_path / "again")
    assert len(report.other_ids) == 2 and not report.is_same
    texts = Corpus(tmp_path / "again").arrow("descriptions", ["track_id", "text"]).to_pylist()
    there = {row["track_id"]: row["text"] for row in ReadExport.rows(read_export(shifted), "descriptions")}
    assert {report.other_ids[row["track_id"]]: row["text"] for row in texts} == there
    assert report.texts_of_another_measurement == 0, "the measurement is the same, and only the id is another"


def _with_other_ids(out: Path, target: Path) -> Path:
    shutil.copytree(out, target)
    for path in target.rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        if "track_id" in rows.column_names:
            ids = pa.array([f"{track_id[::-1]}" for track_id in rows["track_id"].to_pylist()])
            pq.write_table(rows.set_column(rows.schema.get_field_index("track_id"), "track_id", ids), path)
    return _with_config(target, target.with_name("resigned"))


def test_the_command_ends_with_1_and_names_what_is_missing(out: Path, own: Path, tmp_path: Path) -> None:
    from flows.__main__ import app

    def run(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["rebuild", *map(str, arguments)])
        return done.exit_code, " ".join(done.output.split())

    code, words = run(out, "--source", own, "--root", tmp_path / "again", "--json", tmp_path / "report.json")
    assert code == 0 and "the same: every row is as it was exported" in words, words
    assert RebuildReport.model_validate_json((tmp_path / "report.json").read_text()).is_same
    (own / "2.mp4").unlink()
    code, words = run(out, "--source", own, "--root", tmp_path / "less")
    assert code == 1 and "missing: man/smile.mp4" in words and "2 of 3 are here" in words
    code, words = run(out, "--source", tmp_path / "nowhere", "--root", tmp_path / "less")
    assert code == 2 and "no such file or folder" in words
