"""Stage: actions -> drafts. Light: says what is computed; `evidence.py` and `draft.py` compute it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Resources, Stage, StageConfig, Unit
from schemas.actions import ACTIONS
from schemas.descriptions import DRAFTS


class DraftConfig(StageConfig):
    """What a draft tells."""

    max_events: int = Field(default=6, ge=1)
    """Events told, the strongest first."""


def _run(units: Sequence[Unit], config: DraftConfig, resources: Resources) -> Iterator[Outcome]:
    return each_unit(units, lambda unit: _draft(unit, config))


def _draft(unit: Unit, config: DraftConfig) -> Done:
    from pipeline.descriptions.draft import WRITER, draft_text
    from pipeline.descriptions.evidence import evidence_of

    actions = unit.row(ACTIONS)
    evidence = evidence_of(actions)
    row = {
        "track_id": actions["track_id"],
        "video_id": actions["video_id"],
        "text": draft_text(evidence, max_events=config.max_events),
        "evidence": evidence.model_dump_json(),
        "writer": WRITER,
        "saw_label": False,
    }
    return Done(unit, {DRAFTS.name: [row]})


DRAFT_DESCRIPTIONS = Stage(
    name="draft_descriptions",
    version=2,
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
            ),
        ),
    ),
    writes=(DRAFTS,),
    unit="track_id",
    config=DraftConfig,
    run=_run,
)
