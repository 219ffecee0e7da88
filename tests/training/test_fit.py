"""A training: the same bits twice, the same after an interruption, the same in two processes; refusals in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.local_server import free_port
from pipeline.training.assemble import Assembler
from pipeline.training.batches import ClipBatches
from pipeline.training.clips import list_clips
from pipeline.training.config import TrainConfig, TrainConfigError, TrainResources, first_difference, load_train_file
from pipeline.training.errors import DivergedError, RunError, TrainingInterruptedError
from pipeline.training.fit import Progress, fit
from pipeline.training.logbook import METRICS, read_metrics
from pipeline.training.optimizer import build_optimizer, rate_share
from pipeline.training.run_folder import RunFolder
from pipeline.training.sampling import SamplingConfig, plan_sampling
from tests.training_corpus import write_training_corpus

ROOT = Path(__file__).parents[2]
HOW = TrainResources(device="cpu", threads=1, log_every=1, workers=0)
STEPS = 3
"""Of an epoch: 12 training clips in batches of 5, so that the last is short."""


def tiny(**changes: Any) -> TrainConfig:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5, **changes.pop("model", {})}
    return TrainConfig.model_validate({"epochs": 3, "batch": 5, "learning_rate": 2e-3, "model": model, **changes})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fit") / "corpus"
    write_training_corpus(root)
    return root


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A training that nothing interrupted."""
    return fit(corpus, tmp_path_factory.mktemp("whole") / "run", tiny(), HOW)


def weights(run: RunFolder) -> dict[str, Tensor]:
    return load_file(run.weights)


def are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def at_step(step: int, act: Callable[[], None]) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.step == step:
            act()

    return watch


def test_a_run_says_what_it_is_made_of_and_gives_a_network(whole: RunFolder, corpus: Path) -> None:
    run = RunFolder.open(whole.path)
    facts = run.facts
    assert facts.state == "done" and facts.epochs_done == 3 and facts.steps_done == 3 * STEPS
    assert facts.config == tiny() and facts.labels == ("happiness", "sadness", "surprise")
    assert facts.snapshot == 1 and Path(facts.corpus) == corpus and facts.clips_key == list_clips(corpus).key
    assert facts.split_key == run.split.key and facts.plan_key == run.plan.key
    assert set(facts.validation) == {"uar", "war", "nll"} and sum(facts.prior) == pytest.approx(1)
    network = run.load_network()
    assert not network.training
    clips = list_clips(corpus)
    assembler = Assembler(clips, run.text_tower(), run.labels)
    plan = plan_sampling(run.split, SamplingConfig(shuffle=False), "test")
    with ClipBatches(clips, plan, frame_px=network.config.frame_px, global_batch=4) as batches, torch.inference_mode():
        made = assembler.batch(next(iter(batches.epoch(0))))
        assert network(made.batch).logits_BK.shape == (3, 3)


