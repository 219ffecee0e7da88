"""The ablation of the small tower at a larger size, many runs at once on one GPU: arms times seeds until a deadline.

    python bench/gpu/sweep.py carried/ scratch/ --processes 8 --minutes 7 --results results/

`carried/` is what `carry.py pack` wrote. Every seed of all arms is begun before the next seed, so that the table is
whole for as many seeds as there was time for. Into `results/` go the table as Markdown and the figures of each run.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import shutil
import sys
import time
import traceback
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parent)]

ARMS = (
    "vision_only,caption_global,motion_gate,attention,balanced,unbalanced,shuffled_captions,shuffled_frames,"
    "shuffled_labels"
)
CONFIG = """
epochs = {epochs}
batch = {batch}
learning_rate = 3e-3
warmup_epochs = 1
[augment]
shift = 0.02
zoom = 0.04
[model]
small_channels = {channels}
width = {width}
[resources]
device = "{device}"
threads = 1
"""


def _facescribe(scratch: Path, arguments: list[str]) -> str:
    """Run a command in this process; what it said."""
    import pipeline.model.text as texts
    from flows.__main__ import main as facescribe

    texts.fetch = lambda name: scratch / "encoder" / name  # type: ignore[assignment]  # half of the packaged precision
    sys.argv = ["facescribe", *arguments]
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            facescribe()
        except SystemExit as end:
            if end.code:
                said.write(f"\nended with {end.code}\n")
        except Exception:
            said.write(traceback.format_exc())
    return said.getvalue()


def _ablate(scratch: Path, arms: str, seeds: str, reference: str) -> str:
    facts = {"--root": scratch / "corpus", "--out": scratch / "runs", "--config": scratch / "train.toml"}
    facts |= {"--arms": arms, "--seeds": seeds, "--reference": reference}
    return _facescribe(scratch, ["ablate", *(str(part) for pair in facts.items() for part in pair)])


def _run(scratch: Path, arm: str, seed: int) -> tuple[str, float, str]:
    begin = time.monotonic()
    said = _ablate(scratch, arm, str(seed), arm)
    return f"{arm}, seed {seed}", time.monotonic() - begin, said


def main() -> None:
    """Unpack, train until the deadline, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("carried", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=7.0, help="after them no run is begun any more")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    begin = time.monotonic()
    scratch, arms = options.scratch.resolve(), options.arms.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    options.results.mkdir(parents=True, exist_ok=True)
    if not (scratch / "corpus").exists():
        from carry import unpack

        unpack(options.carried, scratch)
        print(f"unpacked in {time.monotonic() - begin:.0f} s", flush=True)
    names = ("epochs", "batch", "channels", "width", "device")
    (scratch / "train.toml").write_text(CONFIG.format(**{name: getattr(options, name) for name in names}))
    done: list[tuple[str, float, str]] = []
    waiting: list[Future[tuple[str, float, str]]] = []
    tasks = [(arm, seed) for seed in seeds for arm in arms]
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        while tasks or waiting:
            while tasks and len(waiting) < options.processes and time.monotonic() - begin < 60 * options.minutes:
                waiting.append(pool.submit(_run, scratch, *tasks.pop(0)))
            if not waiting:
                break
            over = wait(waiting, return_when="FIRST_COMPLETED").done
            waiting = [task for task in waiting if task not in over]
            for task in over:
                name, seconds, said = task.result()
                done.append((name, seconds, said))
                lines = [line for line in said.splitlines() if "UAR" in line or "ended with" in line or "Error" in line]
                last = lines[-1].strip() if lines else "no word"
                print(f"{time.monotonic() - begin:5.0f} s  {name}: {seconds:.0f} s  {last}", flush=True)
        runs = scratch / "runs"
        whole = [s for s in seeds if all((runs / arm / f"seed-{s}" / "weights.safetensors").exists() for arm in arms)]
        print(f"seeds that are whole: {whole}; runs: {len(done)}; {len(tasks)} not begun", flush=True)
        if whole:
            reference = "balanced" if "balanced" in arms else arms[0]
            said = pool.submit(_ablate, scratch, options.arms, ",".join(map(str, whole)), reference).result()
            (options.results / "table.txt").write_text(said)
            print(said, flush=True)
    logs = "\n\n".join(f"=== {name}, {seconds:.0f} s\n{said}" for name, seconds, said in done)
    (options.results / "logs.txt").write_text(logs)
    for name in ("ablation.md", "ablation.parquet", "ablation-runs.parquet"):
        with suppress(FileNotFoundError):
            shutil.copyfile(runs / name, options.results / name)
    print(f"in all {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
