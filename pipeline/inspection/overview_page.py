"""Draw the figures of a corpus as one HTML page of pictures, each with the table that it is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.audit.figures import Share
from pipeline.inspection.histogram import Histogram
from pipeline.inspection.overview import Overview
from pipeline.inspection.page import html_environment, whole_file

MOST_BARS = 30
"""Rows of a picture of bars; of the rest it is told how many they are. The JSON has all."""

MOST_COLOURS = 6
"""Kinds of a bar that have a colour of their own; the last one is that of all others together."""

MOST_TICKS = 6

MOST_PAIRS = 12


@dataclass(frozen=True)
class Bar:
    """One row of a picture of bars: its name, a sentence on it, its parts by the place of their kind, and a figure."""

    name: str | None
    """None: nothing is stated."""
    parts: tuple[int, ...]
    told: str = ""
    note: str = ""
    detail: str = ""
    """Of the parts, in words; without it they are told one by one where a bar has several."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts)


@dataclass(frozen=True)
class Bars:
    """Bars below one another on one scale. `kinds` names the parts, and may be empty where a bar has only one."""

    title: str
    meaning: str
    head: str
    rows: tuple[Bar, ...]
    kinds: tuple[str, ...] = ()
    colours: tuple[str, ...] = ("c1", "c2", "c3", "c4", "c5", "c6")
    told_head: str = ""
    missing: str = "nothing to count"
    whole: int | None = None
    """What a full bar stands for; by default the longest one."""
    is_of_shares: bool = False
    """Whether every bar is full: what counts is how it is parted."""

    def most(self, row: Bar) -> int:
        """What a full bar stands for."""
        return max(1, row.total if self.is_of_shares else max(self.whole or 0, *(one.total for one in self.rows)))

    def detail(self, row: Bar) -> str:
        """The parts in words."""
        several = sum(part > 0 for part in row.parts) > 1
        told = [f"{part:,} {kind}" for part, kind in zip(row.parts, self.kinds, strict=False) if part]
        return row.detail or (" · ".join(told) if several else "")

    @property
    def shown(self) -> tuple[Bar, ...]:
        """The rows that a page shows."""
        return self.rows[:MOST_BARS]


def write_overview(overview: Overview, path: Path) -> Path:
    """Write the overview as one HTML page at `path`, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    environment = html_environment(Path(__file__).parent)
    environment.filters.update(short=short, number=lambda count: f"{count:,}", words=in_spaces, percent=percent)
    environment.globals |= {"ticks": ticks, "place": place, "at_of": at_of, "bars_of": bars_of(overview)}
    seen = {one.region: one.mean for one in overview.visibility}
    page = environment.get_template("overview.html.j2").render(o=overview, name=corpus_title(overview), seen=seen)
    with whole_file(path) as file:
        file.write(page)
    return path


def corpus_title(overview: Overview) -> str:
    """The corpus folder's own name, or of a URI its last part."""
    return overview.root.rstrip("/").rsplit("/", 1)[-1] or overview.root


def in_spaces(name: str) -> str:
    """A name of ours as words."""
    return name.replace("_", " ")


def percent(found: Share | float | None) -> str:
    """A share in percent; few digits, and never 0 or 100 where it is not."""
    value = found.value if isinstance(found, Share) else found
    if value is None:
        return "none"
    if 0 < value < 0.001 or 0.999 < value < 1:
        return "< 0.1 %" if value < 0.5 else "> 99.9 %"
    return f"{100 * value:.1f} %" if value < 0.1 or 0.95 < value < 1 else f"{100 * value:.0f} %"


