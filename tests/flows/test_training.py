"""The flow that trains, and what the command says where it cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.training import train
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.run_folder import RunFolder
from tests.training_corpus import write_training_corpus

HOW = TrainResources(device="cpu", threads=1)


def tiny() -> TrainConfig:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5}
    return TrainConfig.model_validate({"epochs": 1, "batch": 6, "seed": 4, "model": model})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training_flow") / "corpus"
    write_training_corpus(root)
    return root


def test_the_flow_trains_into_a_folder_of_its_own_and_the_same_flow_goes_on_there(corpus: Path, tmp_path: Path) -> None:
    done = train.fn(corpus, tmp_path, config=tiny(), resources=HOW)
    assert done.run.parent == tmp_path and done.run.name == f"000001-{tiny().key()[:8]}-seed4"
    assert (done.snapshot, done.epochs) == (1, 1) and set(done.validation) == {"uar", "war", "nll"}
    before = RunFolder(done.run).weights.stat().st_mtime_ns
    assert (corpus / "training" / "000001.json").is_file(), "what was read is written down, as by prepare-training"
    assert train.fn(corpus, tmp_path, config=tiny(), resources=HOW) == done
    assert RunFolder(done.run).weights.stat().st_mtime_ns == before


@pytest.mark.slow
def test_what_the_command_cannot_do_is_one_line_and_an_exit_code(
    facescribe: Callable[..., subprocess.CompletedProcess[str]], corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.toml").write_text("epoch = 3\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "clip.toml").write_text("[model]\ntower = 'clip'\ntower_path = 'nowhere'\nframe_px = 224\n")
    cases = [
        (("--root", "nowhere", "--out", "a"), 1, "no corpus at nowhere: run `facescribe build"),
        (("--root", corpus, "--out", "a", "--config", "train.toml"), 2, "did you mean 'epochs'?"),
        (("--root", corpus, "--out", "full"), 2, "is not empty and no run (it holds 'notes.txt')"),
        (("--root", corpus, "--out", "b", "--snapshot", 7), 1, "no snapshot 7"),
        (("--root", corpus, "--out", "c", "--config", "clip.toml"), 2, "no config.json in nowhere"),
    ]
    for arguments, code, said in cases:
        done = facescribe("train", *arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
