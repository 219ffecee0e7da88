"""What a night does where not all goes well, and the other flows of the schedule: in this process, on a real server."""

from __future__ import annotations

import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.testing.utilities import prefect_test_harness

from flows import nightly as nights
from flows.artifacts import corpus_name
from flows.nightly import CorpusShrinksError, NightReport, nightly
from flows.training import prepare_training
from flows.upkeep import backfill, collect_garbage, take_down
from pipeline import snapshot as snapshots
from pipeline.check import check
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import SnapshotConflictError
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.walk import BuildConfig
from tests.answer_server import AnswerServer, join_notes
from tests.real_corpus import asking_by_rule
from tests.s3_server import s3_server

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

CONFIG: BuildConfig = asking_by_rule()


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    with prefect_test_harness():
        yield


@pytest.fixture
def source(clips: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "videos"))


@pytest.fixture
def night(source: Path, tmp_path: Path, answers: AnswerServer) -> Callable[..., NightReport]:
    """Run a night; what is given replaces the usual parameters."""

    def run(**other: Any) -> Any:
        usual = {"config": CONFIG, "resources": Resources(server=answers.address, request_attempts=1)}
        return nightly(source, tmp_path / "corpus", **{**usual, "num_canaries": 1, "make_gallery": False, **other})

    return run


