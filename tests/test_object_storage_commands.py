"""Every command on a corpus in a bucket: the same as on disk comes out, through a harmful network too."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from pipeline import snapshot as snapshots
from pipeline.store import Store
from tests.answer_server import MODEL
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.real_corpus import build_without_scheduler
from tests.review_corpus import BETTER, Face, said, write_review_corpus, write_review_file
from tests.s3_server import s3_server
from tests.training_corpus import write_training_corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NOT_COMPARED = {"work_s"}
"""Of a ledger: what it took."""


@dataclass
class Bucket:
    """An S3 server behind a proxy, and where in it."""

    proxy: FaultProxy
    query: str

    def at(self, prefix: str) -> str:
        """The address of a corpus."""
        return f"s3://faces/{prefix}?{self.query}"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as place, fault_proxy(place) as proxy:
        urllib.request.urlopen(urllib.request.Request(f"http://{place}/faces", method="PUT"))
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        yield Bucket(proxy, f"endpoint_override=http://{proxy.address}&region=us-east-1")


def facescribe(*arguments: object) -> str:
    """What a command says, run in this process."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, f"{arguments}: {done.exit_code}\n{done.output}\n{done.exception!r}"
    return done.output


def content(store: Store) -> dict[str, list[dict[str, object]]]:
    """Every row of every table of the newest snapshot, but for measured seconds."""
    newest = snapshots.newest(store)
    assert newest is not None
    found: dict[str, list[dict[str, object]]] = {}
    for receipt in newest.receipts:
        for table, file in receipt.files.items():
            rows = store.read(file)
            rows = rows.drop_columns([name for name in rows.column_names if name in NOT_COMPARED])
            found.setdefault(table, []).extend(rows.to_pylist())
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


def test_the_same_corpus_comes_out_through_a_harmful_network(bucket: Bucket, clips: Path, tmp_path: Path) -> None:
    local = build_without_scheduler(clips, tmp_path / "corpus").walk.store
    bucket.proxy.harm(Fault.UNAVAILABLE, share=0.1)
    bucket.proxy.harm(Fault.LOST, share=0.05)
    bucket.proxy.harm(Fault.HALF, share=0.1, methods="GET")
    bucket.proxy.harm(Fault.SLOW, share=0.1, delay_s=0.2)
    try:
        there = build_without_scheduler(clips, bucket.at("harmed")).walk.store
    finally:
        bucket.proxy.heal()
    assert bucket.proxy.num_harmed() > 10
    assert content(there) == content(local)
    # Names are hashes of the bytes; a ledger holds seconds, and texts lie in the order in which answers came.
    others = ("shards/ledger/", "shards/descriptions/")
    names = [{file.path for file in store.stored("shards")} for store in (there, local)]
    assert not [path for path in names[0] ^ names[1] if not path.startswith(others)]


def test_every_command_works_on_a_bucket(bucket: Bucket, clips: Path, tmp_path: Path) -> None:
    root = ("--root", bucket.at("commands"))
    store = build_without_scheduler(clips, root[1], keeps_answers=True).walk.store
    asked = ("--server", "http://127.0.0.1:9/v1", "--model", MODEL)
    assert "snapshot 1" in facescribe("status", *root)
    facescribe("log", *root)
    facescribe("plan", clips, *root, *asked)
    facescribe("check", *root)
    facescribe("show", "descriptions", "--search", "face", *root)
    assert "2" in facescribe("show", "--sql", "select count(*) as n from tracks", *root)
    facescribe("overview", "--html", tmp_path / "overview.html", *root)
    facescribe("gallery", "--output", tmp_path / "gallery.html", *root)
    facescribe("audit", *root)
    facescribe("export", tmp_path / "out", "--without-licence", "a test", *root)
    facescribe("review", "status", *root)
    facescribe("backfill", clips, "--stage", "measure_actions", "--dry-run", *asked, *root)
    facescribe("gc", "--keep-snapshots", 1, "--keep-days", 0, "--grace-hours", 0, "--delete", *root)
    videos = {str(row["path"]): str(row["video_id"]) for row in content(store)["videos"]}
    told = facescribe("takedown", "talk.mp4", "--yes", *root)
    assert "found: nothing" in told and "answers decoded" in told
    facescribe("check", *root)
    rows = [row for table in content(store).values() for row in table]
    assert videos["talk.mp4"] not in {row.get("video_id") for row in rows}
    assert videos["talk.mp4"].encode() not in b"".join(store.read_file(file.path) for file in store.stored("answers"))


def copied(folder: Path, bucket: Bucket, prefix: str) -> str:
    """The address of a copy of a corpus that was written into a folder."""
    address = bucket.at(prefix)
    files, root = pafs.FileSystem.from_uri(address)
    pafs.copy_files(str(folder), root, pafs.LocalFileSystem(), files)
    return address


def test_reviews_of_texts_on_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    ann, ben = (Face(name) for name in ("ann", "ben"))
    write_review_corpus(tmp_path / "corpus", [ann, ben])
    root = ("--root", copied(tmp_path / "corpus", bucket, "reviewed"))
    file = write_review_file(tmp_path / "anna.json", [said(ann, "edit", edited=BETTER), said(ben)])
    assert "taken: 2 reviews (1 edit, 1 accept): snapshot 2" in facescribe("review", "import", file, *root)
    assert "there already: 2" in facescribe("review", "import", file, *root)
    facescribe("review", "agreement", *root)
    facescribe("review", "assign", "--reviewers", "anna,ben", "--out", tmp_path / "lists", *root)
    assert "reviews" in facescribe("diff", 1, 2, *root)
    facescribe("drift", *root)


def test_an_export_is_rebuilt_into_a_bucket(bucket: Bucket, clips: Path, tmp_path: Path) -> None:
    local = build_without_scheduler(clips, tmp_path / "corpus").walk.store
    facescribe("export", tmp_path / "out", "--text-only", "--without-licence", "a test", "--root", tmp_path / "corpus")
    facescribe("rebuild", tmp_path / "out", "--source", clips, "--root", bucket.at("again"))
    again = content(Store.open(bucket.at("again")))
    assert again["tracks"] == content(local)["tracks"] and again["motion"] == content(local)["motion"]


def test_a_network_is_trained_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    write_training_corpus(tmp_path / "corpus")
    root = copied(tmp_path / "corpus", bucket, "trained")
    config = tmp_path / "train.toml"
    config.write_text("epochs = 1\nbatch = 6\nmodel = {width = 16, small_channels = 8, heads = 2}\n")
    facescribe("train", "--root", root, "--config", config, "--out", tmp_path / "run", "--device", "cpu")
    assert "UAR" in facescribe("evaluate", tmp_path / "run", "--device", "cpu", "--controls", "none")
