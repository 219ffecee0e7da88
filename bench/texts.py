"""Hold the texts of rendered clips, and the check that let them pass, against what was drawn.

    facescribe synth --clips 64 --seed 4711 --distractors none build/texts/plain
    python bench/texts.py CORPUS build/texts/plain                  # CORPUS: built from that folder
    python bench/texts.py CORPUS build/texts/plain --json build/texts/plain.json

First the texts: what they say that was not so, and which strong movements they leave out, each listed to be read. Then
the check itself, on claims and sentences that are made from the truth and falsified in known ways
(`pipeline/synthetic/claim_set.py`), beside a lexicon as others use it. A corpus without texts has only the second part.
Prints tables in Markdown. Of how well people are described rendered clips show nothing.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.length import machine
from bench.lexicon_baseline import THRESHOLDS, lexicon_verdict, peak_scores
from pipeline.actions.coarse_model import calibrated_coarse
from pipeline.actions.config import ActionConfig
from pipeline.audit.counterfactuals import READINGS, counterfactuals
from pipeline.audit.coverage import Judged, judged_by_truth
from pipeline.audit.figures import share
from pipeline.audit.texts import Text, texts_of
from pipeline.descriptions.draft import draft_of
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, evidence_of
from pipeline.descriptions.judging import (
    CONTRADICTED,
    NOT_MEASURABLE,
    SUPPORTED,
    Judgement,
    judge_claim,
    judge_prose,
)
from pipeline.descriptions.words import EMOTION_WORDS, FORBIDDEN
from pipeline.inspection.corpus import Corpus
from pipeline.synthetic.claim_set import KINDS, TRUE_KINDS, KnownClaim, known_claims
from pipeline.synthetic.corpus import read_truth
from pipeline.synthetic.recipes import LABELS
from pipeline.synthetic.truth_evidence import DrawnFace, drawn_faces, judge_against_truth
from schemas.actions import ACTIONS, COARSE_ACTIONS, HEAD_ACTIONS, TOLD_ACTIONS
from schemas.answer import Claim
from schemas.table import read_cell

SEED = 4711
VERDICTS = (SUPPORTED, CONTRADICTED, NOT_MEASURABLE)
TEMPLATE = "template"
SCOPES = {
    "all": "all strong events",
    "region": "of actions that the measurement can tell, or that their region moves",
    "told": "of actions that the measurement can tell",
    "measurable": "of these, where the face could be measured for it",
}
SHOWN = 40
"""Wrong verdicts of each way of judging that are listed."""


@dataclass(frozen=True)
class Measured:
    """One track: what was drawn, what was measured, and its scores in the frame that a lexicon looks at."""

    drawn: DrawnFace
    evidence: Evidence
    peak_scores: dict[str, float]


def measured_tracks(corpus: Corpus, folder: Path) -> dict[str, Measured]:
    """Every measured track that is of a drawn face, by track_id.

    Raises:
        FileNotFoundError: `folder` holds no truth.
        ValueError: the corpus was built from other videos.
    """
    names = {row["video_id"]: row["path"] for row in corpus.arrow("videos", ["video_id", "path"]).to_pylist()}
    tracks = corpus.arrow("tracks", ["track_id", "video_id", "times_s", "boxes_xyxy"])
    drawn = drawn_faces(read_truth(folder), tracks, names)
    columns = ["track_id", "times_s", "events", "unmeasured", "unclear", "motion_shares", "measures"]
    return {
        row["track_id"]: Measured(
            drawn=drawn[row["track_id"]],
            evidence=evidence_of(row),
            peak_scores=peak_scores(read_cell(ACTIONS.field("measures"), row["measures"]).astype(np.float64)),
        )
        for row in corpus.arrow("actions", columns).to_pylist()
        if row["track_id"] in drawn
    }


# --- the texts


def with_templates(corpus: Corpus, texts: Sequence[Text]) -> dict[str, list[Text]]:
    """The texts by status, and the template's own text of every track beside them."""
    by_status: dict[str, list[Text]] = {}
    for text in texts:
        by_status.setdefault(text.status, []).append(text)
    for row in corpus.arrow("drafts", ["track_id", "text", "claims", "evidence"]).to_pylist():
        claims = tuple(Claim(**{name: claim[name] for name in Claim.model_fields}) for claim in row["claims"])
        evidence = Evidence.model_validate_json(row["evidence"])
        draft = Text(row["track_id"], row["text"], evidence, claims, status=TEMPLATE)
        by_status.setdefault(TEMPLATE, []).append(draft)
    return by_status


