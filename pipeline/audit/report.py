"""The audit: every test of the texts of one corpus in one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipeline.audit.counterfactuals import READINGS, DecoyFigures, counterfactuals
from pipeline.audit.coverage import MEASUREMENT, TRUTH, Coverage, coverage
from pipeline.audit.diversity import Diversity, diversity
from pipeline.audit.drift import Drift, drift
from pipeline.audit.leak import Leak, leak
from pipeline.audit.references import References, references
from pipeline.audit.texts import AuditError, Captions, Text, captions_of, texts_of
from pipeline.inspection.corpus import Corpus
from pipeline.synthetic.truth_evidence import DrawnFace, drawn_faces

PARTS = ("counterfactuals", "leak", "coverage", "diversity", "references")

LABEL_FREE, LABEL_SHOWN = "label-free", "written with the label in sight"


class Counterfactuals(BaseModel):
    """The decoys of one kind of evidence, for one reading of the texts."""

    model_config = ConfigDict(frozen=True)

    held_against: str
    """MEASUREMENT or TRUTH."""
    reading: str
    decoys: list[DecoyFigures]


class Audited(BaseModel):
    """All figures of the texts of one kind. A part that was not asked for, or cannot be had, is None."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """LABEL_FREE or LABEL_SHOWN: the two are never counted together."""
    num_texts: int
    counterfactuals: list[Counterfactuals] | None = None
    leak: Leak | None = None
    coverage: list[Coverage] | None = None
    diversity: Diversity | None = None
    references: list[References] | None = None
    """By language of the captions that people wrote."""
    drift: Drift | None = None


class AuditReport(BaseModel):
    """What the audit of a corpus found. `missing` says of each part that is not there why."""

    model_config = ConfigDict(frozen=True)

    root: str
    snapshot: int
    created_at: str
    against: int | None
    num_texts: int
    labels_from: str
    kinds: list[Audited]
    missing: dict[str, str]


@dataclass(frozen=True)
class Truth:
    """What was drawn in each track, and who was drawn."""

    faces: Mapping[str, DrawnFace]
    identities: Mapping[str, str]


def audit(
    corpus: Corpus, *, truth: pa.Table | None = None, before: Corpus | None = None, only: Sequence[str] = PARTS
) -> AuditReport:
    """Test the newest text of every track.

    Args:
        corpus: the corpus to audit, at any snapshot.
        truth: rows of TRUTH, if the videos are rendered clips; joined by file name.
        before: the same corpus at another snapshot, for the drift.
        only: which of PARTS.

    Raises:
        AuditError: a table is of another version, a name in `only` is unknown, or no video is a clip of `truth`.
    """
    if unknown := [name for name in only if name not in PARTS]:
        raise AuditError(f"no part {unknown[0]!r} of the audit; there are: {', '.join(PARTS)}")
    drawn = None if truth is None else truth_of(corpus, truth)
    texts = _with_labels(texts_of(corpus), drawn)
    older = None if before is None else _with_labels(texts_of(before), drawn)
    captions = captions_of(corpus) if "references" in only else {}
    kinds = {LABEL_FREE: False, LABEL_SHOWN: True}
    return AuditReport(
        root=corpus.store.address,
        snapshot=corpus.snapshot.number,
        created_at=corpus.snapshot.created_at,
        against=None if before is None else before.snapshot.number,
        num_texts=len(texts),
        labels_from="the videos table" if drawn is None else "the truth of the clips",
        kinds=[
            _audited(kind, _of_kind(texts, saw_label), _of_kind(older, saw_label), drawn, captions, only)
            for kind, saw_label in kinds.items()
            if any(text.saw_label == saw_label for text in texts)
        ],
        missing=_missing(texts, drawn, before, captions, only),
    )


def truth_of(corpus: Corpus, truth: pa.Table) -> Truth:
    """What was drawn in each described track whose video has the file name of a clip.

    Raises:
        AuditError: no video has.
    """
    clips = set(truth["clip"].to_pylist())
    videos = corpus.arrow("videos", ["video_id", "path"]).to_pylist()
    names = {v["video_id"]: name for v in videos if (name := PurePosixPath(v["path"]).name) in clips}
    if not names:
        raise AuditError(
            f"none of the {len(videos)} videos in {corpus.store.address} has the file name of one of the {len(clips)} "
            "clips of the truth: give the truth.parquet of the folder that the corpus was built from"
        )
    tracks = corpus.arrow("tracks", ["track_id", "video_id", "times_s", "boxes_xyxy"])
    faces = drawn_faces(truth, tracks.filter(pc.is_in(tracks["video_id"], pa.array(list(names)))), names)
    who = {
        (row["clip"], row["face"]): row["identity"] for row in truth.select(["clip", "face", "identity"]).to_pylist()
    }
    return Truth(faces, {track_id: who[face.clip, face.face] for track_id, face in faces.items()})


def _with_labels(texts: Sequence[Text], truth: Truth | None) -> list[Text]:
    """The texts with the label and the identity that were drawn, where that is known."""
    if truth is None:
        return list(texts)
    return [
        replace(text, label=face.label, group=truth.identities[text.track_id])
        if (face := truth.faces.get(text.track_id))
        else text
        for text in texts
    ]


def _of_kind(texts: Sequence[Text] | None, saw_label: bool) -> list[Text] | None:
    return None if texts is None else [text for text in texts if text.saw_label == saw_label]


def _audited(
    kind: str,
    texts: list[Text] | None,
    before: list[Text] | None,
    truth: Truth | None,
    captions: Captions,
    only: Sequence[str],
) -> Audited:
    texts = texts or []
    return Audited(
        kind=kind,
        num_texts=len(texts),
        counterfactuals=_counterfactuals(texts, truth) if "counterfactuals" in only else None,
        leak=leak(texts) if "leak" in only else None,
        coverage=_coverage(texts, truth) if "coverage" in only else None,
        diversity=diversity(texts) if "diversity" in only else None,
        references=references(texts, captions) if captions else None,
        drift=None if before is None else drift(before, texts),
    )


def _counterfactuals(texts: Sequence[Text], truth: Truth | None) -> list[Counterfactuals]:
    evidence = {MEASUREMENT: {text.track_id: text.evidence for text in texts}}
    if truth is not None:
        described = {text.track_id for text in texts}
        evidence[TRUTH] = {t: face.evidence for t, face in truth.faces.items() if t in described}
    return [
        Counterfactuals(held_against=name, reading=reading, decoys=counterfactuals(texts, own, reading))
        for name, own in evidence.items()
        for reading in READINGS
    ]


def _coverage(texts: Sequence[Text], truth: Truth | None) -> list[Coverage]:
    return [coverage(texts), *([] if truth is None else [coverage(texts, truth.faces)])]


def _missing(
    texts: Sequence[Text], truth: Truth | None, before: Corpus | None, captions: Captions, only: Sequence[str]
) -> dict[str, str]:
    missing = {name: "not asked for" for name in PARTS if name not in only}
    if "references" in only and not captions:
        missing["references"] = "no video has a caption that a person wrote"
    if not texts:
        missing = dict.fromkeys(PARTS, "the corpus holds no descriptions")
    if truth is None:
        missing["truth"] = "no truth was given: all is held against the measurement, which may itself be wrong"
    if before is None:
        missing["drift"] = "no other snapshot was given"
    return missing
