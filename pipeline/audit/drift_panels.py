"""The drift between two snapshots as tables with a sentence each: what the terminal prints and the page draws."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from pipeline.audit.canaries import Canaries
from pipeline.audit.changes import WHAT
from pipeline.audit.corpus_figures import COUNTED_TEXTS, KINDS, CorpusShift
from pipeline.audit.drift import MixShift
from pipeline.audit.panels import SHOWN, change_in_words, gauge
from pipeline.audit.snapshot_drift import SnapshotDrift, StageBalance, TextDrift
from pipeline.inspection.panels import Cell, Gauge, Panel

_TITLES = {
    "texts": "Acceptance",
    "fallback": "Why drafts stand in",
    "claims": "Agreement of texts and measurement",
    "claim": "What the texts claim",
    "measured": "What was measured",
    "label": "Labels",
    "refusal": "Refusals",
}

_PIECE = re.compile(r"\S+\s*|\s+")


def panels_of_drift(report: SnapshotDrift) -> list[Panel]:
    """All panels but the texts side by side, in the order in which they are read."""
    return [
        *_of_rewritten(report),
        _of_rows(report),
        _of_units(report),
        *_of_texts(report.texts),
        *_of_canaries(report.canaries),
        *_of_figures(report.corpus),
        _of_balance(report),
    ]


def _of_rewritten(report: SnapshotDrift) -> Iterator[Panel]:
    if report.num_rewritten:
        yield Panel(
            "rewritten",
            f"ALARM: {report.num_rewritten} rewritten",
            "Made from the same, and yet other values. A file was changed by hand, or a stage does not repeat itself "
            "and its version was not raised.",
            ("where", "key", "video"),
            [(one.where, one.key, one.video_id) for one in report.rewritten],
        )


def _of_rows(report: SnapshotDrift) -> Panel:
    return Panel(
        "rows",
        "Rows by table",
        "; ".join(f"{what}: {meaning}" for what, meaning in WHAT.items()) + ".",
        ("table", *WHAT, "same"),
        [(one.table, *(getattr(one, what) for what in WHAT), one.same) for one in report.tables],
        None if report.tables else "both snapshots are empty",
    )


def _of_units(report: SnapshotDrift) -> Panel:
    names, rows = report.units_by_root()
    return Panel(
        "units",
        "Why",
        "Units that each stage computed, or lost, by what began it. As before: the same came out.",
        ("began with", "what exactly", *(name.replace("_", " ") for name in names)),
        [(root, detail, *counts) for root, detail, counts in rows],
        None if rows else "nothing was computed",
    )


def _of_texts(texts: TextDrift) -> Iterator[Panel]:
    part = (
        "" if texts.num_compared == texts.num_changed else f" Of {texts.num_changed}, {texts.num_compared} by chance."
    )
    yield Panel(
        "texts",
        "Changed texts by cause",
        f"Texts of both snapshots that are of other words or another status.{part}",
        (
            "began with",
            "texts",
            "other words",
            "other status",
            "claims gained, lost, changed",
            "likeness",
            "mean words",
        ),
        [
            (
                ", ".join(one.causes),
                one.num_texts,
                gauge(one.text_changed),
                gauge(one.status_changed),
                f"{one.num_gained}, {one.num_lost}, {one.num_changed}",
                Gauge(one.mean_similarity, f"{one.mean_similarity:.3f}"),
                "{:.1f} -> {:.1f}".format(*one.mean_words),
            )
            for one in texts.by_cause
        ],
        None if texts.by_cause else "no text changed",
    )


def _of_canaries(found: Canaries) -> Iterator[Panel]:
    missing = None if found.nights else "no canary was asked up to the later snapshot"
    yield Panel(
        "canaries",
        "Noise, and the model",
        "The same questions every night, whatever became of prompts and inputs. With the weights and the engine as "
        "they were, another answer is noise. Intervals take answers as independent; those of one canary are not quite.",
        ("figure", "value, 95 % interval"),
        [
            ("noise: other answers by the same model and engine", gauge(found.noise)),
            ("noise: accepted once, refused once", gauge(found.noise_accepted)),
            ("what changed between the two snapshots", found.model_change or "nothing"),
            ("model or engine: other answers", gauge(found.model_effect)),
            ("model or engine: accepted once, refused once", gauge(found.model_accepted)),
        ],
        missing,
    )
    if found.nights:
        yield Panel(
            "canaries",
            f"Nights (the last {SHOWN})",
            "",
            ("night", "asked", "snapshot", "model, revision, engine", "canaries", "answers that stood the check"),
            [
                (one.night, one.asked_at, one.snapshot, one.served, one.num_asked, gauge(one.accepted))
                for one in found.nights[-SHOWN:]
            ],
        )


def _of_figures(found: CorpusShift) -> Iterator[Panel]:
    for kind, of_what in KINDS.items():
        listed = found.of(kind)
        rows = [_shift(one) for one in listed[:SHOWN]]
        cut = f" The {SHOWN} largest changes of {len(listed)}." if len(listed) > SHOWN else ""
        yield Panel(
            "figures",
            _TITLES[kind],
            f"{of_what[0].upper()}{of_what[1:]}.{cut}",
            ("which", "before", "after", "change, 95 % interval", "more than chance"),
            rows,
            None if rows else "none in either",
        )
    yield Panel(
        "figures",
        "Length and diversity",
        "distinct-n: different n-grams among all; it falls by itself as a corpus grows. "
        f"Words: of {COUNTED_TEXTS:,} texts at most.",
        ("figure", "before", "after", "change"),
        [(one.name, _number(one.before), _number(one.after), _grown(one.before, one.after)) for one in found.numbers],
    )


def _shift(one: MixShift) -> tuple[Cell, ...]:
    certain = "yes" if one.is_certain else ""
    change = change_in_words(one).replace(" ", "\u00a0")  # one line, also where columns are narrow
    return one.name, gauge(one.before), gauge(one.after), change, certain


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}" if value == int(value) else f"{value:.3f}"


def _grown(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    return "same" if before == after else f"{after - before:+.3f}".rstrip("0").rstrip(".")


def _of_balance(report: SnapshotDrift) -> Panel:
    sides = zip((report.before, report.after), report.balance, strict=True)
    return Panel(
        "balance",
        "Does it add up?",
        "What went into a stage came out as rows or as a reason. Waiting: refused for a reason that passes by itself.",
        ("snapshot", "stage", "in", "asked for", "done", "refused", "waiting", "adds up"),
        [(number, *_balanced(one)) for number, listed in sides for one in listed],
    )


def _balanced(one: StageBalance) -> tuple[Cell, ...]:
    num_in = "not stored" if one.num_in is None else one.num_in
    return one.stage, num_in, one.num_units, one.num_done, one.num_refused, one.num_waiting, one.problem or "yes"


# --- drawing


def word_diff(before: str, after: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """Both texts in pieces, each with whether the other text lacks it."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    words = [piece.strip() for piece in old], [piece.strip() for piece in new]
    matched = difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes()
    kept: list[tuple[bool, str]] = []
    gained: list[tuple[bool, str]] = []
    for kind, old_from, old_to, new_from, new_to in matched:
        _append(kept, kind != "equal", old[old_from:old_to])
        _append(gained, kind != "equal", new[new_from:new_to])
    return kept, gained


def _append(pieces: list[tuple[bool, str]], is_other: bool, words: Sequence[str]) -> None:
    if words:
        pieces.append((is_other, "".join(words)))
