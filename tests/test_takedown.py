"""Take-down on a real corpus: nothing of the video is left, everything else is, and no kill leaves it half done."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import snapshot as snapshots
from pipeline.check import check, forget_damaged
from pipeline.descriptions.journal import AnswerJournal
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.stage import Resources
from pipeline.store import CorpusInUseError, Receipt, Store, StoreError
from pipeline.takedown import TakedownReport, UnknownVideoError, find_videos, left_to_do, read_names, take_down
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.stage import EXTRACT_TRACKS
from pipeline.videos.paths import path_text
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import BuildConfig, open_walk
from schemas.canary import CANARY
from schemas.corpus import TABLES
from schemas.ledger import COSTS
from schemas.reviews import REVIEWS
from tests.real_corpus import asking_by_rule, build_without_scheduler

PATH = "man/smile.mp4"


def build(clips: Path, root: Path, config: BuildConfig | None = None) -> dict[str, int]:
    return build_without_scheduler(clips, root, config, keeps_answers=True).computed


def is_up_to_date(clips: Path, root: Path, config: BuildConfig | None = None) -> bool:
    return open_walk(Store.open(root), clips, asking_by_rule(config)).is_done()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A corpus of three snapshots, with answers, canaries, a backfill, a page, and what killed runs left behind."""
    root = tmp_path_factory.mktemp("takedown") / "corpus"
    first = tmp_path_factory.mktemp("first") / "clips"
    shutil.copytree(clips, first, ignore=shutil.ignore_patterns("man"))
    build(first, root)  # a snapshot from before the video came
    build(clips, root)
    corpus, store = Corpus(root), Store.open(root)
    texts = corpus.arrow("descriptions", ["video_id", "track_id", "text"]).to_pylist()
    for row in texts:
        bucket = store.bucket_of(row["video_id"])
        asked = store.generations("refine_descriptions", bucket)
        store.write_generations("refine_descriptions", bucket, asked | {row["track_id"]: 1})
    build(clips, root)
    assert store.snapshot_numbers() == [1, 2, 3]
    canaries = [
        dict.fromkeys((field.name for field in CANARY.columns if pa.types.is_integer(field.type)), 1)
        | dict.fromkeys((field.name for field in CANARY.columns if pa.types.is_string(field.type)), "x")
        | {"canary_id": row["track_id"][::-1], **row}
        for row in texts
    ]
    store.create_canaries(1, CANARY.rows(canaries))
    write_gallery(corpus, root / "gallery.html")
    store.write_page("gallery.html", lambda page: write_gallery(corpus, page))
    store.write_training(3, json.dumps(corpus.files("crops")))
    killed = BuildConfig(tracks=TrackConfig(min_track_s=0.4))
    walk = open_walk(store, clips, asking_by_rule(killed))
    for stage in (PROBE_VIDEOS, EXTRACT_TRACKS):
        for bucket in walk.take_settled(stage):
            walk.run(stage, bucket, Resources(source=clips))
    (root / "tmp" / "left").write_bytes(pictures(corpus, video_of(corpus, PATH))[0])
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "corpus"))


def video_of(corpus: Corpus, path: str) -> str:
    return str(corpus.sql(f"select video_id from sources where path = '{path}'").video_id[0])


def pictures(corpus: Corpus, video_id: str) -> list[bytes]:
    rows = corpus.arrow("crops", ["video_id", "crop_jpeg"]).to_pylist()
    return [row["crop_jpeg"] for row in rows if row["video_id"] == video_id]


class Known:
    """What a test knows of a video before it is taken down, found without the code under test."""

    def __init__(self, root: Path, path: str) -> None:
        corpus = Corpus(root)
        self.video_id = video_of(corpus, path)
        others = {
            value
            for name in ("descriptions", "drafts")
            for row in corpus.arrow(name).to_pylist()
            if row["video_id"] != self.video_id
            for value in _texts(row)
        }
        rows = [row for name in ("descriptions", "drafts") for row in corpus.arrow(name).to_pylist()]
        self.texts = {text for row in rows if row["video_id"] == self.video_id for text in _texts(row)} - others
        tracks = corpus.tracks()
        self.track_ids = set(tracks[tracks.video_id == self.video_id].track_id)
        clips = corpus.arrow("motion", ["clip_id", "video_id"]).to_pylist()
        self.clip_ids = {row["clip_id"] for row in clips if row["video_id"] == self.video_id}
        self.pictures = pictures(corpus, self.video_id)
        self.path = path
        assert self.texts and self.track_ids and self.clip_ids and len(self.pictures) > 20

    def forms(self) -> list[bytes]:
        texts = [self.video_id, *self.track_ids, *self.clip_ids, self.path, *self.texts]
        plain = [form.encode() for text in texts for form in {text, json.dumps(text)[1:-1]}]
        in_base64 = [base64.b64encode(picture)[2000:2100] for picture in self.pictures]
        return [*plain, *self.pictures, *(picture[2000:2100] for picture in self.pictures), *in_base64]

    def traces(self, root: Path) -> list[str]:
        """Files that hold any of it: as bytes, in Parquet values, in the journal."""
        forms, found = self.forms(), []
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if path.parent.name == "takedowns":
                content = content.replace(self.video_id.encode(), b"")
            if path.suffix == ".parquet":
                content += repr(pq.read_table(path, partitioning=None).to_pydict()).encode()
                content += repr(pq.read_metadata(path).to_dict()).encode()
            if path.suffix == ".sqlite":
                content += repr(sqlite3.connect(path).execute("select * from answers").fetchall()).encode()
            if any(form in content for form in forms):
                found.append(str(path.relative_to(root)))
        return found