def artifact(root: Path, what: str) -> Any:
    """The data of the newest artifact of this name; a table as rows."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"{corpus_name(root)}-{what}"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    assert found, f"no artifact {what}"
    return json.loads(str(found[0].data)) if found[0].type == "table" else found[0].data


def test_a_night_in_which_nothing_changed_computes_nothing_and_asks_only_the_canaries(
    night: Callable[..., NightReport], tmp_path: Path, answers: AnswerServer
) -> None:
    first = night()
    assert (first.before, first.snapshot, len(first.passes), first.waiting) == (None, 1, 1, {})
    asked = len(answers.requests)
    second = night()
    assert (second.before, second.snapshot, second.passes) == (1, 1, [])
    assert len(answers.requests) == asked + 1
    assert second.canaries is not None
    assert second.canaries.night == 2
    assert second.summary() == "snapshot 1 (as before): 0 units computed in 0 passes"
    assert "nothing to do" in artifact(tmp_path / "corpus", "night") or artifact(tmp_path / "corpus", "plan") == []


def test_a_source_that_lost_most_of_its_videos_fails_the_night_and_somebody_is_told(
    night: Callable[..., NightReport], source: Path, tmp_path: Path
) -> None:
    night()
    for video in ("man/smile.mp4", "talk.mp4", "room.mp4"):
        (source / video).unlink()
    with pytest.raises(CorpusShrinksError, match="3 of 4 videos are gone from the source: is its disk mounted"):
        night(notify_command=f"tee {tmp_path / 'told.json'}")
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["ended"] == "failed"
    assert "is its disk mounted" in told["message"]
    assert "# The night failed" in artifact(tmp_path / "corpus", "night")
    assert Corpus(tmp_path / "corpus").snapshot.number == 1
    assert night(max_removed_share=1.0).snapshot == 2


def test_a_server_that_stays_away_does_not_fail_the_night_and_the_next_one_ends_its_work(
    night: Callable[..., NightReport], answers: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nights, "LOOK_EVERY_S", 0.2)
    away = Resources(server="http://127.0.0.1:9/v1", request_attempts=1)
    state = night(resources=away, server_wait_s=0.5, return_state=True)
    assert (state.type, state.name) == ("COMPLETED", "CompletedWithUnitsWaiting")  # type: ignore[attr-defined]
    report = state.result()  # type: ignore[attr-defined]
    assert report.waiting == {"server_unavailable": 2}
    assert "the next night tries again: 2 server_unavailable" in report.summary()
    assert report.canaries.skipped is not None
    after = night()
    assert after.waiting == {}
    assert after.plan.stages[-1].work[0].cause == "retry"


def test_the_schedule_runs_on_a_bucket(
    source: Path, answers: AnswerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with s3_server() as place:
        urllib.request.urlopen(urllib.request.Request(f"http://{place}/faces", method="PUT"))
        root = f"s3://faces/corpus?endpoint_override=http://{place}&region=us-east-1"
        how = Resources(server=answers.address, request_attempts=1)
        first = nightly(source, root, CONFIG, how, num_canaries=1)
        assert (first.before, first.snapshot, first.waiting) == (None, 1, {})
        assert {"gallery"} <= set(first.pages)
        asked = len(answers.requests)
        assert nightly(source, root, CONFIG, how, num_canaries=1).passes == []
        assert len(answers.requests) == asked + 1, "the canary alone"
        (source / "talk.mp4").unlink()
        assert nightly(source, root, CONFIG, how, num_canaries=1).snapshot == 2
        backfill(source, root, "measure_actions", None, CONFIG, how)
        take_down(root, videos=["room.mp4"])
        collect_garbage(root, delete=True)
        assert check(Store.open(root)).faults == []


def test_a_commit_by_another_run_fails_the_night_and_says_so(
    night: Callable[..., NightReport], tmp_path: Path, answers: AnswerServer
) -> None:
    def commit_meanwhile(request: dict[str, Any]) -> str:
        store = Store.open(tmp_path / "corpus")
        if not store.snapshot_numbers():
            snapshots.commit(store, [], parent=None, source="another", config={}, software={})
        return join_notes(request)

    answers.answer = commit_meanwhile
    with pytest.raises(SnapshotConflictError, match="another run committed snapshot 1"):
        night()
    answers.answer = join_notes
    assert night().snapshot == 2


def test_a_night_waits_while_another_run_works_on_the_corpus(night: Callable[..., NightReport], tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "corpus")
    is_held, released_at = threading.Event(), []

    def work() -> None:
        with store.turn("a backfill", wait_s=0, on_wait=print):
            is_held.set()
            time.sleep(4)
            released_at.append(time.monotonic())

    other = threading.Thread(target=work)
    other.start()
    is_held.wait()
    report = night()
    ended_at = time.monotonic()
    other.join()
    assert ended_at > released_at[0]
    assert report.snapshot == 1


def test_a_backfill_by_stage_and_one_by_query_compute_just_those_units(
    night: Callable[..., NightReport], source: Path, tmp_path: Path, answers: AnswerServer
) -> None:
    night()
    root, how = tmp_path / "corpus", Resources(server=answers.address)
    by_stage = backfill(source, root, "measure_actions", None, CONFIG, how)
    assert {name: stage.num_computed for name, stage in by_stage.stages.items() if stage.num_computed} == {
        "measure_actions": 2
    }, "what came out as before went no further"
    asked = len(answers.requests)
    query = "select track_id from descriptions join videos using (video_id) where path = 'talk.mp4'"
    by_query = backfill(source, root, "refine_descriptions", query, CONFIG, how)
    assert by_query.stages["refine_descriptions"].num_computed == 1
    assert len(answers.requests) == asked + 1, "the journal's answer served for what was to be asked anew"


def test_a_take_down_by_list_leaves_no_id_on_the_server(night: Callable[..., NightReport], tmp_path: Path) -> None:
    night()
    root = tmp_path / "corpus"
    video_id = str(Corpus(root).videos().set_index("path").loc["talk.mp4", "video_id"])
    (tmp_path / "list.txt").write_text(f"{video_id}\n\n")
    done = take_down(root, list_file=tmp_path / "list.txt")
    assert done.num_videos == 1
    assert set(Corpus(root).videos()["path"]) == {"man/smile.mp4", "room.mp4"}
    with get_client(sync_client=True) as client:
        told = [run.model_dump_json() for run in client.read_flow_runs()]
        told += [log.message for log in client.read_logs(limit=200)]
        told += [str(one.data) for one in client.read_artifacts()]
    assert not [text for text in told if video_id in text]
    with pytest.raises(ValueError, match="no video was named"):
        take_down(root)


def test_garbage_is_only_told_until_it_is_to_be_deleted(night: Callable[..., NightReport], tmp_path: Path) -> None:
    night()
    found = collect_garbage(tmp_path / "corpus")
    assert not found.is_deleted
    assert artifact(tmp_path / "corpus", "garbage")[0]["what"] == "snapshots"


def test_training_is_prepared_from_the_newest_snapshot(night: Callable[..., NightReport], tmp_path: Path) -> None:
    night()
    manifest = prepare_training(tmp_path / "corpus")
    assert (manifest.snapshot, manifest.num_clips) == (1, 2)
    assert artifact(tmp_path / "corpus", "training")[0]["num_clips"] == 2
