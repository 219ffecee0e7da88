"""Stage: drafts -> descriptions. Light: says what is asked; `ask.py` asks it and `check.py` judges the answer."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipeline.assets import ASSETS
from pipeline.run import unexpected
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, StageConfig, Unit
from schemas.answer import MAX_CLAIMS, Answer
from schemas.descriptions import DESCRIPTIONS, DRAFTS

if TYPE_CHECKING:
    from pipeline.descriptions.ask import Reply, Request

PROMPTS = Path(__file__).with_name("prompts")

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"
EMBEDDED_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_REVISION = f"gguf sha256 {ASSETS[EMBEDDED_WEIGHTS].sha256}, as bfloat16"


class RefineConfig(StageConfig):
    """Which language model refines the drafts, and how it is asked.

    With a server of your own, say here what it serves: these fields, not its address, are what rows are keyed by.
    """

    model: str = EMBEDDED_MODEL
    """Name that the server knows the model by."""

    model_revision: str = EMBEDDED_REVISION
    """Revision or hash of the weights. Change it when the server's weights change under the same name."""

    model_licence: str = ASSETS[EMBEDDED_WEIGHTS].licence
    """Licence of the weights."""

    engine: str = "vllm 0.32.0"
    """Name and version of what serves the model."""

    prompt: str = "refine_1"
    """Name of a file in pipeline/descriptions/prompts."""

    @field_validator("prompt")
    @classmethod
    def _is_there(cls, name: str) -> str:
        _prompt(name)  # a misspelt name is told before anything is computed
        return name

    max_notes: int = Field(default=3, ge=1)
    """Strongest events told to the model, as short notes without times."""

    max_claims: int = Field(default=0, ge=0, le=MAX_CLAIMS)
    """Claims with spans in seconds that are asked for beside the prose, for prompts that give the times. The embedded
    model was never seen to get one right (docs/serving.md): it is asked for prose alone. Prose is checked always."""

    max_tokens: int = Field(default=256, ge=16)
    """Longest answer; one that is cut there is not used."""

    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest word each time. Even then an answer is data, not something to be made again."""


def request_of(unit: Unit, config: RefineConfig) -> Request:
    """The exact request for one draft."""
    from pipeline.descriptions.ask import Request
    from pipeline.descriptions.draft import notes_of
    from pipeline.descriptions.evidence import Evidence

    prompt, draft = _prompt(config.prompt), unit.row(DRAFTS)
    notes = notes_of(Evidence.model_validate_json(draft["evidence"]), max_events=config.max_notes)
    question = prompt["user"].replace("{notes}", "; ".join(notes)).replace("{draft}", draft["text"])
    messages = [{"role": "system", "content": prompt["system"]}]
    for example in prompt.get("examples", []):
        messages.append({"role": "user", "content": example["user"]})
        messages.append({"role": "assistant", "content": example["assistant"]})
    messages.append({"role": "user", "content": question})
    return Request(
        model=config.model,
        messages=messages,
        json_schema=_answer_schema(config.max_claims),
        max_tokens=config.max_tokens,
        temperature=config.temperature,
    )


def _answer_schema(max_claims: int) -> dict[str, Any]:
    schema = Answer.model_json_schema()
    if max_claims == 0:
        del schema["properties"]["claims"], schema["$defs"]
    else:
        schema["properties"]["claims"]["maxItems"] = max_claims
        schema["required"] = ["claims", "description"]
    return schema


@cache
def _prompt(name: str) -> Mapping[str, Any]:
    path = PROMPTS / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in PROMPTS.glob("*.toml")))
        raise ValueError(f"no prompt {name!r}; there are: {known}") from None


def _request_key(unit: Unit, config: RefineConfig) -> str:
    return f"{request_of(unit, config).canonical()} {config.model_revision} {config.engine}"


def _run(units: Sequence[Unit], config: RefineConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.descriptions.ask import Patience, Reply, RequestRefused, ask_all

    if resources.server is None:
        raise ValueError("no language-model server: start one (`facescribe serve`) and give its address as --server")
    requests = [request_of(unit, config) for unit in units]
    patience = Patience(timeout_s=resources.request_timeout_s, max_attempts=resources.request_attempts)
    key = os.environ.get(resources.api_key_variable) if resources.api_key_variable else None
    answers = ask_all(
        requests, address=resources.server, concurrency=resources.concurrency, api_key=key, patience=patience
    )
    for position, answer in answers:
        unit = units[position]
        if isinstance(answer, Reply):
            try:
                yield Done(unit, {DESCRIPTIONS.name: [_row(unit, config, requests[position], answer)]})
            except Exception as error:
                yield unexpected(unit, error)
        else:
            reason = "request_refused" if isinstance(answer, RequestRefused) else "server_unavailable"
            yield Refused(unit, reason, str(answer))


def _row(unit: Unit, config: RefineConfig, request: Request, reply: Reply) -> dict[str, Any]:
    from pipeline.descriptions.check import check
    from pipeline.descriptions.evidence import Evidence

    draft = unit.row(DRAFTS)
    evidence = Evidence.model_validate_json(draft["evidence"])
    verdict = check(reply.text, reply.finish_reason, evidence, draft["text"])
    return {
        "track_id": draft["track_id"],
        "text_version": 1,
        "video_id": draft["video_id"],
        "text": verdict.text,
        "status": verdict.status,
        "fallback_reason": verdict.fallback_reason,
        "fallback_detail": verdict.detail if verdict.fallback_reason else None,
        "claims": verdict.claims,
        "raw_answer": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "prompt": config.prompt,
        "request_sha256": hashlib.sha256(request.canonical().encode()).hexdigest(),
        "model": config.model,
        "model_revision": config.model_revision,
        "model_licence": config.model_licence,
        "engine": config.engine,
        "saw_label": draft["saw_label"],
    }


REFINE_DESCRIPTIONS = Stage(
    name="refine_descriptions",
    version=1,
    reads=(Read(DRAFTS, content=("track_id", "video_id", "text", "evidence", "saw_label")),),
    writes=(DESCRIPTIONS,),
    unit="track_id",
    config=RefineConfig,
    run=_run,
    request=_request_key,
)
