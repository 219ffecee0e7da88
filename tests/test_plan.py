"""What a build will compute is known before, and is just what has to be: for each kind of change, over real clips."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline import planning
from pipeline import walk as walking
from pipeline.backfill import BackfillError, ask_anew
from pipeline.descriptions.prompt import PROMPTS
from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.inspection.corpus import Corpus
from pipeline.plan import Plan, compare
from pipeline.planning import plan_walk
from pipeline.store import Store
from pipeline.walk import WALK, BuildConfig, open_walk
from schemas.corpus import TABLES
from tests.real_corpus import Built, asking_by_rule, build_without_scheduler, cut_clip

STAGES = [stage.name for stage in WALK]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """Two clips with faces, one without, one that is no video, built once."""
    folder = tmp_path_factory.mktemp("plan")
    shutil.copytree(clips, folder / "videos")
    build_without_scheduler(folder / "videos", folder / "corpus")
    return folder


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(built, tmp_path / "place")
    return tmp_path / "place"


def build(place: Path, config: BuildConfig | None = None, annotations: Path | None = None) -> Built:
    return build_without_scheduler(place / "videos", place / "corpus", config, annotations)


def planned(plan: Plan) -> dict[str, set[tuple[str, str, int]]]:
    """Of each stage with work: cause, certainty, units."""
    return {s.stage: {(w.cause, w.certainty, w.num_units) for w in s.work} for s in plan.stages if s.work}


def computed(built: Built) -> dict[str, int]:
    return {stage: count for stage, count in built.computed.items() if count}


def test_an_unchanged_source_is_nothing_to_do(place: Path) -> None:
    again = build(place)
    assert again.plan.is_empty
    assert again.plan.summary() == "nothing to do: 4 files are as snapshot 1 knows them"
    assert computed(again) == {}


def test_a_new_video_is_planned_with_what_such_videos_cost_so_far(place: Path) -> None:
    with (place / "videos" / "talk.mp4").open("rb") as file:
        (place / "videos" / "more.mp4").write_bytes(file.read() + b"another ending")
    after = build(place)
    assert planned(after.plan) == {
        "probe_videos": {("new_video", "will", 1)},
        **{stage: {("new_video", "about", 1)} for stage in STAGES[1:]},
    }
    assert computed(after) == dict.fromkeys(STAGES, 1)
    cost = after.plan.cost("will", "about")
    assert cost.work_s is not None
    assert 0.05 < cost.work_s < 60


def test_a_changed_video_a_removed_one_and_a_moved_one_are_told_apart(place: Path) -> None:
    videos = place / "videos"
    (videos / "talk.mp4").write_bytes((videos / "talk.mp4").read_bytes() + b"changed")
    (videos / "notes.mp4").unlink()
    (videos / "man" / "smile.mp4").rename(videos / "moved.mp4")
    after = build(place)
    plan = planned(after.plan)
    assert plan["probe_videos"] == {("changed_video", "will", 1), ("moved", "will", 1)}
    assert plan["extract_tracks"] == {("changed_video", "about", 1)}
    assert {s.stage: s.num_removed for s in after.plan.stages} == {**dict.fromkeys(STAGES, 1), "probe_videos": 2}
    assert computed(after) == {**dict.fromkeys(STAGES, 1), "probe_videos": 2}


def test_a_label_changes_one_row_and_stops_there(place: Path) -> None:
    labels = place / "labels.csv"
    labels.write_text("path,label,split\ntalk.mp4,neutral,train\n")
    after = build(place, annotations=labels)
    plan = planned(after.plan)
    assert plan.pop("probe_videos") == {("changed_label", "will", 1)}
    assert plan == {"refine_descriptions": {("changed_label", "may", 1)}}  # the config may show labels to the writer
    assert computed(after) == {"probe_videos": 1}
    videos = Corpus(place / "corpus").videos().set_index("path")
    assert videos.loc["talk.mp4", "label"] == "neutral"
    assert build(place, annotations=labels).plan.is_empty


def own_prompt(place: Path, change: Callable[[str], str]) -> BuildConfig:
    path = place / "own.toml"
    path.write_text(change((PROMPTS / "refine_2.toml").read_text()))
    return BuildConfig(descriptions=RefineConfig(prompt=str(path)))


def test_a_line_of_a_prompt_asks_again_and_nothing_else(place: Path) -> None:
    build(place, own_prompt(place, lambda text: text))
    after = build(place, own_prompt(place, lambda text: text.replace("Notes:", "These are the notes:", 1)))
    assert planned(after.plan) == {"refine_descriptions": {("prompt_changed", "will", 2)}}
    assert computed(after) == {"refine_descriptions": 2}


def test_a_part_of_a_prompt_that_nobody_is_told_asks_nobody(place: Path) -> None:
    build(place, own_prompt(place, lambda text: text))
    after = build(place, own_prompt(place, lambda text: 'seen = "Someone saw: {seen}"\n' + text))
    assert planned(after.plan) == {"refine_descriptions": {("prompt_changed", "may", 2)}}
    assert computed(after) == {}


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("model_revision", "of today", "weights_changed"),
        ("engine", "vllm 0.33.0", "engine_changed"),
        ("temperature", 0.5, "config_changed"),
    ],
)
def test_another_language_model_asks_again(place: Path, field: str, value: object, cause: str) -> None:
    after = build(place, BuildConfig(descriptions=RefineConfig.model_validate({field: value})))
    assert planned(after.plan) == {"refine_descriptions": {(cause, "will", 2)}}
    (work,) = after.plan.stages[-1].work
    assert field in work.detail
    assert computed(after) == {"refine_descriptions": 2}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Raise the version of a stage, as a person would in its source."""

    def set_version(name: str, version: int) -> None:
        walk: tuple[Any, ...] = tuple(replace(s, version=version) if s.name == name else s for s in WALK)
        for module in (walking, planning):
            monkeypatch.setattr(module, "WALK", walk)

    yield set_version


