"""Stage: drafts -> descriptions. Light: says what is asked; `ask.py` asks it and `check.py` judges the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from pipeline.assets import ASSETS
from pipeline.descriptions.label_policy import TRAIN
from pipeline.descriptions.prompt import fill, hashes_of_prompt, messages_of, read_prompt
from pipeline.run import unexpected
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, StageConfig, Unit
from schemas.answer import MAX_CLAIMS, Answer
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.videos import VIDEOS

if TYPE_CHECKING:
    from pipeline.descriptions.ask import AskSettings, Ended, Reply, Request, Talk
    from pipeline.descriptions.check import TextRules, Verdict
    from pipeline.descriptions.evidence import Evidence
    from pipeline.descriptions.journal import KeptAnswers
    from pipeline.descriptions.lint import Fault

    RowsOf = Callable[[Sequence[Reply]], Mapping[str, Any]]

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"
EMBEDDED_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_REVISION = f"gguf sha256 {ASSETS[EMBEDDED_WEIGHTS].sha256}, as bfloat16"

MOST_OF_ANSWER = 600
"""Characters of a faulty answer that are shown to the model again."""


class RefineConfig(StageConfig):
    """Which language model refines the drafts, how it is asked, and what its text must keep to.

    With a server of your own, say here what it serves: these fields, not its address, are what rows are keyed by.
    """

    model: str = EMBEDDED_MODEL
    """Name that the server knows the model by."""

    model_revision: str = EMBEDDED_REVISION
    """Revision or hash of the weights. Change it when the server's weights change under the same name."""

    model_licence: str = ASSETS[EMBEDDED_WEIGHTS].licence
    """Licence of the weights."""

    engine: str = "vllm 0.32.0"
    """Name and version of what serves the model. A vLLM that says another version is refused."""

    prompt: str = "refine_2"
    """Name of a file in pipeline/descriptions/prompts, or the path of a .toml file like those."""

    @field_validator("prompt")
    @classmethod
    def _is_there(cls, name: str) -> str:
        read_prompt(name)  # a misspelt name is told before anything is computed
        return name

    max_notes: int = Field(default=3, ge=1)
    """Strongest events told to the model where the prompt asks for notes."""

    max_claims: int = Field(default=0, ge=0, le=MAX_CLAIMS)
    """Claims with spans in seconds that are asked for beside the prose, for prompts that give the times. The embedded
    model was never seen to get one right (docs/serving.md): it is asked for prose alone, and the claims of its text are
    read from the prose. Prose is checked always."""

    max_retries: int = Field(default=2, ge=0, le=5)
    """How often an answer that fails the check goes back to the model with its fault quoted."""

    max_tokens: int = Field(default=192, ge=16)
    """Longest answer; one that is cut there is not used."""

    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest word each time. Even then an answer is data, not something to be made again."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of the likeliest words that is drawn from, where the temperature is above 0."""

    seed: int | None = None
    """Seed of the drawing; None leaves it to the server. On a GPU it makes answers repeatable only roughly."""

    token_budget: int = Field(default=60, ge=20)
    """Most tokens of a text, counted by the text encoder's own tokenizer; a longer one is refused, never cut. A CLIP
    tower takes 77, two of which are its own."""

    text_encoder: str = "clip"
    """What counts tokens: "clip", or the path of a Hugging Face tokenizer.json."""

    may_name_emotions: bool = False
    """Whether a text may hold words for emotions. Off: a text that names one is refused."""

    label: Literal["never", "train"] = "never"
    """Whether the writer is told the emotion label: never, or for videos of the split "train" alone, whose rows are
    then marked `saw_label`. Such text gives the label away, so it must never be in a split that is tested on."""

    def hashes_of_files(self) -> dict[str, str]:
        """Of the prompt."""
        return hashes_of_prompt(self.prompt)


def request_of(unit: Unit, config: RefineConfig) -> Request:
    """The exact first request for one draft."""
    from pipeline.descriptions.evidence import Evidence

    draft = unit.row(DRAFTS)
    evidence = Evidence.model_validate_json(draft["evidence"])
    return _request(_facts(draft, evidence, _label_of(unit, config), config), config)


