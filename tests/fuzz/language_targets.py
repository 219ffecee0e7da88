"""Parsers of what a language model and its server say: bodies, answers, prose; and of what is kept of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from pipeline.descriptions import endpoint
from pipeline.descriptions.chat import Reply, ServerUnavailable
from pipeline.descriptions.check import TextRules, check, check_prose
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan, UnmeasuredSpan
from pipeline.descriptions.journal import AnswerJournal, JournalError
from pipeline.descriptions.prompt import PromptError, hashes_of_prompt, messages_of, read_prompt
from pipeline.descriptions.shared_journal import _rows_in
from pipeline.descriptions.words import VOCABULARY
from pipeline.store import StoreError
from schemas.actions import TOLD_ACTIONS
from schemas.descriptions import FALLBACK_REASONS
from tests.fuzz.law import Read, Target, must

EVIDENCE = Evidence(
    duration_s=6.0,
    events=(
        EvidenceEvent(
            action="outer_brow_raise", side="left", onset_s=0.5, apex_s=0.8, offset_s=1.2, peak=0.5, intensity="slight"
        ),
        EvidenceEvent(
            action="lip_corner_raise", side="both", onset_s=2.0, apex_s=2.8, offset_s=4.0, peak=0.9, intensity="strong"
        ),
    ),
    unmeasured=(UnmeasuredSpan(start_s=5.0, end_s=5.5, why="turned_away"),),
    unclear=(UnclearSpan(action="lip_press", start_s=1.0, end_s=2.0),),
)
PROSE = (
    "The left outer brow rises slightly. Then both lip corners rise strongly.",
    "First the brows lift, and right after the mouth opens; the face is otherwise still, the eyes stay hidden.",
    "At the end the lips, which were pressed, part slowly while the head turns to the left and the gaze sinks.",
)
_CLAIM = {
    "action": "lip_corner_raise",
    "side": "both",
    "start_s": 2.0,
    "end_s": 4.0,
    "polarity": "present",
    "intensity": "strong",
}
RULES = TextRules(needs_claims=True, must_tell=EVIDENCE.events)

_COMPLETION = {
    "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    "model": "m",
}
_WORDS_OF_SERVER = (
    *("choices", "message", "content", "finish_reason", "usage", "prompt_tokens", "completion_tokens", "model", "stop"),
    *("length", "error", "data", "id", "version", "object"),
)


def _json(*values: object) -> Callable[[], Iterable[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


def _open_completion(folder: Path) -> Read:
    def read(data: bytes) -> None:
        reply = endpoint._reply(data)
        json.dumps(asdict(reply)).encode()
        reply.text.encode()

    return read


def _open_refusal(folder: Path) -> Read:
    def read(data: bytes) -> None:
        must(
            len(endpoint._words(503, data)) < 2 * endpoint.MOST_WORDS_OF_SERVER, "more words of a server than are kept"
        )
        for said in (data.decode("latin-1"), data.decode(errors="replace")):
            try:
                headers = httpx.Headers({b"Retry-After": said.encode("utf-8", "replace")})
            except ValueError:
                continue
            seconds = endpoint._retry_after_s(httpx.Response(503, headers=headers))
            must(seconds >= 0, "a pause that is none")

    return read


def _open_models(folder: Path) -> Read:
    """A server that answers anything to what it is asked about itself."""

    def read(data: bytes) -> None:
        def answer(url: str, api_key: str | None, timeout_s: float) -> httpx.Response:
            return httpx.Response(200, content=data, request=httpx.Request("GET", url))

        before = endpoint._get
        endpoint._get = answer
        try:
            version = endpoint.engine_version("http://127.0.0.1:1/v1")
            (version or "").encode()
            for name in endpoint.list_models("http://127.0.0.1:1/v1"):
                name.encode()
        finally:
            endpoint._get = before

    return read


def _open_answer(folder: Path) -> Read:
    def read(data: bytes) -> None:
        verdict = check(data.decode("utf-8", "replace"), "stop", EVIDENCE, RULES)
        must(verdict.fault is None or verdict.fault.reason in FALLBACK_REASONS, "an unknown reason")
        json.dumps(verdict.claims, ensure_ascii=False).encode()
        (verdict.text or "").encode()

    return read


def _open_prose(folder: Path) -> Read:
    def read(data: bytes) -> None:
        check_prose(data.decode("utf-8", "replace"), EVIDENCE, TextRules(token_budget=10_000))

    return read


def _open_evidence(folder: Path) -> Read:
    def read(data: bytes) -> None:
        evidence = Evidence.model_validate_json(data)
        Evidence.model_validate_json(evidence.model_dump_json())
        check(json.dumps({"claims": [_CLAIM], "description": PROSE[0]}), "stop", evidence)

    return read


def _open_prompt(folder: Path) -> Read:
    number = [0]

    def read(data: bytes) -> None:
        path = folder / f"prompt-{number[0] % 2}-{number[0]}.toml"  # a name of its own, since prompts are kept by it
        number[0] += 1
        path.write_bytes(data)
        try:
            hashes_of_prompt(str(path))
            json.dumps(messages_of(read_prompt(str(path)), "why?"), ensure_ascii=False).encode()
        finally:
            path.unlink()

    return read


def _prompts() -> Iterable[bytes]:
    from pipeline.descriptions.prompt import PROMPTS

    for path in sorted(PROMPTS.glob("*.toml"))[:2]:
        yield path.read_bytes()


def _journal() -> Iterable[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.sqlite")
        with AnswerJournal(path) as journal:
            for number in range(3):
                journal.put(f"{number:064x}", Reply("text", "stop", 1, 2, "m"), f"{number:032x}")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        yield path.read_bytes()


def _open_journal(folder: Path) -> Read:
    path = folder / "answers.sqlite"

    def read(data: bytes) -> None:
        for left in folder.glob("answers*"):
            left.unlink()
        path.write_bytes(data)
        with AnswerJournal(path) as journal:
            for key in journal.keys():  # noqa: SIM118  # a method of a journal
                reply = journal.get(key)
                must(reply is None or isinstance(reply.text, str), "a kept answer that is no text")
            for _ in journal.replies():
                pass
            journal.put("f" * 64, Reply("text", "stop", 1, 2, "m"), "0" * 32)

    return read


def _open_batch(folder: Path) -> Read:
    """Answers as they lie in object storage, taken into a journal's table."""
    rows = sqlite3.connect(":memory:", isolation_level=None)
    rows.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, video_id TEXT, reply TEXT, created_at TEXT)")

    def read(data: bytes) -> None:
        rows.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", _rows_in(data))

    return read