@pytest.mark.parametrize("position", range(len(STAGES)), ids=STAGES)
def test_a_stage_that_is_done_again_and_comes_out_as_before_ends_there(
    place: Path, stages: Callable[[str, int], None], position: int
) -> None:
    """The proof of row-level reuse and early cut-off, for every stage."""
    stage, units = STAGES[position], [4, 3, 2, 2, 2, 2][position]
    before = content_of(place)
    stages(stage, 99)
    after = build(place)
    plan = planned(after.plan)
    assert plan.pop(stage) == {("version_raised", "will", units)}
    assert all(certainty == "may" for works in plan.values() for _, certainty, _ in works)
    assert computed(after) == {stage: units}
    assert content_of(place) == before


def content_of(place: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row without the keys that say what it was made with."""
    corpus = Corpus(place / "corpus")
    tables = [table for table in TABLES.values() if table.name != "ledger"]
    names = {table.name: [f.name for f in table.columns if f.name != "unit_key"] for table in tables}
    return {name: corpus.arrow(name, columns).to_pylist() for name, columns in names.items()}


def test_a_plan_reads_no_video_and_writes_nothing(place: Path) -> None:
    root, videos = place / "corpus", place / "videos"
    (videos / "more.mp4").write_bytes(b"never opened")
    (videos / "more.mp4").chmod(0)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    plan = plan_walk(open_walk(Store.open(root), videos, asking_by_rule(), may_read=False, may_write=False))
    assert planned(plan)["probe_videos"] == {("new_video", "will", 1)}
    assert plan.num_unread == 1
    assert "new or changed files that were not read: 1;" in plan.to_markdown()
    assert (
        "files not read that count as unchanged, by path and size: 4" in plan.to_markdown()
    )  # at this path they were never listed
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_plan_of_a_corpus_that_is_not_there_yet(clips: Path, tmp_path: Path) -> None:
    store = Store.not_yet(tmp_path / "nothing")
    plan = plan_walk(open_walk(store, clips, asking_by_rule(), may_read=False, may_write=False))
    assert plan.stages[0].num("will") == 4
    assert "the corpus has no history" in plan.summary()
    assert not store.root.exists()


def test_an_interrupted_run_is_planned_from_where_it_stopped(clips: Path, tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "corpus", 4)
    walk = open_walk(store, clips, asking_by_rule())
    walk.keep_sources()
    from pipeline.stage import Resources

    for stage in WALK[:2]:
        for bucket in walk.take_settled(stage):
            walk.run(stage, bucket, Resources(source=clips))
    plan = plan_walk(open_walk(store, clips, asking_by_rule()))
    assert [stage.num("will") for stage in plan.stages[:2]] == [0, 0]
    assert not plan.is_empty


def test_a_backfill_asks_anew_once_and_goes_on_where_it_stopped(place: Path) -> None:
    corpus = Corpus(place / "corpus")
    query = "select track_id from descriptions where asked[1].prompt = 'refine_2' order by track_id limit 1"
    assert ask_anew(corpus, "refine_descriptions", query) == 1
    assert ask_anew(corpus, "refine_descriptions", query) == 1  # again, before it was done: the same mark
    after = build(place)
    assert planned(after.plan) == {"refine_descriptions": {("backfill", "will", 1)}}
    assert computed(after) == {"refine_descriptions": 1}
    assert build(place).plan.is_empty
    assert ask_anew(Corpus(place / "corpus"), "refine_descriptions") == 2
    assert computed(build(place)) == {"refine_descriptions": 2}


def test_a_backfill_of_refusals_takes_the_videos_of_a_query(place: Path) -> None:
    corpus = Corpus(place / "corpus")
    assert ask_anew(corpus, "extract_tracks", "select video_id from rejects where reason = 'no_face'") == 1
    assert computed(build(place)) == {"extract_tracks": 1}


@pytest.mark.parametrize(
    ("stage", "query", "words"),
    [
        ("extract_trakcs", None, "no stage 'extract_trakcs'; the stages are: probe_videos"),
        (
            "extract_tracks",
            "select path from videos",
            "the query gives the columns path .string.; expected one of unit_id",
        ),
    ],
)
def test_a_wrong_backfill_is_told(place: Path, stage: str, query: str | None, words: str) -> None:
    with pytest.raises(BackfillError, match=words):
        ask_anew(Corpus(place / "corpus"), stage, query)


def test_a_plan_held_against_the_run(place: Path) -> None:
    from pipeline.plan import StageReport

    plan = build(place, BuildConfig(descriptions=RefineConfig(temperature=0.5))).plan
    nothing = StageReport(num_computed=0, num_taken_over=0, work_s=0, busy_s=0, num_tokens=0)
    done = dict.fromkeys(STAGES, nothing) | {"refine_descriptions": nothing.model_copy(update={"num_computed": 2})}
    (last,) = (one for one in compare(plan, done) if one.planned or one.computed)
    assert (last.stage, last.planned, last.at_most, last.computed) == ("refine_descriptions", 2, 2, 2)


def test_an_earlier_state_comes_in_again_without_work_and_is_told(place: Path) -> None:
    """What is there as a finished shard costs nothing, and changes the corpus all the same."""
    videos = place / "videos"
    more = videos / "more.mp4"
    more.write_bytes((videos / "talk.mp4").read_bytes() + b"another ending")
    grown = build(place)
    assert grown.plan.num_leaving == 0
    more.unlink()
    back = build(place)
    assert not back.plan.is_empty
    assert {s.stage: s.num_removed for s in back.plan.stages} == dict.fromkeys(STAGES, 1)
    assert back.plan.summary() == "1 videos leave; 0 units to compute"
    assert computed(back) == {}
    more.write_bytes((videos / "talk.mp4").read_bytes() + b"another ending")
    again = build(place)
    assert planned(again.plan) == {stage: {("new_video", "done", 1)} for stage in STAGES}
    assert again.plan.summary() == "6 units come in that are computed already; 0 units to compute"
    assert computed(again) == {}


def test_a_config_that_was_there_before_is_not_nothing_to_do(place: Path) -> None:
    build(place, BuildConfig(descriptions=RefineConfig(temperature=0.5)))
    back = build(place)
    assert not back.plan.is_empty
    assert computed(back) == {}


def test_lost_files_are_planned_as_such(place: Path) -> None:
    for kind in ("shards/actions", "receipts/measure_actions"):
        shutil.rmtree(place / "corpus" / kind)
    after = build(place)
    assert planned(after.plan)["measure_actions"] == {("unrecorded", "will", 2)}
    assert computed(after) == {"measure_actions": 2}


def test_a_changed_file_of_the_same_size_is_not_taken_for_unchanged(place: Path) -> None:
    root, notes = place / "corpus", place / "videos" / "notes.mp4"
    long_ago = time.time() - 3600
    os.utime(notes, (long_ago, long_ago))
    build(place)
    notes.write_bytes(notes.read_bytes()[::-1])
    plan = plan_walk(open_walk(Store.open(root), place / "videos", asking_by_rule(), may_read=False, may_write=False))
    assert planned(plan)["probe_videos"] == {("changed_video", "will", 1)}


@pytest.mark.parametrize(
    ("query", "words"),
    [("", "gives no rows: expected a select"), ("select [video_id] as video_id from videos", "as text")],
)
def test_a_query_that_gives_no_ids_is_told(place: Path, query: str, words: str) -> None:
    with pytest.raises(BackfillError, match=words):
        ask_anew(Corpus(place / "corpus"), "extract_tracks", query)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_to_a_source_the_build_keeps_to_the_plan(
    seed: int, assets: Callable[[str], Path], tmp_path: Path
) -> None:
    """Random files come, go, move and are labelled, and a draft's length changes to and fro."""
    drawn, pool, videos, labels = Random(seed), tmp_path / "pool", tmp_path / "videos", tmp_path / "labels.csv"
    videos.mkdir()
    for number in range(4):
        cut_clip(assets("carphone_pristine.mp4"), pool / f"{number}.mp4", first=5 * number)
    (pool / "notes.mp4").write_bytes(b"not a video")
    annotations, config = None, BuildConfig()
    for step in range(15):
        there = sorted(videos.iterdir())
        match drawn.choice(["come", "come", "go", "move", "label", "length"]) if there else "come":
            case "come":
                file = drawn.choice(sorted(pool.iterdir()))
                shutil.copy(file, videos / f"{drawn.randrange(9)}-{file.name}")
            case "go" if len(there) > 1:
                drawn.choice(there).unlink()
            case "move":
                drawn.choice(there).rename(videos / f"moved-{drawn.randrange(99)}.mp4")
            case "label":
                lines = [f"{path.name},{drawn.choice(['joy', 'fear', ''])}" for path in there]
                labels.write_text("\n".join(["path,label", *lines]))
                annotations = labels
            case "length":
                drafts = config.drafts.model_copy(update={"max_events": drawn.choice([1, 6])})
                config = BuildConfig(drafts=drafts)
        before = Store.open(tmp_path / "corpus").snapshot_numbers() if step else []
        after = build_without_scheduler(videos, tmp_path / "corpus", config, annotations)
        assert after.plan.is_empty == (Store.open(tmp_path / "corpus").snapshot_numbers() == before)
        for stage in after.plan.stages:
            sure, most = stage.num("will"), sum(stage.num(word) for word in ("will", "about", "may"))
            assert sure <= after.computed[stage.stage] <= most, (step, stage)
