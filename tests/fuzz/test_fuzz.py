"""What fuzzing found stays mended, and what it reached is reached again: docs/fuzzing.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.changing import changed_json, dictionary
from tests.fuzz.law import MOST_BYTES, BadOutcome, Target, judge, must, sign_of
from tests.fuzz.replay import CORPUS, REGRESSIONS, kept, regressions
from tests.fuzz.targets import BY_NAME, TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_parser_bears_what_was_found(target: Target, tmp_path: Path) -> None:
    read = target.open(tmp_path)
    for name, data in _inputs(target).items():
        breach = judge(target, read, data)
        assert breach is None, f"{target.name}, {name}: {breach and breach.told}"


def _inputs(target: Target) -> dict[str, bytes]:
    seeds = {f"seed {number}": data for number, data in enumerate(target.seeds())}
    inputs = {f"kept {number}": data for number, data in enumerate(kept(target.name))}
    return {**regressions(target.name), **seeds, **inputs}


def test_what_lies_there_belongs_to_a_parser() -> None:
    assert len(BY_NAME) == len(TARGETS), "each name once"
    assert {path.stem for path in CORPUS.glob("*")} <= set(BY_NAME)
    assert {path.name for path in REGRESSIONS.glob("*")} <= set(BY_NAME)


def test_what_is_kept_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.glob("*")) < 600_000


class Strange(Exception):
    """Documented, and without words."""


def _judged(read: object, *documented: type[Exception]) -> str | None:
    target = Target("made", documented, lambda: (), lambda _: lambda _: None)
    breach = judge(target, read, b"")  # type: ignore[arg-type]
    return None if breach is None else breach.sign


def test_the_law_sees_what_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(data: bytes) -> None:
        raise KeyError("x")

    def is_silent(data: bytes) -> None:
        raise Strange

    assert _judged(raises) == "KeyError in test_fuzz.py:raises"
    assert _judged(raises, KeyError) is None
    assert _judged(is_silent, Strange) == "no words: Strange"
    assert _judged(lambda _: must(True, "well")) is None
    assert sign_of(_caught()) == "BadOutcome in law.py:must: no table"
    peaks = iter((0, MOST_BYTES + 1))
    monkeypatch.setattr("tests.fuzz.law._peak_bytes", lambda: next(peaks))
    assert _judged(lambda _: None) == "large"


def _caught() -> BadOutcome:
    try:
        must(False, "no table")
    except BadOutcome as error:
        return error
    raise AssertionError


def test_the_law_sees_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.law.MOST_S", -1.0)
    assert _judged(lambda _: None) == "slow"


def test_changes_of_a_tree_are_mostly_trees_and_no_change_leaks_into_the_next() -> None:
    import json

    from tests.fuzz import changing

    before = repr(changing.ODD)
    made = [changed_json(b'{"a": [1, "x"], "b": {"c": null}}', 1 << 16, seed, ("w",), _cut) for seed in range(300)]
    assert repr(changing.ODD) == before
    assert len(set(made)) > 150

    def is_tree(data: bytes) -> bool:
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            return False
        return True

    assert sum(map(is_tree, made)) > 180
    assert all(len(data) <= 1 << 16 for data in made)


def _cut(data: bytes, most: int) -> bytes:
    return data[: len(data) // 2]


def test_words_become_a_dictionary_of_libfuzzer() -> None:
    assert dictionary(['"', "é", "", '"']) == '"\\x22"\n"\\xc3\\xa9"\n'