def print_texts(by_status: Mapping[str, Sequence[Text]], tracks: Mapping[str, Measured]) -> dict[str, Any]:
    """Both tables of the texts and the lists below them; the figures for JSON."""
    judged = {
        status: [judged_by_truth(text, tracks[text.track_id].drawn) for text in texts if text.track_id in tracks]
        for status, texts in by_status.items()
    }
    print("\n## Texts against what was drawn\n")
    print("| status | texts | claims | claims contradicted | statements | statements contradicted |", end="")
    print(" texts with a contradiction | emotion or identity words |\n|---" + "|---" * 7 + "|")
    figures: dict[str, Any] = {}
    for status, texts in judged.items():
        claims = [verdict for one in texts for verdict in one.verdicts]
        statements = [statement.verdict for one in texts for statement in one.statements]
        wrong = [one for one in texts if CONTRADICTED in one.verdicts or _contradicted(one.statements)]
        shares = [share(listed.count(CONTRADICTED), len(listed), otherwise="none") for listed in (claims, statements)]
        of_texts, named = share(len(wrong), len(texts), otherwise="none"), _forbidden_words(one.text for one in texts)
        print(f"| {status} | {len(texts)} | {len(claims)} | {shares[0]} | {len(statements)} | {shares[1]} |", end="")
        print(f" {of_texts} | {', '.join(named) or 'none'} |")
        figures[status] = {
            "claims": shares[0].model_dump(),
            "statements": shares[1].model_dump(),
            "texts": of_texts.model_dump(),
            "words": named,
            "recall": {},
        }
    _print_recall(judged, tracks, figures)
    for status, texts in judged.items():
        _print_contradictions(status, texts, tracks)
        _print_misses(status, texts, tracks)
    return figures


def _print_recall(
    judged: Mapping[str, Sequence[Judged]], tracks: Mapping[str, Measured], figures: dict[str, Any]
) -> None:
    print("\n### Strong events that are told\n")
    print("By their own action and side, or at least that something in their region moves.\n")
    print("| status | of which events | told | told or region told |\n|---|---|---|---|")
    for status, texts in judged.items():
        for scope, meaning in SCOPES.items():
            cases = [
                (event in told, event in told or TOLD_ACTIONS[event.action].region in regions)
                for one in texts
                for told, regions in [(one.told, _told_regions(one))]
                for event in _strong(one, tracks, scope)
            ]
            shares = [
                share(sum(case[column] for case in cases), len(cases), otherwise="no such event") for column in (0, 1)
            ]
            print(f"| {status} | {meaning} | {shares[0]} | {shares[1]} |")
            figures[status]["recall"][scope] = [one.model_dump() for one in shares]


def _told_regions(one: Judged) -> set[str]:
    """Regions of which a supported statement says that they, or something in them, move."""
    return one.told_regions | {TOLD_ACTIONS[event.action].region for event in one.told}


def _strong(one: Judged, tracks: Mapping[str, Measured], scope: str) -> list[EvidenceEvent]:
    measured = tracks[one.text.track_id].evidence
    strong = [event for event in one.evidence.events if event.intensity == "strong"]
    if scope == "all":
        return strong
    if scope == "region":
        return [e for e in strong if _is_told(e.action) or _is_told(f"{TOLD_ACTIONS[e.action].region}_move")]
    told = [event for event in strong if _is_told(event.action)]
    return told if scope == "told" else [event for event in told if _blind_share(event, measured) < 0.5]


def _is_told(action: str) -> bool:
    if action in COARSE_ACTIONS:
        return calibrated_coarse().regions[COARSE_ACTIONS[action].region].is_told
    return action in HEAD_ACTIONS or ActionConfig().thresholds[action].is_told


def _blind_share(event: EvidenceEvent, measured: Evidence) -> float:
    """Part of an event in which it could not be measured on any of its sides."""
    moments_s = np.linspace(event.onset_s, event.offset_s, 20)
    hidden = np.zeros((len(moments_s), 2), np.bool_)
    for span in measured.unmeasured:
        hidden |= _within(moments_s, span.start_s, span.end_s)[:, None]
    for unclear in measured.unclear:
        if unclear.action == event.action and unclear.why != "in_between":
            sides = np.array([unclear.side in (side, "both", "middle") for side in ("left", "right")])
            hidden |= _within(moments_s, unclear.start_s, unclear.end_s)[:, None] & sides
    asked = [event.side in (side, "both", "middle") for side in ("left", "right")]
    return float(hidden[:, asked].all(axis=1).mean())