def _request(facts: Mapping[str, str], config: RefineConfig) -> Request:
    from pipeline.descriptions.ask import Request

    prompt = read_prompt(config.prompt)
    seen, label = (part if facts[name] else "" for name, part in (("seen", prompt.seen), ("label", prompt.label)))
    return Request(
        model=config.model,
        messages=messages_of(prompt, fill(prompt.user + seen + label, facts)),
        json_schema=_answer_schema(config.max_claims),
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
    )


def _facts(draft: Mapping[str, Any], evidence: Evidence, label: str | None, config: RefineConfig) -> dict[str, str]:
    """What a prompt may have places for."""
    from pipeline.descriptions.draft import in_words, notes_of

    return {
        "notes": "; ".join(notes_of(evidence, max_events=config.max_notes)),
        "evidence": in_words(evidence),
        "draft": draft["text"],
        "seen": draft["seen_text"] or "",
        "label": label or "",
    }


def _label_of(unit: Unit, config: RefineConfig) -> str | None:
    """The label that the writer may see: of a video that is only ever trained on."""
    if config.label == "never" or not read_prompt(config.prompt).label:
        return None
    video = unit.row(VIDEOS)
    return str(video["label"]) if video["label"] and video["split"] == TRAIN else None


@cache  # made for each request anew, it was a third of the stage's own time
def _answer_schema(max_claims: int) -> Mapping[str, Any]:
    schema = Answer.model_json_schema()
    if max_claims == 0:
        del schema["properties"]["claims"], schema["$defs"]
    else:
        schema["properties"]["claims"]["maxItems"] = max_claims
        schema["required"] = ["claims", "description"]
    return schema


def _request_key(unit: Unit, config: RefineConfig) -> str:
    again = read_prompt(config.prompt).again
    return "\n".join([request_of(unit, config).canonical(), again, config.model_revision, config.engine])


def rules_of(evidence: Evidence, config: RefineConfig) -> TextRules:
    """What the check asks of a text beside the evidence."""
    from pipeline.descriptions.check import TextRules
    from pipeline.descriptions.draft import must_tell

    return TextRules(
        token_budget=config.token_budget,
        encoder=config.text_encoder,
        may_name_emotions=config.may_name_emotions,
        needs_claims=config.max_claims > 0,
        must_tell=must_tell(evidence, max_events=config.max_notes),
    )


class _Conversation:
    """The requests for one track: the first, and one more after each answer that fails the check."""

    def __init__(self, unit: Unit, config: RefineConfig) -> None:
        from pipeline.descriptions.evidence import Evidence

        self.config = config
        self.draft = unit.row(DRAFTS)
        self._evidence = Evidence.model_validate_json(self.draft["evidence"])
        self._label = _label_of(unit, config)
        self._facts = _facts(self.draft, self._evidence, self._label, config)
        self._rules = rules_of(self._evidence, config)
        self.requests = [_request(self._facts, config)]
        self.verdicts: list[Verdict] = []

    def next_request(self, reply: Reply, num_replies: int) -> Request | None:
        """Judge an answer; the request that shall follow, or None when the conversation is over."""
        from pipeline.descriptions.check import check

        verdict = check(reply.text, reply.finish_reason, self._evidence, self._rules)
        self.verdicts.append(verdict)
        if verdict.fault is None or num_replies > self.config.max_retries:
            return None
        self.requests.append(self._again(reply, verdict.fault))
        return self.requests[-1]

    def _again(self, reply: Reply, fault: Fault) -> Request:
        """The last request, the answer to it, and what was wrong with that."""
        from dataclasses import replace

        facts = {**self._facts, "fault": fault.detail, "said": fault.said}
        answered = [
            {"role": "assistant", "content": reply.text[:MOST_OF_ANSWER] or "{}"},
            {"role": "user", "content": fill(read_prompt(self.config.prompt).again, facts)},
        ]
        return replace(self.requests[-1], messages=[*self.requests[-1].messages, *answered])

    def rows(self, replies: Sequence[Reply]) -> dict[str, list[dict[str, Any]]]:
        """The row of DESCRIPTIONS: the last text if it stood the check, else the draft's."""
        from pipeline.descriptions.tokens import count_tokens

        draft, last = self.draft, self.verdicts[-1]
        fault = last.fault
        text = draft["text"] if last.text is None else last.text
        asked = zip(self.requests, replies, self.verdicts, strict=True)
        row = {
            "track_id": draft["track_id"],
            "text_version": 1,
            "video_id": draft["video_id"],
            "text": text,
            "status": "refined" if fault is None else "fallback",
            "fallback_reason": fault.reason if fault else None,
            "fallback_detail": fault.detail if fault else None,
            "claims": draft["claims"] if fault else last.claims,
            "num_text_tokens": count_tokens(text, self.config.text_encoder),
            "asked": [_asked(request, reply, verdict, self.config) for request, reply, verdict in asked],
            "saw_label": draft["saw_label"] or self._label is not None,
        }
        return {DESCRIPTIONS.name: [row]}