def _open_kept_reply(folder: Path) -> Read:
    """A row of the journal whose JSON is another."""
    path = folder / "answers.sqlite"
    AnswerJournal(path).close()
    rows = sqlite3.connect(path, isolation_level=None)
    rows.execute("INSERT INTO answers VALUES ('k', 'v', '{}', '')")
    journal = AnswerJournal(path)

    def read(data: bytes) -> None:
        rows.execute("UPDATE answers SET reply = ?", [data.decode("utf-8", "replace")])
        reply: Any = journal.get("k")
        must(all(isinstance(one, str) for one in (reply.text, reply.finish_reason, reply.model)), "a text that is none")
        must(all(type(one) is int for one in (reply.prompt_tokens, reply.completion_tokens)), "a count that is none")

    return read


TARGETS = (
    Target(
        *("completion", (ValueError, RecursionError), _json(_COMPLETION), _open_completion),
        form="json",
        words=_WORDS_OF_SERVER,
    ),
    Target(
        *(
            "refusal",
            (),
            lambda: (b'{"error": {"message": "no"}}', b"Wed, 21 Oct 2026 07:28:00 GMT", b"1.5"),
            _open_refusal,
        ),
        form="json",
        words=(*_WORDS_OF_SERVER, "GMT", "Wed, 21 Oct 2026", "+9999", "inf", "nan"),
    ),
    Target(
        *("models", (ServerUnavailable,), _json({"data": [{"id": "m"}], "version": "0.9"}), _open_models),
        form="json",
        words=_WORDS_OF_SERVER,
    ),
    Target(
        *("answer", (), _json({"claims": [_CLAIM], "description": PROSE[0]}, {"claims": [], "description": PROSE[1]})),
        open=_open_answer,
        form="json",
        words=(*TOLD_ACTIONS, "claims", "description", "polarity", "absent", "side", "left", "right", *PROSE),
    ),
    Target(
        *("prose", (), lambda: [text.encode() for text in PROSE], _open_prose),
        words=tuple(f" {word}" for word in sorted(VOCABULARY)),
        most_bytes=4096,
    ),
    Target(
        *("evidence", (ValidationError,), lambda: (EVIDENCE.model_dump_json().encode(),), _open_evidence),
        form="json",
        words=(*TOLD_ACTIONS, "turned_away", "far_side", "not_told", "left", "right", "both", "middle"),
    ),
    Target(
        *("prompt", (PromptError,), _prompts, _open_prompt),
        words=(
            "system",
            "user",
            "frame",
            "seen",
            "label",
            "again",
            "[[examples]]",
            "assistant",
            '"""',
            "'''",
            "{notes}",
            "=",
        ),
    ),
    Target("journal", (JournalError, OSError), _journal, _open_journal, most_bytes=1 << 15),
    Target(
        *("answers_batch", (StoreError,), _json(["k", "v", "{}", "2026"]), _open_batch),
        form="json",
    ),
    Target(
        *("kept_reply", (JournalError,), _json(asdict(Reply("text", "stop", 1, 2, "m"))), _open_kept_reply),
        form="json",
        words=("text", *_WORDS_OF_SERVER),
    ),
)