def test_the_log_is_in_parquet_and_for_tensorboard(whole: RunFolder) -> None:
    rows = read_metrics(whole.path).to_pandas()
    loss = rows[(rows["name"] == "loss") & (rows["split"] == "train")]
    assert loss["step"].tolist() == list(range(1, 3 * STEPS + 1)) and loss["epoch"].tolist() == [
        0,
        0,
        0,
        1,
        1,
        1,
        2,
        2,
        2,
    ]
    assert rows[rows["split"] == "validation"].groupby("name")["step"].apply(list)["uar"] == [3, 6, 9]
    assert {"loss_transport", "gradient_norm", "learning_rate", "epsilon", "gate"} <= set(rows["name"])
    assert pq.read_schema(whole.path / "metrics.parquet").field("value").metadata[b"meaning"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole.path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation/uar")] == [3, 6, 9]


def test_the_same_training_twice_gives_the_same_bits(whole: RunFolder, corpus: Path, tmp_path: Path) -> None:
    again = fit(corpus, tmp_path / "run", tiny(), HOW)
    assert are_equal(weights(again), weights(whole))


@pytest.mark.parametrize(("asked", "step"), [(1, 2), (2, 3), (3, 3), (4, 5)])
def test_interrupted_and_taken_up_it_gives_the_same_bits(
    whole: RunFolder, corpus: Path, tmp_path: Path, asked: int, step: int
) -> None:
    """Asked to stop within an epoch, before the last step of one, and after it."""
    stop = at_step(asked, lambda: os.kill(os.getpid(), signal.SIGINT if asked % 2 else signal.SIGTERM))
    with pytest.raises(TrainingInterruptedError, match=rf"after step {step} of 9; saved in .*: the same command goes"):
        fit(corpus, tmp_path / "run", tiny(), HOW, on_progress=stop)
    assert not RunFolder.open(tmp_path / "run").is_done
    steps: list[int] = []
    again = fit(corpus, tmp_path / "run", tiny(), HOW, on_progress=lambda progress: steps.append(progress.step))
    assert steps == list(range(step + 1, 10))
    assert are_equal(weights(again), weights(whole))
    logged = read_metrics(again.path).to_pandas()
    assert logged[logged["name"] == "loss"]["step"].tolist() == list(range(1, 10))
    assert METRICS.primary_key == ("step", "split", "name") and not logged.duplicated(["step", "split", "name"]).any()


def test_killed_without_a_word_it_goes_on_from_the_epoch_before(whole: RunFolder, corpus: Path, tmp_path: Path) -> None:
    def die() -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fit(corpus, tmp_path / "run", tiny(), HOW, on_progress=at_step(STEPS + 2, die))
    steps: list[int] = []
    again = fit(corpus, tmp_path / "run", tiny(), HOW, on_progress=lambda progress: steps.append(progress.step))
    assert steps[0] == STEPS + 1
    assert are_equal(weights(again), weights(whole))


def test_a_training_that_is_over_does_nothing(whole: RunFolder, corpus: Path) -> None:
    before = whole.weights.stat().st_mtime_ns
    steps: list[int] = []
    fit(corpus, whole.path, tiny(), HOW, on_progress=lambda progress: steps.append(progress.step))
    assert not steps and whole.weights.stat().st_mtime_ns == before


def test_what_a_run_was_not_begun_with_is_refused_by_name(whole: RunFolder, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a run of another config: model.width is 16 there and 32 here; give the run's"):
        fit(corpus, whole.path, tiny(model={"width": 32}), HOW)
    with pytest.raises(RunError, match="holds a run on snapshot 1, not 2"):
        fit(corpus, whole.path, tiny(), HOW, snapshot=2)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"is not empty and no run \(it holds 'thesis.tex'\)"):
        fit(corpus, tmp_path, tiny(), HOW)
    with pytest.raises(RunError, match="no run at .*: `facescribe train --out .*` makes one"):
        RunFolder.open(tmp_path)


def test_the_second_of_two_trainings_in_one_folder_is_told(corpus: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.held(), pytest.raises(RunError, match=r"another training works in .*run: wait for its end, or give this"):
        fit(corpus, run.path, tiny(), HOW)


def test_weights_that_are_no_numbers_are_never_kept(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="no number any more at step .* lower learning_rate or lengthen"):
        fit(corpus, tmp_path / "run", tiny(learning_rate=1e30, warmup_epochs=0), HOW)
    for path in (tmp_path / "run" / "checkpoints").glob("*"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def test_the_best_epoch_is_kept_where_the_config_says_so(corpus: Path, tmp_path: Path) -> None:
    run = fit(corpus, tmp_path / "run", tiny(keep="best"), HOW)
    rows = read_metrics(run.path).to_pandas()
    uar = rows[(rows["split"] == "validation") & (rows["name"] == "uar")]
    assert run.facts.validation["uar"] == uar["value"].max()
    assert run.facts.kept_epoch == int(uar.loc[uar["value"].idxmax(), "epoch"])


def test_chance_has_streams_of_its_own_so_that_another_network_sees_the_same_clips(
    whole: RunFolder, corpus: Path, tmp_path: Path
) -> None:
    other = fit(corpus, tmp_path / "run", tiny(model={"alignment": "none", "temporal_layers": 2}, epochs=1), HOW)
    assert (other.facts.split_key, other.facts.plan_key) == (whole.facts.split_key, whole.facts.plan_key)
    assert other.plan.epoch_order(0, 1).tolist() == whole.plan.epoch_order(0, 1).tolist()


def test_the_controls_change_what_is_learnt_and_not_what_is_validated(
    whole: RunFolder, corpus: Path, tmp_path: Path
) -> None:
    for control in ("shuffle_labels", "shuffle_captions", "shuffle_frames"):
        run = fit(corpus, tmp_path / control, tiny(**{control: True}), HOW)
        assert run.facts.split_key == whole.facts.split_key
        assert not are_equal(weights(run), weights(whole)), control


def test_the_rates_rise_and_then_fall_to_nothing() -> None:
    shares = [rate_share(step, 100, 10) for step in range(100)]
    assert 0 < shares[0] < 0.1 and shares[10] == 1 and shares[-1] < 0.001
    assert shares[:11] == sorted(shares[:11]) and shares[10:] == sorted(shares[10:], reverse=True)


def test_norms_biases_and_scalars_do_not_decay_and_low_rank_updates_have_their_own_rate() -> None:
    network = torch.nn.ModuleDict(
        {"lora_A": torch.nn.Linear(2, 2), "norm": torch.nn.LayerNorm(3), "new": torch.nn.Linear(2, 2)}
    )
    network["new"].bias.requires_grad_(False)
    optimizer, named = build_optimizer({"network": network}, tiny(weight_decay=0.5, lora_learning_rate=1e-5))
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert {name: found[id(parameter)] for name, parameter in named.items()} == {
        "network/lora_A.weight": (1e-5, 0.5),
        "network/lora_A.bias": (1e-5, 0.0),
        "network/norm.weight": (2e-3, 0.0),
        "network/norm.bias": (2e-3, 0.0),
        "network/new.weight": (2e-3, 0.5),
    }


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("epoch = 3", "unknown field 'epoch'; did you mean 'epochs'?"),
        ("[model]\nwidht = 3", "unknown field 'model.widht'; did you mean 'width'?"),
        ("[resources]\ndevise = 'cpu'", "unknown field 'resources.devise'; did you mean 'device'?"),
        ("[loss]\ncontrast_temperature = -1", "loss.contrast_temperature: Input should be greater than 0, got -1"),
        ("epochs = ", "is not TOML"),
    ],
)
def test_a_train_file_that_cannot_be_used_says_where_and_what_was_meant(
    tmp_path: Path, written: str, said: str
) -> None:
    path = tmp_path / "train.toml"
    path.write_text(written)
    with pytest.raises(TrainConfigError) as raised:
        load_train_file(path)
    assert said in str(raised.value) and "train.toml" in str(raised.value)


def test_a_train_file_sets_what_it_names_and_the_config_has_a_key(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("epochs = 3\nlabels = ['b', 'a']\n[split]\nby = 'identity'\n[resources]\nthreads = 1\n")
    file = load_train_file(path)
    assert (file.train.epochs, file.train.labels, file.train.split.by) == (3, ("b", "a"), "identity")
    assert file.resources.threads == 1
    assert file.train.key() == file.train.model_copy().key() != TrainConfig().key()
    assert first_difference(TrainConfig(), file.train) == "epochs is 30 there and 3 here"


# --- the command, and several processes


def facescribe(*arguments: str | Path, launcher: tuple[str, ...] = (sys.executable, "-m", "flows")) -> list[str]:
    return [*launcher, *map(str, arguments)]


def train_file(path: Path, **changes: Any) -> Path:
    """A train.toml of the tiny config."""
    config = tiny(**changes).model_dump(mode="json", exclude_defaults=True)
    tables = {name: value for name, value in config.items() if isinstance(value, dict)}
    lines = [f"{name} = {value}" for name, value in config.items() if name not in tables]
    for table, fields in (tables | {"resources": {"threads": 1, "log_every": 1, "device": "'cpu'"}}).items():
        lines += [f"[{table}]", *(f"{name} = {value}" for name, value in fields.items())]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_the_command_trains_is_interrupted_and_goes_on(whole: RunFolder, corpus: Path, tmp_path: Path) -> None:
    config = train_file(tmp_path / "train.toml")
    command = facescribe("train", "--root", corpus, "--out", tmp_path / "run", "--config", config)
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("epoch 1"):
                running.send_signal(signal.SIGINT)
                break
        said = running.stderr.read()
        assert running.wait(60) == 130, said
    assert "finishing the step and saving" in said and "the same command goes on from there" in said
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "validation: UAR" in done.stdout and f"next: facescribe evaluate {tmp_path / 'run'}" in done.stdout.replace(
        "\n", ""
    )
    assert are_equal(weights(RunFolder(tmp_path / "run")), weights(whole))
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "this training was over already" in again.stdout


def in_two_processes(corpus: Path, out: Path, config: Path) -> subprocess.CompletedProcess[str]:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}")
    command = facescribe(
        "train", "--root", corpus, "--out", out, "--config", config, launcher=(*launcher, "-m", "flows")
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


UNEVEN: dict[str, Any] = {"model": {"dropout": 0.0}, "batch": 11, "epochs": 2}
"""12 clips in batches of 11: shares of 6 and 5, then of 1 and none. Dropout is each rank's own, so there is none."""


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fit(corpus, tmp_path_factory.mktemp("alone") / "run", tiny(**UNEVEN), HOW)


def assert_close(two: RunFolder, alone: RunFolder) -> None:
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(two)[name], tensor, atol=2e-4, rtol=2e-3, msg=name)
    logs = [read_metrics(run.path).to_pandas().set_index(["step", "split", "name"])["value"] for run in (alone, two)]
    for step in (1, 2, 3, 4):
        for name in ("loss", "loss_classes", "loss_contrast", "loss_transport", "gradient_norm"):
            assert logs[1][step, "train", name] == pytest.approx(logs[0][step, "train", name], rel=2e-3, abs=1e-4)
    assert logs[1][4, "validation", "nll"] == pytest.approx(logs[0][4, "validation", "nll"], rel=1e-3)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(alone: RunFolder, corpus: Path, tmp_path: Path) -> None:
    done = in_two_processes(corpus, tmp_path / "two", train_file(tmp_path / "train.toml", **UNEVEN))
    assert done.stdout.count("validation: UAR") == 1, "only the first process speaks"
    assert_close(RunFolder.open(tmp_path / "two"), alone)


@pytest.mark.slow
def test_what_one_process_began_two_go_on_with(alone: RunFolder, corpus: Path, tmp_path: Path) -> None:
    stop = at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(TrainingInterruptedError, match="after step 2 of 4"):
        fit(corpus, tmp_path / "run", tiny(**UNEVEN), HOW, on_progress=stop)
    in_two_processes(corpus, tmp_path / "run", train_file(tmp_path / "train.toml", **UNEVEN))
    assert_close(RunFolder.open(tmp_path / "run"), alone)


@pytest.mark.slow
def test_it_learns_and_with_shuffled_labels_it_does_not(tmp_path: Path) -> None:
    """The corpus is one that a network learns in few steps; what is left without labels is memory, not knowledge."""
    people = [f"p{number:02}" for number in range(14)]
    write_training_corpus(tmp_path / "corpus", people=people, test_people=people[:2])
    config = tiny(epochs=10, batch=12, split={"validation_share": 0.4}, augment={"flip": 0.5})
    learnt = fit(tmp_path / "corpus", tmp_path / "run", config, HOW)
    assert learnt.facts.validation["uar"] > 0.95
    fooled = fit(tmp_path / "corpus", tmp_path / "fooled", config.model_copy(update={"shuffle_labels": True}), HOW)
    assert fooled.facts.validation["uar"] < 0.8
    assert fooled.facts.validation["nll"] > 2 * learnt.facts.validation["nll"]
