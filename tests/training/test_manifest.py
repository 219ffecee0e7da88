"""What a training may begin from, and what is refused before it does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.training.manifest import Manifest, TrainingError, refuse_shared_groups, write_manifest
from tests.real_corpus import build_without_scheduler


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("training")
    said = folder / "said.csv"
    said.write_text("path,label,split,group\nman/smile.mp4,happiness,train,man\ntalk.mp4,,test,other\n")
    build_without_scheduler(clips, folder / "corpus", annotations=said)
    return folder / "corpus"


def test_the_manifest_says_which_files_and_how_many_clips_of_which_split(built: Path) -> None:
    manifest, path = write_manifest(Corpus(built))
    assert Manifest.model_validate_json(Path(path).read_bytes()) == manifest
    counts = {(count.split, count.label): (count.num_clips, count.num_without_text) for count in manifest.clips}
    assert counts == {("train", "happiness"): (1, 0), ("test", None): (1, 0)}
    assert (manifest.snapshot, manifest.num_clips, manifest.num_without_text) == (1, 2, 0)
    assert sum(file.rows for file in manifest.files["motion"]) == 2


def test_a_snapshot_that_is_not_whole_is_not_trained_on(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(built, root, ignore=shutil.ignore_patterns("training"))
    corpus = Corpus(root)
    motion = Path(corpus.files("motion")[0])
    motion.write_bytes(motion.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"snapshot 1 has \d+ faults, the first: shards/motion"):
        write_manifest(corpus)
    assert not list(root.glob("training/*"))


def test_a_person_on_both_sides_of_a_split_is_refused_by_name() -> None:
    refuse_shared_groups([("ann", "train"), ("ann", "train"), ("ben", "test"), (None, "train"), (None, "test")])
    with pytest.raises(TrainingError, match="1 groups are on both sides of a split, the first is 'ann' in test and tr"):
        refuse_shared_groups([("ann", "train"), ("ann", "test"), ("ben", "test")])
