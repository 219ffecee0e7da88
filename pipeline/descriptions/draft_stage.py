"""Stage: actions -> drafts. Light: says what is computed; `evidence.py`, `draft.py` and `keyframes.py` compute it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipeline.descriptions.prompt import hashes_of_prompt, read_prompt
from pipeline.descriptions.refine_stage import asked_of, talked_over
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Resources, Stage, StageConfig, Unit
from schemas.actions import ACTIONS
from schemas.descriptions import DRAFTS
from schemas.tracks import CROPS

if TYPE_CHECKING:
    from pipeline.descriptions.ask import Reply, Request
    from pipeline.descriptions.evidence import Evidence
    from pipeline.descriptions.refine_stage import RowsOf


class VisionConfig(StageConfig):
    """A vision-language model that is shown key frames of each track. What it says is handed on, never believed."""

    model: str
    """Name that the server knows the model by."""

    model_revision: str
    """Revision or hash of the weights."""

    model_licence: str
    """Licence of the weights."""

    engine: str = "vllm 0.32.0"
    """Name and version of what serves the model."""

    prompt: str = "see_1"
    """Name of a file in pipeline/descriptions/prompts, or the path of a .toml file like those."""

    @field_validator("prompt")
    @classmethod
    def _is_there(cls, name: str) -> str:
        read_prompt(name)
        return name

    min_frames: int = Field(default=4, ge=2)
    """Fewest key frames, where the track has as many."""

    max_frames: int = Field(default=8, ge=2)
    """Most key frames; the server must allow as many images in one request."""

    max_tokens: int = Field(default=256, ge=16)
    """Longest answer; a longer one is kept as far as it goes."""

    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest word each time."""


class DraftConfig(StageConfig):
    """What a draft tells."""

    max_events: int = Field(default=6, ge=1)
    """Events told, the strongest first."""

    token_budget: int = Field(default=60, ge=30)
    """Most tokens of the text, counted by the text encoder's own tokenizer: events are left out until it fits."""

    text_encoder: str = "clip"
    """What counts tokens: "clip", or the path of a Hugging Face tokenizer.json."""

    vision: VisionConfig | None = None
    """A vision-language model to show key frames to, beside the template. None: no pixel leaves the corpus."""

    def hashes_of_files(self) -> dict[str, str]:
        """Of the prompt."""
        return hashes_of_prompt(self.vision.prompt) if self.vision else {}


def _run(units: Sequence[Unit], config: DraftConfig, resources: Resources) -> Iterator[Outcome]:
    if config.vision is None:
        return each_unit(units, lambda unit: Done(unit, {DRAFTS.name: [_row(unit, config)]}))
    return _run_with_vision(units, config, config.vision, resources)


def _run_with_vision(
    units: Sequence[Unit], config: DraftConfig, vision: VisionConfig, resources: Resources
) -> Iterator[Outcome]:
    from pipeline.descriptions.ask import AskSettings, Talk
    from pipeline.descriptions.journal import keeping

    def begin(unit: Unit) -> tuple[Talk, RowsOf]:
        request, times_s = _see_request(unit, vision)
        talk = Talk(request, video_id=unit.row(ACTIONS)["video_id"], generation=unit.generation)
        return talk, partial(_rows_with_vision, unit, config, vision, request, times_s)

    server = resources.vision_server or resources.server
    asker = AskSettings.of(resources.model_copy(update={"server": server}))
    with keeping(resources.answers, vision.model_revision, vision.engine) as kept:
        yield from talked_over(units, begin, asker, kept)


def _rows_with_vision(
    unit: Unit,
    config: DraftConfig,
    vision: VisionConfig,
    request: Request,
    times_s: Sequence[float],
    replies: Sequence[Reply],
) -> dict[str, Any]:
    seen_by = (vision.prompt, vision.model_revision, vision.model_licence, vision.engine)
    seen = {
        "seen_text": replies[0].text,
        "seen_frames_s": list(times_s),
        "seen_asked": asked_of(request, replies[0], *seen_by),
    }
    return {DRAFTS.name: [_row(unit, config) | seen]}


def _row(unit: Unit, config: DraftConfig) -> dict[str, Any]:
    from pipeline.descriptions.evidence import evidence_of

    actions = unit.row(ACTIONS)
    return draft_row(actions["track_id"], actions["video_id"], evidence_of(actions), config)


def draft_row(track_id: str, video_id: str, evidence: Evidence, config: DraftConfig) -> dict[str, Any]:
    """The row of DRAFTS for one track's evidence, without `unit_key`."""
    from pipeline.descriptions.draft import WRITER, draft_of
    from pipeline.descriptions.judging import claim_row, judge_claim

    budget, encoder = config.token_budget, config.text_encoder
    draft = draft_of(evidence, max_events=config.max_events, token_budget=budget, encoder=encoder)
    return {
        "track_id": track_id,
        "video_id": video_id,
        "text": draft.text,
        "claims": [claim_row(claim, "template", judge_claim(claim, evidence)) for claim in draft.claims],
        "num_text_tokens": draft.num_tokens,
        "evidence": evidence.model_dump_json(),
        "writer": WRITER,
        "saw_label": False,
    }


def _see_request(unit: Unit, vision: VisionConfig) -> tuple[Request, list[float]]:
    """The request that shows a track's key frames, and their times in seconds of presentation."""
    from pipeline.descriptions.evidence import evidence_of
    from pipeline.descriptions.keyframes import choose_key_times, key_frames, see_request

    actions = unit.row(ACTIONS)
    evidence = evidence_of(actions)
    key_times_s = choose_key_times(evidence, at_least=vision.min_frames, at_most=vision.max_frames)
    frames = key_frames(unit.column(CROPS, "crop_jpeg"), actions["times_s"], key_times_s, evidence)
    request = see_request(
        frames,
        model=vision.model,
        prompt=vision.prompt,
        max_tokens=vision.max_tokens,
        temperature=vision.temperature,
    )
    return request, [actions["times_s"][frame.position] for frame in frames]


def _request_key(unit: Unit, config: DraftConfig) -> str:
    if config.vision is None:
        return ""
    request, _ = _see_request(unit, config.vision)
    return "\n".join([request.canonical(), config.vision.model_revision, config.vision.engine])


DRAFT_DESCRIPTIONS = Stage(
    name="draft_descriptions",
    version=3,
    reads=(
        Read(
            ACTIONS,
            content=(
                "track_id",
                "video_id",
                "times_s",
                "events",
                "unmeasured",
                "unclear",
                "motion_shares",
            ),
        ),
        Read(CROPS, content=(), locate=("track_id", "position", "crop_jpeg")),  # shown crops enter by the request
    ),
    writes=(DRAFTS,),
    unit="track_id",
    config=DraftConfig,
    run=_run,
    request=_request_key,
)