def _within(moments_s: Any, start_s: float, end_s: float) -> Any:
    return (moments_s >= start_s) & (moments_s <= end_s)


def _contradicted(statements: Iterable[Judgement]) -> list[Judgement]:
    return [statement for statement in statements if statement.verdict == CONTRADICTED]


def _forbidden_words(texts: Iterable[Text]) -> list[str]:
    """Words of emotions, identities and labels that the texts hold. "neutral" is a label and a state of a face."""
    forbidden = FORBIDDEN | EMOTION_WORDS | (set(LABELS) - {"neutral"})
    return sorted({word for text in texts for word in re.findall(r"[a-z'-]+", text.prose.lower()) if word in forbidden})


def print_counterfactuals(by_status: Mapping[str, Sequence[Text]], tracks: Mapping[str, Measured]) -> dict[str, Any]:
    """How often texts prefer their own evidence to a decoy made of it; the figures for JSON.

    Held against the measurement that they were written from; against the truth, which holds much that the measurement
    cannot tell; and, for the check alone, templates written from the truth against the truth.
    """
    truth = {track_id: track.drawn.evidence for track_id, track in tracks.items()}
    held = [(f"{status}, against the measurement", texts, None) for status, texts in by_status.items()]
    held += [(f"{status}, against the truth", texts, truth) for status, texts in by_status.items()]
    held.append(("written from the truth, against the truth", [_from_truth(key, truth[key]) for key in truth], truth))
    print("\n### Texts that prefer their own clip to a decoy\n")
    print("| texts | read | decoy | right | no other than the true one |\n|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for whose, texts, evidence in held:
        for reading in READINGS:
            known = {text.track_id: text.evidence for text in texts} if evidence is None else evidence
            found = list(counterfactuals(texts, known, reading))
            for one in found:
                print(f"| {whose} | {reading} | {one.decoy} | {one.right} | {one.num_not_distinguishable} |")
                figures.setdefault(whose, {})[f"{reading}: {one.decoy}"] = one.right.model_dump()
            hits, asked = (sum(getattr(one.right, name) for one in found) for name in ("hits", "asked"))
            right = share(hits, asked, otherwise="no decoy could be told from the evidence")
            print(f"| {whose} | {reading} | **all** | **{right}** | {sum(o.num_not_distinguishable for o in found)} |")
            figures.setdefault(whose, {})[f"{reading}: all"] = right.model_dump()
    return figures


def _from_truth(track_id: str, evidence: Evidence) -> Text:
    draft = draft_of(evidence, max_events=6)
    return Text(track_id, draft.text, evidence, draft.claims, tuple("supported" for _ in draft.claims), "fallback")


def _print_contradictions(status: str, texts: Sequence[Judged], tracks: Mapping[str, Measured]) -> None:
    print(f"\n### Contradicted by the truth: {status}\n")
    for one in texts:
        drawn = tracks[one.text.track_id].drawn
        findings = judge_against_truth(one.text.claims, drawn)
        told = [
            f"claim {_brief(c)}: {why}"
            for c, (v, why) in zip(one.text.claims, findings, strict=True)
            if v == CONTRADICTED
        ]
        told += [f"{statement.said!r}: {statement.why}" for statement in _contradicted(one.statements)]
        if told:
            print(f"- {drawn.clip}, face {drawn.face}: {'; '.join(told)}. Text: {one.text.prose}")


def _print_misses(status: str, texts: Sequence[Judged], tracks: Mapping[str, Measured]) -> None:
    print(f"\n### Strong events that are not told: {status}\n")
    for one in texts:
        drawn, measured = tracks[one.text.track_id].drawn, tracks[one.text.track_id].evidence
        told = one.told
        for event in _strong(one, tracks, "all"):
            if event not in told:
                print(f"- {drawn.clip}, face {drawn.face}: {_brief_event(event)}: {_why_missed(event, measured)}")


def _why_missed(event: EvidenceEvent, measured: Evidence) -> str:
    if not _is_told(event.action):
        region = f"{TOLD_ACTIONS[event.action].region}_move"
        is_near = any(e.onset_s <= event.offset_s and event.onset_s <= e.offset_s for e in measured.events_of(region))
        also = (
            "nor its region" if not _is_told(region) else "its region was measured" if is_near else "nor was its region"
        )
        return f"the measurement cannot tell it, {also}"
    if _blind_share(event, measured) >= 0.5:
        return "was not measurable there"
    near = [e for e in measured.events_of(event.action) if e.onset_s <= event.offset_s and event.onset_s <= e.offset_s]
    if not near:
        return "was measurable, and not measured"
    return f"was measured ({', '.join(map(_brief_event, near))}), and is not told so"


def _brief(claim: Claim) -> str:
    return f"{claim.polarity} {claim.action} {claim.side} {claim.start_s:g} to {claim.end_s:g} s {claim.intensity}"


def _brief_event(event: EvidenceEvent) -> str:
    return f"{event.action} {event.side} {event.onset_s:.2f} to {event.offset_s:.2f} s at {event.peak:.2f}"


# --- the check


@dataclass(frozen=True)
class Case:
    """One known claim of one track with the verdicts on it, by the name of who judges, and their reasons."""

    clip: str
    known: KnownClaim
    can_be_told: bool
    verdicts: Mapping[str, str]
    why: Mapping[str, str]

    @property
    def is_false(self) -> bool:
        """Whether the truth contradicts it."""
        return self.known.verdict == CONTRADICTED


def cases_of(tracks: Mapping[str, Measured], seed: int, most: int) -> list[Case]:
    """Make the claim set of each track, and let the check and the lexicon judge it."""
    return [_case(known, track) for track in tracks.values() for known in known_claims(track.drawn, seed, most=most)]


def _case(known: KnownClaim, track: Measured) -> Case:
    claim, why_claim = judge_claim(known.claim, track.evidence)
    sentence, why_sentence = sentence_verdict(judge_prose(known.sentence, track.evidence))
    lexicon = {
        f"lexicon at {threshold:g}": lexicon_verdict(known.sentence, track.peak_scores, threshold)
        for threshold in THRESHOLDS
    }
    return Case(
        clip=track.drawn.clip,
        known=known,
        can_be_told=can_be_told(known.claim, track.drawn),
        verdicts={"claims": claim, "sentences": sentence, **lexicon},
        why={"claims": why_claim, "sentences": why_sentence},
    )


def sentence_verdict(told: Sequence[Judgement]) -> tuple[str, str]:
    """The verdict on a whole text: its worst statement's, as the check has it; a text that says nothing is unknown."""
    for verdict in (CONTRADICTED, NOT_MEASURABLE):
        for judgement in told:
            if judgement.verdict == verdict:
                return verdict, f"{judgement.said!r}: {judgement.why}"
    return (SUPPORTED, told[0].why) if told else (NOT_MEASURABLE, "nothing of it was understood")


def can_be_told(claim: Claim, drawn: DrawnFace) -> bool:
    """Whether it could have been measured: an action that is told, of a face that was shown and not in profile.

    By what was drawn and not by what was called measurable; half of the claim's span must be so.
    """
    if not _is_told(claim.action):
        return False
    config = ActionConfig()
    inside = _within(drawn.times_s, claim.start_s, claim.end_s)
    is_shown = drawn.is_visible & (np.abs(drawn.yaw_deg) <= config.max_yaw_deg)
    return bool(is_shown[inside].mean() >= 0.5) if inside.any() else False


def print_check(cases: Sequence[Case]) -> dict[str, Any]:
    """The tables of the check and of the lexicon, and what they say wrongly; the figures for JSON."""
    judges = list(cases[0].verdicts)
    num_false, num_lost = sum(case.is_false for case in cases), sum(not case.can_be_told for case in cases)
    print("\n## The check on claims whose verdict is known\n")
    print(f"{len(cases)} claims, each with its sentence; {num_false} are false, {num_lost} of what cannot be told.\n")
    rows = {title: {judge: count(cases, judge) for judge in judges} for title, count in _COUNTS.items()}
    print(f"| | {' | '.join(judges)} |\n|---|{'---|' * len(judges)}")
    for title, row in rows.items():
        print(f"| {title} | {' | '.join(map(str, row.values()))} |")
    print("\nSupported / contradicted / not measurable:\n")
    print(f"| kind | truth | asked | {' | '.join(judges)} |\n|---|---|---|{'---|' * len(judges)}")
    for kind in KINDS:
        for can_be in (True, False):
            own = [case for case in cases if case.known.kind == kind and case.can_be_told == can_be]
            cells = [" / ".join(str(sum(c.verdicts[j] == v for c in own)) for v in VERDICTS) for j in judges]
            what, right = ("" if can_be else ", cannot be told"), SUPPORTED if kind in TRUE_KINDS else CONTRADICTED
            if own:
                print(f"| {kind}{what} | {right} | {len(own)} | {' | '.join(cells)} |")
    for judge in ("claims", "sentences"):
        _print_wrong(cases, judge)
    return {title: {judge: one.model_dump() for judge, one in row.items()} for title, row in rows.items()}


def _share_where(
    is_asked: Callable[[Case, str], bool], is_hit: Callable[[Case, str], bool]
) -> Callable[[Sequence[Case], str], Any]:
    def count(cases: Sequence[Case], judge: str) -> Any:
        asked = [case for case in cases if is_asked(case, judge)]
        return share(sum(is_hit(case, judge) for case in asked), len(asked), otherwise="none")

    return count


def _says(verdict: str) -> Callable[[Case, str], bool]:
    return lambda case, judge: case.verdicts[judge] == verdict


_COUNTS = {
    "contradicted: precision": _share_where(_says(CONTRADICTED), lambda case, _: case.is_false),
    "contradicted: recall": _share_where(lambda case, _: case.is_false, _says(CONTRADICTED)),
    "contradicted: recall of what can be told": _share_where(
        lambda case, _: case.is_false and case.can_be_told, _says(CONTRADICTED)
    ),
    "false, and yet supported": _share_where(lambda case, _: case.is_false, _says(SUPPORTED)),
    "supported: precision": _share_where(_says(SUPPORTED), lambda case, _: not case.is_false),
    "supported: recall of what can be told": _share_where(
        lambda case, _: not case.is_false and case.can_be_told, _says(SUPPORTED)
    ),
    "not measurable": _share_where(lambda *_: True, _says(NOT_MEASURABLE)),
    "not measurable, of what cannot be told": _share_where(lambda case, _: not case.can_be_told, _says(NOT_MEASURABLE)),
    "not measurable, of what can be told": _share_where(lambda case, _: case.can_be_told, _says(NOT_MEASURABLE)),
}


def _print_wrong(cases: Sequence[Case], judge: str) -> None:
    wrong = [case for case in cases if case.verdicts[judge] not in (case.known.verdict, NOT_MEASURABLE)]
    print(f"\n### Judged wrongly: {judge}, {len(wrong)}\n")
    for case in wrong[:SHOWN]:
        said = case.known.sentence if judge == "sentences" else _brief(case.known.claim)
        print(f"- {case.clip}, {case.known.kind}: {said} {case.verdicts[judge]}: {case.why[judge]}")
    if len(wrong) > SHOWN:
        print(f"- and {len(wrong) - SHOWN} more")


# --- run


def main() -> None:
    """Read the corpus and its truth, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a corpus that was built from TRUTH")
    parser.add_argument("truth", type=Path, help="folder of rendered clips with truth.parquet")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures and every case here")
    parser.add_argument("--seed", type=int, default=SEED, help="of the claim set")
    parser.add_argument("--most", type=int, default=60, help="claims of one track at the most")
    arguments = parser.parse_args()

    corpus = Corpus(arguments.corpus)
    tracks = measured_tracks(corpus, arguments.truth)
    print(f"{machine()} {len(tracks)} tracks of {arguments.truth.name}, seed of the claim set {arguments.seed}.")
    by_status = with_templates(corpus, texts_of(corpus))
    texts = print_texts(by_status, tracks) if by_status else {}
    decoys = print_counterfactuals(by_status, tracks) if by_status else {}
    cases = cases_of(tracks, arguments.seed, arguments.most)
    check = print_check(cases)
    if arguments.json:
        figures = {"texts": texts, "counterfactuals": decoys, "check": check, "cases": [_plain(case) for case in cases]}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _plain(case: Case) -> dict[str, Any]:
    known = {**vars(case.known), "claim": case.known.claim.model_dump()}
    return {**vars(case), "known": known}


if __name__ == "__main__":
    main()
