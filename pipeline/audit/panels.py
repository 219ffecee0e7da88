"""The audit as tables with a sentence each: what the terminal prints and the page draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from pipeline.audit.counterfactuals import DECOYS, READINGS
from pipeline.audit.coverage import TRUTH, Coverage
from pipeline.audit.diversity import Diversity, NearDuplicates
from pipeline.audit.drift import Drift, MixShift
from pipeline.audit.figures import Share, Spread
from pipeline.audit.leak import Leak
from pipeline.audit.references import MEASURES, Mean, References
from pipeline.audit.report import Audited, AuditReport, Counterfactuals
from pipeline.descriptions.label_probe import Comparison
from pipeline.inspection.panels import Cell, Gauge, Panel

SHOWN = 30
"""Rows of a list of single texts; the JSON holds them all."""


def panels_of(report: AuditReport) -> list[tuple[str, list[Panel]]]:
    """The panels of each kind of texts, under its heading, and at the end what is not there and why."""
    kinds = [
        (f"{one.num_texts} texts, {one.kind}", [_glance(one), *_panels(one)])
        for one in report.kinds
    ]  # fmt: skip
    rows: list[tuple[Cell, ...]] = [(part, why) for part, why in report.missing.items()]
    if rows:
        kinds.append(("Not in this report", [Panel("missing", "Left out", "", ("part", "why"), rows)]))
    return kinds


def _panels(one: Audited) -> Iterator[Panel]:
    if one.counterfactuals is not None:
        yield from _of_counterfactuals(one.counterfactuals)
    if one.leak is not None:
        yield _of_leak(one.leak)
    for found in one.coverage or ():
        yield from _of_coverage(found)
    if one.diversity is not None:
        yield from _of_diversity(one.diversity)
    for against in one.references or ():
        yield _of_references(against)
    if one.drift is not None:
        yield from _of_drift(one.drift)


def gauge(found: Share) -> Gauge:
    """A share as a figure that can be drawn."""
    return Gauge(found.value, str(found), found.interval)


# --- at a glance


def _glance(one: Audited) -> Panel:
    rows: list[tuple[Cell, ...]] = []
    for group in one.counterfactuals or ():
        asked = sum(decoy.right.asked for decoy in group.decoys)
        pooled = Share(
            hits=sum(decoy.right.hits for decoy in group.decoys),
            asked=asked,
            missing=None if asked else "no decoy could be told from the evidence",
        )
        rows.append((f"decoys refused, {group.reading}, against the {group.held_against}", gauge(pooled)))
    for found in one.coverage or ():
        rows.append((f"strong events told, of the {found.held_against}", gauge(found.strong_told)))
        rows.append((f"strong events of the face told, of the {found.held_against}", gauge(found.strong_face_told)))
        rows.append(
            (f"claims contradicted by the {found.held_against}", gauge(found.correctness[0].claims_contradicted))
        )
    if one.leak is not None:
        rows.append(("tells the label beyond the actions", _verdict(one.leak)))
    if one.diversity is not None:
        rows += [(_told_status(row.status, row.reason), gauge(row.texts)) for row in one.diversity.statuses]
        rows.append(("refined texts near to one of other evidence", _near(one.diversity.near_duplicates)))
    for against in one.references or ():
        rows += [
            (
                f"prefers the caption of its own clip to that of {found.baseline}, {measured.measure}, "
                f"{against.language} (chance 0.5)",
                _mean_gauge(found.prefers_own),
            )
            for measured in against.measures
            if measured.measure == "similarity"
            for found in measured.against
        ]
    return Panel("glance", "At a glance", "", ("figure", "value, 95 % interval"), rows)


def _verdict(found: Leak) -> str:
    if found.probe is None or found.probe.tells_more_than_actions is None:
        return found.missing or (found.probe.why if found.probe else "")
    return "yes" if found.probe.tells_more_than_actions else "not that it shows"


def _told_status(status: str, reason: str | None) -> str:
    return f"{status}: {reason}" if reason else status


def _near(found: NearDuplicates) -> Gauge:
    words = f"{found.refined}; ALARM: {found.alarm}" if found.alarm else str(found.refined)
    return Gauge(found.refined.value, words, found.refined.interval)


# --- counterfactuals


def _of_counterfactuals(groups: Sequence[Counterfactuals]) -> Iterator[Panel]:
    for group in groups:
        yield Panel(
            "counterfactuals",
            f"Counterfactuals: {group.reading}, against the {group.held_against}",
            f"How often the text ({READINGS[group.reading]}) fits its own evidence strictly better than a changed one. "
            "No test: nothing true of the evidence could tell it from the decoy.",
            ("decoy", "what it is", "prefers the true one", "misses that leave it out", "no test", "not made"),
            [
                (d.decoy, DECOYS[d.decoy], gauge(d.right), d.num_left_out, d.num_not_distinguishable, d.num_not_made)
                for d in group.decoys
            ],
        )
    misses = [
        (
            f"{decoy.decoy}, {group.reading}, {group.held_against}",
            miss.track_id,
            miss.prose,
            miss.own,
            miss.decoy,
            "left out" if miss.is_left_out else "",
        )
        for group in groups
        for decoy in group.decoys
        for miss in islice(decoy.misses, SHOWN)
    ]
    yield Panel(
        "counterfactuals",
        f"Misses (the first {SHOWN} of each decoy)",
        "Texts that fit the decoy as well as their own evidence, or better.",
        ("decoy", "track", "text", "own evidence", "decoy evidence", "what differs"),
        list(misses),
        None if misses else "no text missed",
        is_list=True,
    )


# --- label leak


def _of_leak(found: Leak) -> Panel:
    rows: list[tuple[Cell, ...]] = []
    why = found.missing
    if found.probe is not None:
        why = found.probe.why or None
        for question, answer, compared in (
            ("at all", found.probe.tells_label, found.probe.at_all),
            (f"beyond its {found.signature}", found.probe.tells_more_than_actions, found.probe.beyond_actions),
        ):
            if compared is not None:
                rows.append((question, "yes" if answer else "not that it shows", *_scores(compared)))
    told = f" Words to look for: {', '.join(found.probe.telling)}." if found.probe and found.probe.telling else ""
    counted = f" {found.num_unlabelled} texts have no label; {found.num_left_out} more were left out for their number."
    return Panel(
        "leak",
        "Label leak",
        "Does a classifier of words find the label in texts of people that it has not seen? Chance: with shuffled "
        f"labels, over all texts and among those of equal actions.{counted}{told}{f' {why}' if rows and why else ''}",
        ("does the text tell the label", "answer", "recall", "by chance", "p", "texts"),
        rows,
        None if rows else why,
    )


def _scores(compared: Comparison) -> tuple[Cell, ...]:
    score = compared.uar
    chance = Gauge(score.chance, f"{score.chance:.3f} ({score.low:.3f} to {score.high:.3f})", (score.low, score.high))
    return Gauge(score.observed, f"{score.observed:.3f}"), chance, f"{score.p:.3f}", compared.num_texts


# --- coverage


def _of_coverage(found: Coverage) -> Iterator[Panel]:
    title = f"held against the {found.held_against}"
    left_out = f" {found.num_left_out} texts are of no drawn face and left out." if found.held_against == TRUTH else ""
    summary: list[tuple[Cell, ...]] = [
        ("events told", gauge(found.told)),
        ("strong events told", gauge(found.strong_told)),
        ("strong events of the face told, without head and gaze", gauge(found.strong_face_told)),
        ("untold events of which the region is told", gauge(found.only_region_told)),
        ("untold strong events that were never measured", gauge(found.strong_never_measured)),
    ]
    yield Panel(
        "coverage",
        f"Coverage, {title}",
        f"{found.num_texts} texts.{left_out} An event is told by a supported claim or mention of its action and side.",
        ("figure", "share"),
        summary,
    )
    yield Panel(
        "coverage",
        f"Coverage by action, {title}",
        "The most frequent action first.",
        ("action", "events told", "strong events told"),
        [(one.action, gauge(one.told), gauge(one.strong_told)) for one in found.by_action],
        None if found.by_action else "no event at all",
    )
    yield Panel(
        "coverage",
        f"What is said, {title}",
        "Statements are those of the prose: mentions, their order, stillness.",
        ("texts", "number", "claims contradicted", "claims not measurable", "statements contradicted"),
        [
            (
                one.status,
                one.num_texts,
                gauge(one.claims_contradicted),
                gauge(one.claims_not_measurable),
                gauge(one.statements_contradicted),
            )
            for one in found.correctness
        ],
    )


# --- diversity


def _of_diversity(found: Diversity) -> Iterator[Panel]:
    rows: list[tuple[Cell, ...]] = [
        ("words of a text", _spread(found.words)),
        ("tokens of the text encoder", _spread(found.tokens)),
        ("different texts", gauge(found.distinct_texts)),
        *((f"distinct-{n}", gauge(distinct)) for n, distinct in found.distinct_ngrams.items()),
        ("refined texts near to one of other evidence", _near(found.near_duplicates)),
    ]
    yield Panel(
        "diversity",
        "Length and diversity",
        "distinct-n: different n-grams among all; it falls by itself as a corpus grows.",
        ("figure", "value"),
        rows,
    )
    yield Panel(
        "diversity",
        "How the texts came about",
        "Attempts: requests to the language model for one text.",
        ("status", "texts", "mean attempts"),
        [
            (
                _told_status(row.status, row.reason),
                gauge(row.texts),
                "never asked" if row.mean_attempts is None else f"{row.mean_attempts:.2f}",
            )
            for row in found.statuses
        ],
    )
    if found.near_duplicates.groups:
        yield Panel(
            "diversity",
            f"Near-duplicates (the first {SHOWN} groups)",
            "Texts that say nearly the same of different evidence.",
            ("texts", "such as"),
            [(len(group), " | ".join(text for _, text in group[:2])) for group in found.near_duplicates.groups[:SHOWN]],
            is_list=True,
        )


def _spread(found: Spread | None) -> str:
    if found is None:
        return "not counted"
    return f"median {found.median:g}, mean {found.mean:.1f}, from {found.least:g} to {found.most:g}"


# --- captions that people wrote


def _of_references(found: References) -> Panel:
    rows: list[tuple[Cell, ...]] = []
    for one in found.measures:
        people = str(one.people) if one.people.num_texts else ""
        if one.missing is not None:
            rows.append((one.measure, one.missing, "", "", "", "", people))
        for against in one.against:
            rows.append(
                (
                    one.measure,
                    str(one.own),
                    against.baseline,
                    str(against.score),
                    str(against.own_less),
                    _mean_gauge(against.prefers_own),
                    people,
                )
            )
    counted = (
        f"{found.num_captions} captions of {found.num_clips} videos, {found.num_undescribed} of these without a text"
    )
    left_out = (
        f"{found.num_other_tracks} texts of further faces and {found.num_left_out} more for their number left out"
    )
    measures = " ".join(f"{one.measure}: {MEASURES[one.measure]}." for one in found.measures)
    unread = max((one.num_unread for one in found.measures), default=0)
    told = f" {unread} sentences are too long for the encoder." if unread else ""
    return Panel(
        "references",
        f"Held against what people wrote: {found.language}",
        f"{counted}; {left_out}.{told} People tell who is seen, what happens and what is felt, and knew the label: no "
        "text of a face alone comes near to 1. What the clip itself is worth is its own captions less those of other "
        "clips; less those of the same label, it is worth more than its label. Prefers own: how often its caption "
        f"scores above one of another clip, 0.5 by chance. {measures} Intervals draw by {found.drawn_by}.",
        (
            "measure",
            "own captions",
            "beside",
            "their captions",
            "own less theirs",
            "prefers own",
            "people among themselves",
        ),
        rows,
        found.missing,
    )


def _mean_gauge(found: Mean) -> Gauge:
    return Gauge(found.value, f"{found}, {found.num_texts} texts", found.interval)


# --- drift


def _of_drift(found: Drift) -> Iterator[Panel]:
    columns = "changed in the making", "texts", "text changed", "status changed", "claims gained, lost, changed"
    yield Panel(
        "drift",
        "Drift by cause",
        f"{found.num_before} texts before, {found.num_after} after; {len(found.only_before)} tracks are gone, "
        f"{len(found.only_after)} are new.",
        (*columns, "verdicts changed", "similarity", "mean words"),
        [
            (
                ", ".join(one.causes),
                one.num_texts,
                gauge(one.text_changed),
                gauge(one.status_changed),
                f"{one.num_gained}, {one.num_lost}, {one.num_changed}",
                one.num_verdicts,
                Gauge(one.mean_similarity, f"{one.mean_similarity:.3f}"),
                "{:.1f} -> {:.1f}".format(*one.mean_words),
            )
            for one in found.by_cause
        ],
        None if found.by_cause else "no track is in both",
    )
    yield Panel(
        "drift",
        "Shift of the mix",
        "Share of the texts that claim an action, and of the labels; the interval is that of independent samples, "
        "which is wide for texts of the same tracks.",
        ("what", "before", "after", "change", "more than chance"),
        [
            (f"{one.kind}: {one.name}", gauge(one.before), gauge(one.after), change_in_words(one),
             "yes" if one.is_certain else "")
            for one in found.mix
        ],
        None if found.mix else "nothing is claimed",
    )  # fmt: skip
    yield Panel(
        "drift",
        f"Changed texts (the {SHOWN} least similar)",
        "",
        ("track", "cause", "before", "after", "gained", "lost", "changed", "similarity"),
        [
            (
                one.track_id,
                ", ".join(one.causes) or "-",
                f"[{one.status_before}] {one.before}",
                f"[{one.status_after}] {one.after}",
                "; ".join(one.gained),
                "; ".join(one.lost),
                "; ".join([*one.changed, *one.verdicts]),
                Gauge(one.similarity, f"{one.similarity:.2f}"),
            )
            for one in found.tracks[:SHOWN]
        ],
        None if found.tracks else "no text changed",
        is_list=True,
    )


def change_in_words(shift: MixShift) -> str:
    """How much a share grew, with its interval, or why that cannot be said."""
    if shift.change is None:
        return shift.before.missing or shift.after.missing or ""
    grown = (shift.after.value or 0.0) - (shift.before.value or 0.0)
    return f"{grown:+.3f} ({shift.change[0]:+.2f} to {shift.change[1]:+.2f})"