def short(value: float) -> str:
    """A number with three digits or so."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


# --- histograms


def place(found: Histogram, value: float) -> float:
    """Where a number lies on the axis, 0 to 1."""
    first, last = found.edges[0], found.edges[-1]
    return min(max((value - first) / (last - first), 0.0), 1.0)


def ticks(found: Histogram) -> list[float]:
    """Round numbers to write below the axis: every edge, every second, every fifth …, as many as are legible."""
    width = found.edges[1] - found.edges[0]
    steps = (factor * power for power in (1, 10, 100) for factor in (1, 2, 5))
    step = next(step for step in steps if (len(found.edges) - 1) / step < MOST_TICKS)
    return [edge for edge in found.edges if abs(edge / (width * step) - round(edge / (width * step))) < 1e-6]


def at_of(counts: Sequence[int]) -> float:
    """The greatest count, and at least 1: what a full height stands for."""
    return max(1, *counts)


# --- bars


def bars_of(overview: Overview) -> dict[str, Bars]:
    """Every picture of bars by its name."""
    return {
        "steps": _steps(overview),
        "refusals": Bars(
            "Refused, and why",
            "Units that a stage has no rows for, by stage and reason.",
            "reason",
            tuple(
                Bar(
                    f"{in_spaces(one.stage)}: {in_spaces(one.reason)}",
                    (0, one.num_units) if one.is_transient else (one.num_units, 0),
                    note=one.meaning,
                )
                for one in overview.refusals
            ),
            ("for good", "tried again by the next run"),
            ("c5", "c2"),
            missing="nothing was refused",
        ),
        "classes": _classes(overview),
        "drafts": Bars(
            "Texts that stayed the draft, by label",
            "Where the language model's text did not stand the check more often than elsewhere, a class is told worse.",
            "label",
            tuple(
                Bar(
                    one.label,
                    (one.num_drafts, one.num_texts - one.num_drafts),
                    percent(one.num_drafts / one.num_texts),
                    detail=f"{one.num_drafts:,} of {one.num_texts:,}",
                )
                for one in sorted(overview.classes, key=lambda one: -one.num_drafts / max(1, one.num_texts))
                if one.num_texts
            ),
            ("the draft", "taken"),
            ("c2", "c3"),
            "the draft",
            "no texts yet",
            is_of_shares=True,
        ),
        "statuses": Bars(
            "How the texts came about",
            "Texts by status; of those that stayed the draft, why the language model's text was not taken.",
            "status",
            tuple(
                Bar(
                    in_spaces(one.status) + (f": {in_spaces(one.reason)}" if one.reason else ""),
                    (0, one.num_texts) if one.status == "fallback" else (one.num_texts, 0),
                    percent(one.num_texts / overview.texts.num_texts),
                    one.meaning,
                )
                for one in overview.statuses
            ),
            ("taken", "the draft"),
            ("c3", "c2"),
            "of all texts",
            "no texts yet",
        ),
        "verdicts": _verdicts(overview),
        "actions": Bars(
            "Actions, by how many tracks show them",
            f"Of {overview.num_measured:,} measured tracks. Each bar is parted by the strength of the action's events.",
            "action",
            tuple(
                Bar(
                    in_spaces(one.action),
                    _parted(one.num_tracks, tuple(one.by_intensity.values())),
                    percent(one.num_tracks / max(1, overview.num_measured)),
                    one.action_unit,
                    f"{one.num_events:,} events: " + ", ".join(f"{n:,} {name}" for name, n in one.by_intensity.items()),
                )
                for one in overview.actions
            ),
            tuple(overview.actions[0].by_intensity) if overview.actions else (),
            ("i1", "i2", "i3"),
            "of the tracks",
            "no action was measured",
        ),
        "pairs": _pairs(overview),
        "phrases": Bars(
            "Phrases that come most often",
            "Runs of three to six words, by how many texts have them. A phrase in most texts is a habit of the writer.",
            "phrase",
            tuple(Bar(one.words, (one.texts.hits,), percent(one.texts)) for one in overview.texts.phrases),
            told_head="of the texts",
            missing="no phrase comes twice",
            whole=overview.texts.num_counted,
        ),
        "grounds": _grounds(overview),
        "captions": Bars(
            "Captions that people wrote",
            "Videos that have one, by language.",
            "language",
            tuple(Bar(name, (count,)) for name, count in overview.captions.items()),
            missing="the source has no captions",
            whole=overview.num_rows("videos"),
        ),
        "starts": _reasons("Why tracks begin", overview.track_starts),
        "ends": _reasons("Why tracks end", overview.track_ends),
        "parts": _parts(overview),
        "reviews": _reviews(overview),
        "causes": Bars(
            "What began it",
            "Units that were computed, or are gone, by what began the change.",
            "cause",
            tuple(Bar(in_spaces(name), (count,)) for name, count in overview.drift.causes.items())
            if overview.drift
            else (),
            missing="nothing was computed",
        ),
        "changes": _changes(overview),
    }


def _parted(total: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    """`total` in the proportion of the weights, in whole numbers that add up to it."""
    edges = [round(total * sum(weights[:at]) / max(1, sum(weights))) for at in range(len(weights) + 1)]
    return tuple(end - begin for begin, end in pairwise(edges))


def _steps(overview: Overview) -> Bars:
    rows = tuple(
        Bar(in_spaces(one.stage), (one.num_done, one.num_refused, one.num_waiting), f"{one.num_done:,} done")
        for one in overview.steps
    )
    kinds = ("done", "refused", "waits for the next run")
    return Bars(
        "Stage by stage", "What each stage was asked for, and how it ended.", "stage", rows, kinds, ("c3", "c5", "c2")
    )


def _classes(overview: Overview) -> Bars:
    splits = overview.splits
    named = splits if len(splits) <= MOST_COLOURS else splits[: MOST_COLOURS - 1]
    rows = tuple(
        Bar(
            one.label,
            _by_kind(one.by_split, named, has_others=len(named) < len(splits)),
            percent(one.num_videos / max(1, overview.num_rows("videos"))),
        )
        for one in overview.classes
    )
    kinds = tuple(name or "no split" for name in named) + (("other splits",) if len(named) < len(splits) else ())
    meaning = "Videos by the label of the source's annotation, and by split."
    return Bars("Labels", meaning, "label", rows, kinds, told_head="of the videos", missing="no videos")


def _by_kind(counts: Mapping[str, int], kinds: Sequence[str], *, has_others: bool) -> tuple[int, ...]:
    own = tuple(counts.get(kind, 0) for kind in kinds)
    return (*own, sum(counts.values()) - sum(own)) if has_others else own


_VERDICTS = {"supported": "c3", "not_measurable": "c6", "contradicted": "c5"}


def _verdicts(overview: Overview) -> Bars:
    rows = tuple(
        Bar(
            in_spaces(status),
            _by_kind(counts, tuple(_VERDICTS), has_others=False),
            percent(counts.get("contradicted", 0) / max(1, sum(counts.values()))),
        )
        for status, counts in overview.verdicts.items()
    )
    return Bars(
        "Claims, held against the measurement",
        "Every claim of the newest texts, by the verdict of the check.",
        "texts",
        rows,
        tuple(map(in_spaces, _VERDICTS)),
        tuple(_VERDICTS.values()),
        "contradicted",
        "no text claims anything",
        is_of_shares=True,
    )


def _pairs(overview: Overview) -> Bars:
    """The pairs that are seen together most, of all tracks that show either (Jaccard's index)."""
    found = overview.together
    pairs = []
    for row, one in enumerate(found.actions):
        for column in range(row):
            both, either = found.at_once[row][column], found.in_track[row][row] + found.in_track[column][column]
            if both:
                pairs.append((both / (either - both), both, f"{in_spaces(found.actions[column])} + {in_spaces(one)}"))
    return Bars(
        "Pairs that go together most",
        "Of the tracks that show either action, those that show both at the same time.",
        "pair",
        tuple(Bar(name, (both,), percent(share)) for share, both, name in sorted(pairs, reverse=True)[:MOST_PAIRS]),
        colours=("i3",),
        told_head="of either",
        missing="no two actions were measured at the same time",
    )


def _grounds(overview: Overview) -> Bars:
    num_videos = max(1, overview.num_rows("videos"))
    rows = tuple(
        Bar(
            f"{one.licence or 'no licence stated'} · {one.consent or 'no consent stated'}",
            (one.num_videos, 0) if one.licence and one.consent else (0, one.num_videos),
            percent(one.num_videos / num_videos),
        )
        for one in overview.grounds
    )
    return Bars(
        "Licence and consent",
        "Videos by what their source states of them. An export asks for both.",
        "licence · consent",
        rows,
        ("both stated", "one is missing"),
        ("c3", "c5"),
        "of the videos",
    )


def _reasons(title: str, counts: Mapping[str, int]) -> Bars:
    total = max(1, sum(counts.values()))
    rows = tuple(Bar(in_spaces(name), (count,), percent(count / total)) for name, count in counts.items())
    return Bars(title, "", "reason", rows, told_head="of the tracks")


def _parts(overview: Overview) -> Bars:
    kinds = tuple(dict.fromkeys(one.part for one in overview.parts))
    named = kinds if len(kinds) <= MOST_COLOURS else kinds[: MOST_COLOURS - 1]
    folds: dict[tuple[str, str, str], dict[str, int]] = {}
    for one in overview.parts:
        folds.setdefault((one.dataset or "", one.protocol, one.fold), {})[one.part] = one.num_videos
    rows = tuple(
        Bar(
            " · ".join(filter(None, (in_spaces(protocol), f"fold {fold}" if fold else ""))),
            _by_kind(counts, named, has_others=len(named) < len(kinds)),
            note=dataset,
        )
        for (dataset, protocol, fold), counts in folds.items()
    )
    return Bars(
        "Parts of the data set's protocols",
        "Videos that are here, by protocol, fold and part, as the data set's own annotation has them.",
        "protocol",
        rows,
        (*named, "other parts") if len(named) < len(kinds) else named,
        missing="the source is no data set with a protocol",
    )


_DECISIONS = {"accept": "c3", "edit": "c4", "unsure": "c6", "reject": "c5"}


def _reviews(overview: Overview) -> Bars:
    found = overview.reviews
    rows: Iterable[Bar] = ()
    if found is not None:
        rows = (
            Bar(name, _by_kind(counts, tuple(_DECISIONS), has_others=False), "")
            for name, counts in found.by_reviewer.items()
        )
    return Bars(
        "Decisions",
        "What people decided on texts, by reviewer.",
        "reviewer",
        tuple(rows),
        tuple(_DECISIONS),
        tuple(_DECISIONS.values()),
        missing="nobody has reviewed a text yet",
        is_of_shares=True,
    )


_WHAT = {"added": "c3", "changed": "c2", "recomputed": "c1", "removed": "c6", "rewritten": "c5"}


def _changes(overview: Overview) -> Bars:
    tables = overview.drift.tables if overview.drift else {}
    rows = tuple(
        Bar(name, _by_kind(counts, tuple(_WHAT), has_others=False), f"{sum(counts.values()):,} rows")
        for name, counts in tables.items()
    )
    return Bars(
        "Rows that are not the same",
        "Recomputed: made from something else, and the same values. Rewritten: made from the same, and other values, "
        "which must not be.",
        "table",
        rows,
        tuple(_WHAT),
        tuple(_WHAT.values()),
        missing="every row is the same",
    )
