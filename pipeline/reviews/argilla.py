"""Send texts out to Argilla: a folder as `argilla.Dataset.from_disk` reads it, a record a track. Words, no faces.

    .argilla/dataset.json    the data set's name
    .argilla/settings.json   fields text, draft and evidence; questions decision, edited_text and reason
    records.json             one record a track, its text suggested as the edited one
    export.json              what this folder holds

Formats: https://docs.argilla.io/latest/how_to_guides/import_export (2.x).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.export.folder import refuse_folder, whole_folder
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.outgoing import OUTGOING, Outgoing, OutgoingText, claim_in_words, shown, texts_to_review
from pipeline.reviews.record import sha256_of
from schemas.reviews import DECISIONS

DECISION, TEXT, REASON = "decision", "edited_text", "reason"
"""Names of the questions."""

GUIDELINES = (
    "Is the text what the evidence says of the face, in plain words, and nothing more? Choose accept, reject, edit "
    "or unsure. With edit, change the text; with all others leave it as it is. Say why where it is not plain."
)

FIELDS = {
    "text": "The text",
    "draft": "The draft, which a template wrote",
    "evidence": "What was measured, and claimed",
}


def export_argilla(
    corpus: Corpus, folder: Path, track_ids: Sequence[str] | None = None, without_licence: str | None = None
) -> Outgoing:
    """Write the folder, whole or not at all.

    Args:
        track_ids: in the order of their records; None: every track that has a text.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or there is nothing to review.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    texts, made = texts_to_review(corpus, "argilla", track_ids, without_licence)
    with whole_folder(folder) as out:
        (out / ".argilla").mkdir()
        _write(out / ".argilla" / "dataset.json", _dataset(made))
        _write(out / ".argilla" / "settings.json", settings())
        _write(out / "records.json", [_record(text, made) for text in texts])
        (out / OUTGOING).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return made


def _write(path: Path, what: Any) -> None:
    path.write_text(json.dumps(what, indent=1) + "\n", encoding="ascii")


def _dataset(made: Outgoing) -> dict[str, Any]:
    plain = re.sub(r"[^0-9A-Za-z]+", "-", made.corpus).strip("-") or "corpus"
    name = f"facescribe-{plain[:100]}-{made.snapshot}"
    return {"name": name, "status": "draft", "guidelines": GUIDELINES, "allow_extra_metadata": True}


def settings() -> dict[str, Any]:
    """`settings.json`: nothing is read as Markdown, so that a text stays text."""
    options = [{"text": decision, "value": decision} for decision in DECISIONS]
    plain = {"type": "text", "use_markdown": False}
    return {
        "guidelines": GUIDELINES,
        "fields": [
            {"name": name, "title": title, "required": name == "text", "type": "text", "settings": plain}
            for name, title in FIELDS.items()
        ],
        "questions": [
            {
                "name": DECISION,
                "title": "Is it what the face does?",
                "required": True,
                "type": "label_selection",
                "settings": {"type": "label_selection", "options": options, "visible_options": len(options)},
            },
            {"name": TEXT, "title": "Your text, where you edit", "required": False, "type": "text", "settings": plain},
            {"name": REASON, "title": "Why", "required": False, "type": "text", "settings": plain},
        ],
        "metadata": [
            {"name": "track_id", "title": "track", "type": "terms", "settings": {"type": "terms"}},
            {"name": "text_version", "title": "version", "type": "integer", "settings": {"type": "integer"}},
            {"name": "text_sha256", "title": "hash of the text", "type": "terms", "settings": {"type": "terms"}},
        ],
        "vectors": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
    }


def _record(text: OutgoingText, made: Outgoing) -> dict[str, Any]:
    evidence = "\n".join([text.evidence, *(f"claimed: {claim_in_words(claim)}" for claim in text.claims)])
    return {
        "id": f"{text.track_id}.{text.text_version}",
        "fields": {"text": shown(text.text), "draft": shown(text.draft), "evidence": shown(evidence)},
        "metadata": {
            "track_id": text.track_id,
            "text_version": text.text_version,
            "text_sha256": sha256_of(text.text),
        },
        "suggestions": {
            TEXT: {"value": shown(text.text), "score": None, "agent": f"facescribe snapshot {made.snapshot}"}
        },
        "responses": {},
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    }