def _texts(row: dict[str, Any]) -> list[str]:
    answers = [asked["raw_answer"] for asked in row.get("asked") or []]
    return [text for text in (row["text"], row.get("evidence"), *answers) if text and len(text) > 20]


def rows_of_others(root: Path, video_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of the newest snapshot that is not of the video."""
    corpus = Corpus(root)
    return {name: [row for row in corpus.arrow(name).to_pylist() if row.get("video_id") != video_id] for name in TABLES}


def state(root: Path) -> dict[str, Any]:
    """All that a corpus is, without what two runs cannot have in common: times, and the salt."""
    store = Store.open(root)
    files = {
        file.path: (root / file.path).read_bytes()
        for file in store.stored()
        if not file.path.startswith(("snapshots/", "takedowns/", "answers.sqlite", "denied.json", "in_use", "turn"))
    }
    return {
        "files": files,
        "snapshots": [
            snapshots.read(store, number).model_dump(exclude={"created_at"}) for number in store.snapshot_numbers()
        ],
        "answers": sorted(AnswerJournal(store.root / "answers.sqlite").replies()),
        "num_denied": len(store.denied().hashes),
        "takedowns": store.takedown_numbers(),
    }


def test_nothing_of_the_video_is_left_and_all_else_is_as_it_was(root: Path, clips: Path) -> None:
    known = Known(root, PATH)
    before, others = known.traces(root), rows_of_others(root, known.video_id)
    kinds = {name.split("/")[0] for name in before}
    assert kinds >= {"shards", "canary", "answers.sqlite", "memory", "gallery.html", "pages", "tmp", "generations"}

    report = take_down(Store.open(root), [PATH])
    assert report.is_clean, report.search.found
    assert known.traces(root) == []
    store = Store.open(root)
    assert rows_of_others(root, known.video_id) == others
    assert store.snapshot_numbers() == [1, 4], "only the snapshot from before the video came stays"
    assert store.denied().holds(known.video_id)
    assert known.video_id not in (root / "denied.json").read_text()
    assert not left_to_do(store)
    for name in (file.path for file in store.stored("shards")):
        assert f"{int(name.split('/')[2])}" in {"0", "1", "2", "3"}
    assert pq.read_table(root / "canary" / "000001.parquet").num_rows == 1


def test_the_next_build_has_nothing_to_do_and_the_video_does_not_come_back(root: Path, clips: Path) -> None:
    known = Known(root, PATH)
    assert is_up_to_date(clips, root)
    take_down(Store.open(root), [known.video_id])
    assert is_up_to_date(clips, root)
    assert not any(build(clips, root).values())
    assert Store.open(root).snapshot_numbers() == [1, 4]
    assert known.traces(root) == []


def test_the_report_names_every_file_and_says_what_was_searched(root: Path) -> None:
    known = Known(root, PATH)
    store = Store.open(root)
    files = {file.path for file in store.stored()}
    report = take_down(store, [known.video_id])
    kept = TakedownReport.model_validate_json((root / "takedowns" / "000001.json").read_bytes())
    assert kept == report
    assert report.videos == {known.video_id: store.denied().hash_of(known.video_id)}
    assert report.unknown == []
    assert (report.snapshot_before, report.snapshot_after) == (3, 4)
    assert files - {file.path for file in store.stored()} == set(report.deleted)
    replaced = [one for one in report.rewritten if one.file != one.became]
    assert {one.file for one in replaced} <= set(report.deleted)
    assert all(one.became is None or (root / one.became).exists() for one in replaced)
    in_place = {one.file: one.rows_removed for one in report.rewritten if one.file == one.became}
    assert in_place.pop("canary/000001.parquet") == 1
    assert sum(in_place.pop(name) for name in list(in_place) if name.startswith("generations/")) == 1
    assert sum(in_place.pop(name) for name in list(in_place) if name.startswith("memory/")) == 1
    assert list(in_place) == ["answers.sqlite"]
    assert report.search.looked_for["picture"] >= len(known.pictures)
    assert report.search.looked_for["track_id"] >= len(known.track_ids)
    num_pages = sum(path.endswith("gallery.html") for path in report.deleted)
    assert num_pages == 2
    assert report.search.files_searched == len(store.stored()) + num_pages - 1  # the report came after the search
    assert report.search.parquet_files_decoded == len([f for f in store.stored() if f.path.endswith(".parquet")])


def test_no_statistics_of_a_shard_hold_what_its_rows_no_longer_do(root: Path) -> None:
    known = Known(root, PATH)
    take_down(Store.open(root), [known.video_id])
    ids = known.track_ids | known.clip_ids | {known.video_id, known.path}
    for path in root.rglob("*.parquet"):
        told = repr(pq.read_metadata(path).to_dict())
        assert not [one for one in ids if one in told]


@pytest.mark.parametrize("path", ["room.mp4", "notes.mp4"])
def test_a_video_that_gave_nothing_but_a_reason_can_be_taken_down(root: Path, clips: Path, path: str) -> None:
    video_id = video_of(Corpus(root), path)
    others = rows_of_others(root, video_id)
    report = take_down(Store.open(root), [path])
    assert report.is_clean, report.search.found
    assert rows_of_others(root, video_id) == others
    assert is_up_to_date(clips, root)


def test_every_video_may_go(root: Path, clips: Path) -> None:
    known = Known(root, PATH)
    ids = Corpus(root).sql("select video_id from sources").video_id.to_list()
    report = take_down(Store.open(root), ids)
    assert report.is_clean, report.search.found
    assert known.traces(root) == []
    assert not any(Corpus(root).snapshot.counts.values())
    assert not list(root.glob("shards/*/*/*"))


@pytest.mark.parametrize("num_buckets", [3, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 7))])
def test_videos_go_however_they_lie_in_buckets(clips: Path, tmp_path: Path, num_buckets: int) -> None:
    root = tmp_path / "corpus"
    Store.open_or_create(root, num_buckets)
    build(clips, root)
    known, other = Known(root, PATH), video_of(Corpus(root), "notes.mp4")
    others = rows_of_others(root, known.video_id)
    take_down(Store.open(root), [PATH, "notes.mp4"])
    assert known.traces(root) == []
    kept = {name: [row for row in rows if row.get("video_id") != other] for name, rows in others.items()}
    assert rows_of_others(root, known.video_id) == kept
    assert check(Store.open(root)).faults == []
    assert is_up_to_date(clips, root)


def test_the_source_of_a_snapshot_may_be_the_very_video(clips: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    build(clips / PATH, root)
    known = Known(root, "smile.mp4")
    assert take_down(Store.open(root), ["smile.mp4"]).is_clean
    assert known.traces(root) == []
    assert Corpus(root).snapshot.source == str(clips / "man")


def test_a_copy_that_says_the_same_keeps_its_rows_and_is_told(clips: Path, tmp_path: Path) -> None:
    """The same pictures in another file: another video, whose crops and texts are the same."""
    source = Path(shutil.copytree(clips / "man", tmp_path / "source"))
    copy = (source / "smile.mp4").read_bytes()
    (source / "copy.mp4").write_bytes(copy + bytes(8))
    root = tmp_path / "corpus"
    build(source, root)
    corpus = Corpus(root)
    first, second = (video_of(corpus, path) for path in ("smile.mp4", "copy.mp4"))
    assert pictures(corpus, first) == pictures(corpus, second)
    others = rows_of_others(root, first)
    report = take_down(Store.open(root), [first])
    assert report.is_clean, report.search.found
    assert report.search.shared["picture"] >= len(pictures(Corpus(root), second))
    assert rows_of_others(root, first) == others


def test_an_id_that_the_corpus_does_not_know_is_denied_and_told(root: Path, clips: Path) -> None:
    store, stranger = Store.open(root), "0123456789abcdef" * 2
    report = take_down(store, [stranger])
    assert report.unknown == [stranger]
    assert store.denied().holds(stranger)
    assert store.snapshot_numbers() == [1, 2, 3]
    assert is_up_to_date(clips, root)
    with pytest.raises(UnknownVideoError, match="'no/such.mp4' is no video of .*: give an id of 32 hex digits, or"):
        take_down(store, [stranger, "no/such.mp4"])


def test_a_path_means_the_video_that_lies_there_now(root: Path, clips: Path, tmp_path: Path) -> None:
    before = video_of(Corpus(root), PATH)
    changed = Path(shutil.copytree(clips, tmp_path / "clips"))
    shutil.copyfile(changed / "room.mp4", changed / PATH)
    (changed / "room.mp4").write_bytes((changed / "room.mp4").read_bytes() + b"\0")
    build(changed, root)
    now = video_of(Corpus(root), PATH)
    assert find_videos(Store.open(root), [PATH]) == {PATH: [now]}
    assert now != before
    shutil.rmtree(changed / "man")
    build(changed, root)
    assert find_videos(Store.open(root), [PATH]) == {PATH: sorted({before, now})}


def test_a_backfill_that_waits_is_still_done_after_a_take_down(root: Path, clips: Path) -> None:
    known, store = Known(root, PATH), Store.open(root)
    (other,) = Corpus(root).sql(f"select track_id, video_id from tracks where video_id != '{known.video_id}'").values
    bucket = store.bucket_of(other[1])
    store.write_generations("measure_actions", bucket, {other[0]: 1})
    take_down(store, [known.video_id])
    assert not is_up_to_date(clips, root)
    assert build(clips, root)["measure_actions"] == 1


def test_reviews_go_by_their_track(root: Path) -> None:
    known, store = Known(root, PATH), Store.open(root)
    corpus = Corpus(root)
    bucket = store.bucket_of(known.video_id)
    with store.writer(REVIEWS, bucket, {"stage": "review"}) as writer:
        for track_id in corpus.tracks().track_id:
            facts = {"text_version": 1, "text_sha256": "0" * 64, "decision": "accept", "reviewer": "A. Reader"}
            at = pa.scalar(0, pa.timestamp("us", tz="UTC")).as_py()
            writer.append(REVIEWS.rows([{"review_id": track_id[:8], "track_id": track_id, "reviewed_at": at, **facts}]))
    assert writer.file is not None
    made = Receipt(stage="review", bucket=bucket, key="k", files={"reviews": writer.file}, num_units=0)
    store.write_receipt(made)
    with_reviews, made_with = [*corpus.snapshot.receipts, made], corpus.snapshot.made_with
    snapshots.commit(
        store,
        with_reviews,
        parent=corpus.snapshot,
        source="clips",
        config={},
        made_with=made_with,
        software={},
    )
    assert take_down(store, [known.video_id]).is_clean
    assert Corpus(root).arrow("reviews").num_rows == 1
    assert known.traces(root) == []


class TestStrangers:
    """Files in the root that facescribe did not write are named, and never deleted."""

    @pytest.fixture
    def found(self, root: Path, clips: Path) -> Callable[[Sequence[Path]], TakedownReport]:
        def of(strangers: Sequence[Path]) -> TakedownReport:
            report = take_down(Store.open(root), [PATH])
            assert {one.file for one in report.search.found} == {str(path.relative_to(root)) for path in strangers}
            assert all(path.exists() for path in strangers)
            return report

        return of

    def test_they_are_named_until_they_are_gone(
        self, root: Path, clips: Path, found: Callable[[Sequence[Path]], TakedownReport]
    ) -> None:
        known = Known(root, PATH)
        notes, page, table, face, video = (
            root / name for name in ("notes.txt", "mine.html", "exports/texts.parquet", "face.b64", "copy.bin")
        )
        notes.write_text(f"look at {sorted(known.track_ids)[0]} again")
        page.write_text(f"<p>{PATH}</p>")
        table.parent.mkdir()
        texts = sorted(known.texts)
        near = [texts[0].replace(texts[0][9:12], f"{n}") for n in range(60)]
        pq.write_table(pa.table({"said": [*near, *texts]}), table, compression="zstd", write_statistics=False)
        face.write_bytes(base64.b64encode(known.pictures[7]))
        shutil.copyfile(clips / PATH, video)
        report = found([notes, page, table, face, video])
        assert not report.is_clean
        by_file = {one.file: one for one in report.search.found}
        assert by_file["notes.txt"].traces == {"track_id": 1}
        assert "decoded" in by_file["exports/texts.parquet"].how
        assert by_file["copy.bin"].how == "the video itself"
        assert left_to_do(Store.open(root)) == [known.video_id]
        for path in (notes, page, table, face):
            path.unlink()
        found([video])  # what to look for is still known, though the rows are long gone
        video.unlink()
        assert found([]).is_clean
        assert not left_to_do(Store.open(root))
        assert known.traces(root) == []
        assert Store.open(root).takedown_numbers() == [1]


def test_a_damaged_shard_is_not_written_anew_as_a_whole_one(root: Path, clips: Path) -> None:
    known = Known(root, PATH)
    bucket = Store.open(root).bucket_of(known.video_id)
    (path,) = (Path(path) for path in Corpus(root).files("crops") if f"/{bucket:04d}/" in path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # within a picture: the file can be read
    path.write_bytes(content)
    with pytest.raises(StoreError, match="do not hash to its name.*on the deny list now, so run `facescribe check --f"):
        take_down(Store.open(root), [PATH])
    forget_damaged(Store.open(root))
    build(clips, root)
    assert take_down(Store.open(root), []).is_clean
    assert known.traces(root) == []


def test_a_take_down_and_a_build_do_not_go_together(root: Path) -> None:
    store = Store.open(root)
    with store.in_use(), pytest.raises(CorpusInUseError, match="a build works there; wait for its end"):
        take_down(store, [PATH])
    assert not store.denied().hashes
    with (
        store.in_use(alone=True),
        pytest.raises(CorpusInUseError, match="files are being deleted there; wait, then run the same command again"),
        store.in_use(),
    ):
        pass


def killed_after(root: Path, num_steps: int) -> bool:
    """Take the video down in a process of its own, which ends like by `kill -9` before a step; whether it did."""
    child = os.fork()
    if child == 0:
        left = num_steps

        def dying(change: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return change(*arguments, **named)

            return step

        changes = [(Store, name) for name in ("_put", "remove", "adopt", "rewrite")]
        for owner, name in (*changes, (AnswerJournal, "forget")):
            setattr(owner, name, dying(getattr(owner, name)))
        take_down(Store.open(root), [PATH])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9


@pytest.mark.slow
def test_killed_at_any_step_the_same_command_ends_in_the_same_corpus(
    original: Path, tmp_path: Path, clips: Path
) -> None:
    known = Known(original, PATH)
    others = rows_of_others(original, known.video_id)
    whole = Path(shutil.copytree(original, tmp_path / "whole"))
    report = take_down(Store.open(whole), [PATH])
    expected = state(whole)
    steps = 0
    while True:
        root = Path(shutil.copytree(original, tmp_path / f"killed {steps}"))
        if not killed_after(root, steps):
            break
        checked = check(Store.open(root), Store.open(root).snapshot_numbers())
        assert [fault for fault in checked.faults if fault.damaged] == []
        assert rows_of_others(root, known.video_id) == others
        again = take_down(Store.open(root), [PATH])
        assert again.is_clean
        assert state(root) == expected, f"killed before step {steps}"
        assert set(again.deleted) >= set(report.deleted)  # and what the killed run left in tmp
        assert {one.file for one in again.rewritten} == {one.file for one in report.rewritten}
        shutil.rmtree(root)
        steps += 1
    assert steps >= 60
    assert is_up_to_date(clips, whole)


@pytest.mark.parametrize("steps", [2, 12, *(pytest.param(number, marks=pytest.mark.slow) for number in (0, 1, 30, 45))])
def test_a_build_after_a_killed_take_down_leaves_the_video_out(root: Path, clips: Path, steps: int) -> None:
    known = Known(root, PATH)
    assert killed_after(root, steps)
    build(clips, root)
    if steps:
        assert left_to_do(Store.open(root)) == [known.video_id], "noted, though the newest snapshot may not have it"
    if steps > 1:
        assert known.video_id not in Corpus(root).sql("select video_id from sources").video_id.to_list()
    assert take_down(Store.open(root), [PATH]).is_clean
    assert known.traces(root) == []
    assert not any(build(clips, root).values())


def test_costs_of_the_others_stay(root: Path) -> None:
    before = {row["unit_id"]: [row[name] for name in COSTS] for row in Corpus(root).arrow("ledger").to_pylist()}
    take_down(Store.open(root), [PATH])
    after = {row["unit_id"]: [row[name] for name in COSTS] for row in Corpus(root).arrow("ledger").to_pylist()}
    assert after.items() <= before.items()


def test_every_line_of_a_list_is_a_name_whatever_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"#1.mp4\n\n  room.mp4 \nb\xff.mp4\n")
    names = read_names(tmp_path / "list.txt")
    assert [path_text(name) for name in names] == ["#1.mp4", "room.mp4", "b\\xFF.mp4"]
