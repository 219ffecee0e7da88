"""`facescribe show`: conditions, order, colours with signs, pages, JSON and CSV, and what hostile text cannot do."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from flows.showing import csv_of
from pipeline.csv_cells import DANGEROUS, as_it_was
from pipeline.inspection.showing_terminal import json_lines, plain
from tests.clip_corpus import MadeTrack, write_clip_corpus

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]

EVIL = "=cmd|' /C calc'!A0 \x1b[31mred\x1b[0m \u202egpm [bold]x[/bold]"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = ("fear", "anger", "=1+1")
    tracks = [MadeTrack(f"v{n:02d}", label=labels[n % 3], texts=(f"Text {n} of many.",)) for n in range(30)]
    return write_clip_corpus(tmp_path_factory.mktemp("show"), [*tracks, MadeTrack("w", texts=(EVIL,))])


def rows_of(shown: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_conditions_columns_order_and_limit(root: Path, facescribe: Facescribe) -> None:
    asked = ("--where", "label = 'fear' or label = 'anger'", "--columns", "path,label", "--sort", "label,-path")
    rows = rows_of(facescribe("show", "descriptions", *asked, "--limit", "3", "--json", "--root", root))
    assert rows == [{"path": f"v{n}.mp4", "label": "anger"} for n in (28, 25, 22)]
    told = facescribe("show", "descriptions", *asked, "--limit", "3", "--root", root).stdout
    assert "3 of 20 rows; --limit shows more" in told
    of_sql = facescribe("show", "--sql", "select 1 as a union all select 2", "--sort", "-a", "--json", "--root", root)
    assert rows_of(of_sql) == [{"a": 2}, {"a": 1}]


@pytest.mark.parametrize("view", ["claims", "contradicted", "fallbacks", "texts"])
def test_views_are_there_beside_the_tables(root: Path, facescribe: Facescribe, view: str) -> None:
    assert facescribe("show", view, "--root", root).returncode == 0


def test_a_search_shows_the_best_first(root: Path, facescribe: Facescribe) -> None:
    rows = rows_of(facescribe("show", "descriptions", "--search", "17", "--json", "--root", root))
    assert [row["path"] for row in rows] == ["v17.mp4"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("descriptions", "--where", "label ="), "syntax error"),
        (("descriptions", "--sort", "-age"), "no column 'age'; there are: path"),
        (("descriptions", "--json", "--csv"), "give either --json or --csv"),
        (("videos", "--search", "x"), "of descriptions, without --where and --sort"),
    ],
)
def test_a_wrong_question_is_wrong_usage(
    root: Path, facescribe: Facescribe, arguments: tuple[str, ...], words: str
) -> None:
    done = facescribe("show", *arguments, "--root", root)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_a_status_is_told_by_sign_where_nothing_is_coloured(root: Path, facescribe: Facescribe) -> None:
    told = facescribe("show", "descriptions", "--root", root).stdout
    assert "✓ refined" in told and "\x1b" not in told


def test_csv_computes_nothing_and_is_what_it_was(root: Path, facescribe: Facescribe) -> None:
    shown = facescribe("show", "descriptions", "--csv", "--limit", "100", "--root", root)
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert len(rows) == 31
    assert not [cell for row in rows for cell in row.values() if cell.startswith(DANGEROUS)]
    assert {as_it_was(row["label"]) for row in rows} == {"fear", "anger", "happiness", "=1+1"}
    assert as_it_was(rows[-1]["text"]) == EVIL
    table = pa.table({"=a": [-1.5], "l": [[{"t": "=b"}]], "none": pa.array([None], pa.string()), "b": [True]})
    assert csv_of(table) == '"\'=a","l","none","b"\r\n"-1.5","[{""t"": ""=b""}]","","true"\r\n'


def test_json_is_whole_and_moves_no_terminal(root: Path, facescribe: Facescribe) -> None:
    shown = facescribe("show", "descriptions", "--where", "path = 'w.mp4'", "--json", "--root", root).stdout
    assert json.loads(shown)["text"] == EVIL
    assert "\x1b" not in shown and "\u202e" not in shown
    (line,) = json_lines(pa.table({"x": [float("nan")], "y": [b"12"], "z": [["\x9b"]]}))
    assert json.loads(line) == {"x": None, "y": "2 bytes", "z": ["\x9b"]} and "\x9b" not in line


def test_a_text_is_one_line_that_a_terminal_only_prints() -> None:
    assert plain("a\nb\tc\u2028d") == "a b c d"
    assert plain("\x1b[2J\u202e\u200b") == "⟨U+001B⟩[2J⟨U+202E⟩⟨U+200B⟩"
    assert plain("👩‍👧 שלום é") == "👩‍👧 שלום é"


def in_terminal(arguments: list[str], keys: bytes = b"", **environment: str) -> str:
    """What a terminal of 24 lines gets to see."""
    master, slave = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PAGER", "LESS", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "show", *arguments],
        stdin=slave, stdout=slave, stderr=slave, close_fds=True, start_new_session=True,
        env={**kept, "TERM": "xterm-256color", "LINES": "24", "COLUMNS": "100", **environment},
    )  # fmt: skip
    os.close(slave)
    seen, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([master], [], [], 0.2)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
        elif keys and seen:
            os.write(master, keys)
    process.wait(timeout=10)
    os.close(master)
    return seen.decode("utf-8", "replace")


def test_a_terminal_gets_colours_and_no_escape_sequence_of_the_data(root: Path) -> None:
    seen = in_terminal(["descriptions", "--where", "path >= 'v28'", "--root", str(root)])
    assert "\x1b[32m✓ refined" in seen
    assert "\x1b[31mred" not in seen and "⟨U+001B⟩[31mred" in seen and "[bold]x[/bold]" in seen.replace("\r\n", "")
    without = in_terminal(["descriptions", "--where", "path >= 'v28'", "--root", str(root)], NO_COLOR="1")
    assert "✓ refined" in without and "\x1b[32m" not in without


def test_what_a_terminal_cannot_hold_is_paged(root: Path, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o755)
    asked = ["descriptions", "--limit", "100", "--root", str(root)]
    in_terminal(asked, PAGER=str(pager))
    paged = (tmp_path / "paged").read_text()
    assert paged.count("✓ refined") == 31 and "\x1b[32m" in paged
    (tmp_path / "paged").unlink()
    in_terminal([*asked, "--no-pager"], PAGER=str(pager))
    in_terminal(["descriptions", "--limit", "2", "--root", str(root)], PAGER=str(pager))
    assert not (tmp_path / "paged").exists()