def _asked(request: Request, reply: Reply, verdict: Verdict, config: RefineConfig) -> Mapping[str, Any]:
    return {
        **asked_of(request, reply, config.prompt, config.model_revision, config.model_licence, config.engine),
        "fault": verdict.fault.reason if verdict.fault else None,
        "fault_detail": verdict.fault.detail if verdict.fault else None,
    }


def asked_of(request: Request, reply: Reply, prompt: str, revision: str, licence: str, engine: str) -> dict[str, Any]:
    """One request and its answer, as a value of schemas.descriptions.ASKED."""
    return {
        "prompt": prompt,
        "request_sha256": hashlib.sha256(request.canonical().encode()).hexdigest(),
        "model": request.model,
        "model_revision": revision,
        "model_licence": licence,
        "engine": engine,
        "sampling": request.sampling(),
        "raw_answer": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }


def _run(units: Sequence[Unit], config: RefineConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.descriptions.ask import AskSettings, Talk
    from pipeline.descriptions.journal import keeping

    def begin(unit: Unit) -> tuple[Talk, RowsOf]:
        one = _Conversation(unit, config)
        return Talk(one.requests[0], one.next_request, one.draft["video_id"], unit.generation), one.rows

    with keeping(resources.answers, config.model_revision, config.engine) as kept:
        yield from talked_over(units, begin, AskSettings.of(resources), kept)


def talked_over(
    units: Sequence[Unit],
    begin: Callable[[Unit], tuple[Talk, RowsOf]],
    asker: AskSettings,
    kept: KeptAnswers | None,
) -> Iterator[Outcome]:
    """Ask a language model about each unit, and yield what became of it.

    `begin` is called when there is a place for the unit's talk; it gives that, and what makes rows of its replies.
    """
    from pipeline.descriptions.ask import converse

    under_way: dict[int, RowsOf] = {}

    def talks() -> Iterator[Talk]:
        for position, unit in enumerate(units):
            talk, under_way[position] = begin(unit)
            yield talk

    with closing(converse(talks(), asker=asker, kept=kept)) as talked:
        for position, ended in talked:
            yield _outcome_of(units[position], ended, under_way.pop(position))


def _outcome_of(unit: Unit, ended: Ended, rows: RowsOf) -> Outcome:
    """What became of a unit: `rows` made of the replies, or why there is none."""
    from pipeline.descriptions.ask import RequestRefused, ServerUnavailable

    if isinstance(ended.failure, RequestRefused):
        return Refused(unit, "request_refused", str(ended.failure))
    if isinstance(ended.failure, ServerUnavailable):
        return Refused(unit, "server_unavailable", str(ended.failure))
    try:
        if ended.failure is not None:
            raise ended.failure
        num_tokens = sum(reply.prompt_tokens + reply.completion_tokens for reply in ended.replies)
        return Done(unit, rows(ended.replies), num_tokens)
    except Exception as error:
        return unexpected(unit, error)


REFINE_DESCRIPTIONS = Stage(
    name="refine_descriptions",
    version=2,
    reads=(
        Read(DRAFTS, content=("track_id", "video_id", "text", "claims", "evidence", "seen_text", "saw_label")),
        Read(VIDEOS, content=(), locate=("video_id", "label", "split"), by="video_id"),  # a label enters by the request
    ),
    writes=(DESCRIPTIONS,),
    unit="track_id",
    config=RefineConfig,
    run=_run,
    request=_request_key,
)
