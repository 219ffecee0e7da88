"""Look for bytes that a parser does not bear, led by what of the code they reach: `python -m tests.fuzz.run`.

The targets have their turns one after the other, each in a process that is forked off when everything is imported. What
was found stays below `--state`, so that the next run goes on from there; a breach does not end a turn. Linux and
atheris are needed, and `--keep` puts what is worth keeping into the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

INSTRUMENTED = ("pipeline", "schemas", "tomllib", "openpyxl", "PIL")
"""Packages whose branches lead the search: ours, and readers in Python that ours call."""

TURN_S = 40
"""Seconds of a turn."""

HANG_S = 120
"""Wall seconds of one input after which a turn is ended: the law is about CPU time, which this one sees on no clock."""

MEMORY_BYTES = 6 << 30
"""Address space of a turn beyond what it begins with."""

KEPT_BYTES, KEPT_INPUTS = 24 << 10, 50
"""Of a target that go into the repository at most, unpacked; the fast tests read all of them."""

Report = dict[str, Any]


def main() -> None:
    args = _arguments()
    os.nice(args.nice)
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.fuzz.targets import TARGETS
    chosen = [target for target in TARGETS if not args.target or target.name in args.target]
    args.state.mkdir(parents=True, exist_ok=True)
    if args.keep:
        for target in chosen:
            _keep(target, args.state / target.name)
        return
    _take_turns(chosen, args)


def _take_turns(targets: Sequence[Any], args: argparse.Namespace) -> None:
    """Turn after turn, `--jobs` of them side by side, until they have had the CPU time, as the system counted it."""
    queue: list[Any] = []
    running: dict[int, _Turn] = {}
    spent_s = 0.0
    while running or spent_s < args.minutes * 60:
        while len(running) < args.jobs and spent_s < args.minutes * 60:
            queue = queue or list(targets)
            if any(turn.target is queue[0] for turn in running.values()):
                break
            turn = _Turn(queue.pop(0), args.state, args.turn)
            running[turn.child] = turn
        child, status, used = os.wait4(-1, 0)
        spent_s += used.ru_utime + used.ru_stime
        running.pop(child).end(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)
    _say(f"{spent_s / 60:.1f} minutes of CPU time")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="CPU time of all turns together")
    parser.add_argument("--state", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--target", action="append", help="only this one; may be given several times")
    parser.add_argument("--turn", type=int, default=TURN_S, help="seconds of a target's turn")
    parser.add_argument("--jobs", type=int, default=1, help="turns side by side, of different targets")
    parser.add_argument("--nice", type=int, default=19)
    parser.add_argument("--keep", action="store_true", help="no search: put the smallest inputs into the repository")
    return parser.parse_args()


class _Turn:
    """A target's turn, in a process of its own."""

    def __init__(self, target: Any, state: Path, turn_s: int) -> None:
        self.target, self._folder, self._began = target, state / target.name, time.monotonic()
        for name in ("corpus", "breaches", "seeds"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._log, self._place = self._folder / "log.txt", _place(target.name)
        self.child = _forked(lambda: _search(target, self._folder, self._place, turn_s), self._log)

    def end(self, status: int, cpu_s: float) -> None:
        """Note what the turn did."""
        shutil.rmtree(self._place, ignore_errors=True)
        said = self._log.read_text(errors="replace")
        runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)
        seen = re.findall(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", said)
        report: Report = {
            "target": self.target.name,
            "cpu_s": round(cpu_s, 1),
            "wall_s": round(time.monotonic() - self._began, 1),
            "runs": int(runs[-1]) if runs else int(seen[-1][0]) if seen else 0,
            "branches": int(seen[-1][1]) if seen else 0,
            "features": int(seen[-1][2]) if seen else 0,
            "inputs": int(seen[-1][3]) if seen else 0,
            "status": status,
            "breaches": len(list((self._folder / "breaches").glob("*.txt"))),
        }
        if status != 0:  # native code ended the process, or it was ended for a hang
            name = self._folder / "breaches" / f"ended-{int(time.time())}"
            shutil.copy(self._log, name.with_suffix(".txt"))
            if _last(self._place).exists():
                shutil.copy(_last(self._place), name.with_suffix(".bin"))
        _last(self._place).unlink(missing_ok=True)
        with (self._folder / "turns.jsonl").open("a") as file:
            file.write(json.dumps(report) + "\n")
        _say(json.dumps(report))


def _search(target: Any, folder: Path, place: Path, turn_s: int) -> None:
    """A turn, in a process of its own; it does not return."""
    import atheris

    from tests.fuzz.changing import changed_bytes, changed_json, dictionary
    from tests.fuzz.law import judge
    from tests.fuzz.replay import kept, regressions

    read = target.open(place)
    for data in (*target.seeds(), *kept(target.name), *regressions(target.name).values()):
        (folder / "seeds" / hashlib.sha1(data).hexdigest()).write_bytes(data)
    words = folder / "words.txt"
    words.write_text(dictionary(target.words))
    known = {path.stem for path in (folder / "breaches").glob("*.txt")}

    last = _last(place)

    def one(data: bytes) -> None:
        last.write_bytes(data)
        breach = judge(target, read, data)
        if breach is None:
            return
        name = hashlib.sha1(breach.sign.encode()).hexdigest()[:12]
        before = folder / "breaches" / f"{name}.bin"
        if name not in known:
            known.add(name)
            (folder / "breaches" / f"{name}.txt").write_text(
                f"{breach.sign}\n\n{breach.told}", errors="backslashreplace"
            )
            before.write_bytes(data)
        elif before.exists() and len(data) < before.stat().st_size:
            before.write_bytes(data)

    soft = _address_space() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))
    options = [
        f"-max_total_time={turn_s}",
        f"-timeout={HANG_S}",
        "-rss_limit_mb=0",
        f"-max_len={target.most_bytes}",
        f"-artifact_prefix={folder}/breaches/native-",
        "-print_final_stats=1",
        "-reload=0",
        *([f"-dict={words}"] if target.words else []),
    ]
    changed = changed_json if target.form == "json" else changed_bytes

    def change(data: bytes, most_bytes: int, seed: int) -> bytes:
        return changed(data, most_bytes, seed, target.words, atheris.Mutate)

    atheris.Setup(["fuzz", str(folder / "corpus"), str(folder / "seeds"), *options], one, custom_mutator=change)
    atheris.Fuzz()


def _keep(target: Any, folder: Path) -> None:
    """Keep the smallest inputs that each reached something new when they were found."""
    from tests.fuzz.replay import keep

    found = sorted({path.read_bytes() for path in (folder / "corpus").glob("*")}, key=lambda data: (len(data), data))
    sizes = accumulate(len(data) for data in found)
    kept = [data for data, size in zip(found, sizes, strict=True) if size <= KEPT_BYTES][:KEPT_INPUTS]
    if kept:
        keep(target.name, kept)
    _say(f"{target.name}: {len(kept)} of {len(found)} inputs")


def _place(name: str) -> Path:
    """An empty folder for what a parser reads, in memory where the system has such a folder."""
    memory = Path("/dev/shm")
    place = (memory if memory.is_dir() else Path(tempfile.gettempdir())) / f"facescribe-fuzz-{os.getpid()}-{name}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def _last(place: Path) -> Path:
    """Where the bytes lie that a parser has now: what ends the process tells nothing else."""
    return place.with_name(f"{place.name}.input")


def _forked(work: Callable[[], None], log: Path) -> int:
    """The id of a process that does the work."""
    child = os.fork()
    if child == 0:
        try:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    return child


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
