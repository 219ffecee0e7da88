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
from collections.abc import Callable
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
            _in_child(lambda target=target: _merge(target, args.state / target.name))  # type: ignore[misc]
        return
    until_s, number = args.minutes * 60, _spent_s(args.state)
    while number < until_s:
        for target in chosen:
            _turn(target, args.state / target.name, args.turn)
        number = _spent_s(args.state)
        _say(f"{number / 60:.1f} minutes of CPU time of {args.minutes:g}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="CPU time of all turns that lie in --state")
    parser.add_argument("--state", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--target", action="append", help="only this one; may be given several times")
    parser.add_argument("--turn", type=int, default=TURN_S, help="seconds of a target's turn")
    parser.add_argument("--nice", type=int, default=19)
    parser.add_argument("--keep", action="store_true", help="no search: the smallest inputs that reach all that was")
    return parser.parse_args()


def _turn(target: Any, folder: Path, turn_s: int) -> None:
    began = time.monotonic()
    log = folder / "log.txt"
    for name in ("corpus", "breaches", "seeds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    status, cpu_s = _in_child(lambda: _search(target, folder, turn_s), log)
    said = log.read_text(errors="replace")
    runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)
    seen = re.findall(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", said)
    report: Report = {
        "target": target.name,
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(time.monotonic() - began, 1),
        "runs": int(runs[-1]) if runs else int(seen[-1][0]) if seen else 0,
        "branches": int(seen[-1][1]) if seen else 0,
        "features": int(seen[-1][2]) if seen else 0,
        "inputs": int(seen[-1][3]) if seen else 0,
        "status": status,
        "breaches": len(list((folder / "breaches").glob("*.txt"))),
    }
    if status != 0:  # a crash of native code, a hang, or no memory: libFuzzer has written the input
        shutil.copy(log, folder / f"ended-{int(time.time())}.txt")
    with (folder / "turns.jsonl").open("a") as file:
        file.write(json.dumps(report) + "\n")
    _say(json.dumps(report))


def _search(target: Any, folder: Path, turn_s: int) -> None:
    """A turn, in a process of its own; it does not return."""
    import atheris

    from tests.fuzz.changing import changed_json, dictionary
    from tests.fuzz.law import judge
    from tests.fuzz.replay import kept, regressions

    read = target.open(_place())
    for data in (*target.seeds(), *kept(target.name), *regressions(target.name).values()):
        (folder / "seeds" / hashlib.sha1(data).hexdigest()).write_bytes(data)
    words = folder / "words.txt"
    words.write_text(dictionary(target.words))
    known = {path.stem for path in (folder / "breaches").glob("*.txt")}

    def one(data: bytes) -> None:
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
    more: dict[str, Callable[..., bytes]] = {}
    if target.form == "json":
        more["custom_mutator"] = lambda data, most, seed: changed_json(data, most, seed, target.words, atheris.Mutate)
    atheris.Setup(["fuzz", str(folder / "corpus"), str(folder / "seeds"), *options], one, **more)
    atheris.Fuzz()


def _merge(target: Any, folder: Path) -> None:
    """Write the smallest inputs that together reach all that was reached to `merged`; it does not return."""
    import atheris

    from tests.fuzz.law import judge

    merged = folder / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    read = target.open(_place())
    options = ["-merge=1", "-rss_limit_mb=0", f"-max_len={target.most_bytes}"]
    folders = [str(merged), str(folder / "seeds"), str(folder / "corpus")]
    atheris.Setup(["fuzz", *options, *folders], lambda data: judge(target, read, data) and None)
    atheris.Fuzz()


def _place() -> Path:
    """An empty folder for what a parser reads, in memory where the system has such a folder."""
    memory = Path("/dev/shm")
    place = (memory if memory.is_dir() else Path(tempfile.gettempdir())) / f"facescribe-fuzz-{os.getppid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def _in_child(work: Callable[[], None], log: Path | None = None) -> tuple[int, float]:
    """Exit status and CPU seconds of a process that does the work."""
    child = os.fork()
    if child == 0:
        try:
            if log is not None:
                file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, 1)
                os.dup2(file, 2)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _spent_s(state: Path) -> float:
    """CPU seconds of all turns so far, as the processes themselves had them."""
    lines = [line for path in state.glob("*/turns.jsonl") for line in path.read_text().splitlines()]
    return float(sum(json.loads(line)["cpu_s"] for line in lines))


if __name__ == "__main__":
    main()
