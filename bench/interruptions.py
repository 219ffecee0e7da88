"""Kill builds with `kill -9` at random moments; after each, the next run must end in what an uninterrupted one makes.

    python bench/interruptions.py                          # 100 kills; some ten minutes
    python bench/interruptions.py --kills 10 --minutes 2

By turns a first build is killed and one that brings an older snapshot up to date (one video more, one less, a label).
After the kill, every file that any snapshot names must be there whole, and the newest snapshot must be the old corpus
or the new one. The walk runs in a process of its own with two workers, without Prefect, whose part in interruptions
tests/flows/test_interruption.py looks at. The moments are drawn by the seed over the time of an uninterrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil

from pipeline.assets import fetch
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import read
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.walk import WALK, open_walk
from schemas.corpus import TABLES
from schemas.ledger import COSTS
from tests.real_corpus import asking_by_rule, cut_clip

ANSWERS = "from tests.answer_server import answering\nwith answering() as s: print(s.address, flush=True); input()"

KILLED = "killed while it ran"


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=30, help="end after so long, whatever was done")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="facescribe-kills-"))
    answers = subprocess.Popen(
        [sys.executable, "-c", ANSWERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert answers.stdout is not None
        kill_and_compare(folder, answers.stdout.readline().strip(), arguments)
    finally:
        answers.kill()
        shutil.rmtree(folder)


def kill_and_compare(folder: Path, server: str, arguments: argparse.Namespace) -> None:
    """The loop, and what came of it as a table."""
    in_child(partial(make_sources, folder))
    first = partial(build, folder / "before", server, None)
    update = partial(build, folder / "after", server, folder / "labels.csv")
    old = folder / "old"
    in_child(partial(first, old))
    wanted, lasts_s = {}, {}
    for name, work in (("first", first), ("update", update)):
        began = time.monotonic()
        in_child(partial(work, begun(folder / f"whole-{name}", old, name)))
        lasts_s[name] = time.monotonic() - began
        wanted[name] = digest_of(folder / f"whole-{name}", folder)
    was = digest_of(old, folder)

    drawn, ended, outcomes = random.Random(arguments.seed), time.monotonic() + 60 * arguments.minutes, Counter[str]()
    for number in itertools.count():
        if outcomes[KILLED] == arguments.kills or time.monotonic() > ended:
            break
        name, work = (("first", first), ("update", update))[number % 2]
        root = begun(folder / f"kill-{number}", old, name)
        killed = start(partial(work, root))
        time.sleep(drawn.uniform(0.0, 1.05) * lasts_s[name])
        outcomes[KILLED if stop(killed) else "had ended before the kill"] += 1
        refuse_descendants(killed)
        if Store.is_at(root):
            in_child(partial(refuse_partial, root))
        now = digest_of(root, folder)
        assert now in (("nothing", wanted[name]) if name == "first" else (was, wanted[name])), f"{root}: a mixture"
        outcomes[f"{name}: the snapshot was " + ("there" if now == wanted[name] else "not there yet")] += 1
        in_child(partial(work, root))
        assert digest_of(root, folder) == wanted[name], f"kill {number}: the next run ended otherwise"
        outcomes["next run ended in the same content"] += 1
        shutil.rmtree(root)
    print(f"seed {arguments.seed}; an uninterrupted run takes {lasts_s['first']:.1f} s and {lasts_s['update']:.1f} s\n")
    print("| | runs |\n|---|---|\n" + "\n".join(f"| {what} | {count} |" for what, count in outcomes.items()))
    if not outcomes[KILLED]:
        raise SystemExit("no time for a single kill")


def make_sources(folder: Path) -> None:
    """Two sources: the second has one video more, one less, and a label."""
    man, talk = fetch("single_face.mp4"), fetch("carphone_pristine.mp4")
    for source in ("before", "after"):
        (folder / source).mkdir()
        cut_clip(man, folder / source / "man.mp4")
        (folder / source / "notes.mp4").write_bytes(b"not a video at all")
    cut_clip(talk, folder / "before" / "talk.mp4")
    cut_clip(talk, folder / "after" / "later.mp4", first=40)
    (folder / "labels.csv").write_text("path,label\nman.mp4,happiness\n")


def begun(root: Path, old: Path, name: str) -> Path:
    """A root for one run: nothing for a first build, a copy of the old corpus for an update."""
    if name == "update":
        shutil.copytree(old, root)
    return root


def build(source: Path, server: str, annotations: Path | None, root: Path) -> None:
    """The whole walk with two workers."""
    walk = open_walk(Store.open_or_create(root, 4), source, asking_by_rule(), annotations)
    walk.keep_sources()
    resources = Resources(source=source, server=server, answers=walk.store.answers)
    for stage in WALK:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(partial(walk.run, stage, resources=resources), walk.take_settled(stage)))
    walk.commit(source)


def digest_of(root: Path, folder: Path) -> str:
    """A hash of every value of the newest snapshot but what work took; "nothing" before the first one."""
    told = folder / "digest"
    told.unlink(missing_ok=True)
    in_child(lambda: told.write_text(_digest(root)))
    return told.read_text()


def _digest(root: Path) -> str:
    if not Store.is_at(root) or not Store.open(root).snapshot_numbers():
        return "nothing"
    corpus, digest = Corpus(root), hashlib.sha256()
    for name, table in TABLES.items():
        columns = [field.name for field in table.columns if field.name not in COSTS]
        digest.update(repr((name, corpus.arrow(name, columns).to_pylist())).encode())
    return digest.hexdigest()


def refuse_partial(root: Path) -> None:
    """Read every file that any snapshot names, and hold its bytes against its name."""
    store = Store.open(root)
    for number in store.snapshot_numbers():
        for receipt in read(store, number).receipts:
            for file in receipt.files.values():
                content = hashlib.sha256(Path(store.path(file)).read_bytes()).hexdigest()
                assert content.startswith(file.content), f"{file.path} is not whole"
                assert store.read(file).num_rows == file.rows


def in_child(work: Callable[[], object]) -> None:
    """Do something in a process of its own: this one stays without threads, so that it can be forked safely."""
    _, status = os.waitpid(start(work), 0)
    if status:
        raise SystemExit(f"a run that nobody killed ended with status {os.waitstatus_to_exitcode(status)}")


def start(work: Callable[[], object]) -> int:
    """Begin something in a process of its own; its id."""
    if pid := os.fork():
        return pid
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def stop(pid: int) -> bool:
    """Kill a process; whether it still ran."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def refuse_descendants(killed: int) -> None:
    """What a killed run had started ends with it: its decoders name their owner as their last argument."""
    commands = {one: one.info["cmdline"] or [""] for one in psutil.process_iter(["cmdline"])}
    decoders = [
        one for one, words in commands.items() if "pipeline.videos.decoding" in words and words[-1] == str(killed)
    ]
    assert not psutil.wait_procs(decoders, timeout=20)[1], "a decoder outlived its run"


if __name__ == "__main__":
    main()
