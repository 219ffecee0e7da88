"""Measure how often the language model's text passes the check, and why not, on a corpus's own evidence.

    facescribe serve --port 8101
    python bench/acceptance.py data/demo/corpus --server http://127.0.0.1:8101/v1

Each track's evidence is asked about whole, and in `--samples` seeded choices of one, two and three of its events, so
that few tracks give many questions. `--invented N` asks about N seeded evidences of any actions instead: the prompt was
not chosen on those. Prints each answer that the check refused, and a table in Markdown of how the tracks ended.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator

from pipeline.descriptions.draft_stage import DraftConfig, draft_row
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS, RefineConfig
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Refused, Resources, Unit
from schemas.actions import FACIAL_ACTIONS, INTENSITIES
from schemas.descriptions import DESCRIPTIONS, DRAFTS


def questions(corpus: Corpus, samples: int) -> Iterator[Evidence]:
    """Whole evidence of each track, then choices of one to three of its events."""
    chance = random.Random(0)
    for text in corpus.arrow("drafts", ["evidence"])["evidence"].to_pylist():
        evidence = Evidence.model_validate_json(text)
        yield evidence
        for num_events in (1, 2, 3):
            for _ in range(samples if len(evidence.events) >= num_events else 0):
                chosen = sorted(chance.sample(evidence.events, num_events), key=lambda event: event.onset_s)
                yield evidence.model_copy(update={"events": tuple(chosen)})


def invented(number: int) -> Iterator[Evidence]:
    """Evidences of one to three actions of any kind, one after the other, each one second long."""
    chance = random.Random(1)
    for _ in range(number):
        actions = chance.sample(sorted(FACIAL_ACTIONS), chance.randint(1, 3))
        yield Evidence(duration_s=5.0, events=tuple(_event(name, at, chance) for at, name in enumerate(actions)))


def _event(action: str, onset_s: float, chance: random.Random) -> EvidenceEvent:
    side = "middle" if FACIAL_ACTIONS[action].middle else chance.choice(["both", "both", "left", "right"])
    return EvidenceEvent(
        action=action,
        side=side,
        onset_s=onset_s,
        apex_s=onset_s + 0.5,
        offset_s=onset_s + 1.0,
        peak=0.6,
        intensity=chance.choice(INTENSITIES),
    )


def unit_of(number: int, evidence: Evidence) -> Unit:
    """A draft as the stage is given it."""
    row = {**draft_row(str(number), str(number), evidence, DraftConfig()), "unit_key": ""}
    return Unit(str(number), "", {DRAFTS.name: DRAFTS.rows([row])})


def main() -> None:
    """Ask, check, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="a corpus folder")
    parser.add_argument("--server", required=True, help="address of the language-model server")
    parser.add_argument("--samples", type=int, default=2, help="choices of each size per track")
    parser.add_argument("--invented", type=int, default=0, help="ask about so many invented evidences instead")
    parser.add_argument("--concurrency", type=int, default=8, help="requests under way at a time")
    arguments = parser.parse_args()

    if arguments.invented:
        asked = list(invented(arguments.invented))
    else:
        asked = list(questions(Corpus(arguments.root), arguments.samples))
    units = [unit_of(number, evidence) for number, evidence in enumerate(asked)]
    resources = Resources(server=arguments.server, concurrency=arguments.concurrency)
    ended: Counter[str] = Counter()
    for outcome in REFINE_DESCRIPTIONS.run(units, RefineConfig(), resources):
        if isinstance(outcome, Refused):
            raise SystemExit(f"{outcome.reason}: {outcome.detail}")
        (row,) = outcome.rows[DESCRIPTIONS.name]
        ended[row["fallback_reason"] or f"accepted, answer {len(row['asked'])}"] += 1
        for answer in row["asked"]:
            if answer["fault"]:
                print(f"- {answer['raw_answer']!r}\n  {answer['fault']}: {answer['fault_detail']}")
    print("\n| outcome | tracks |\n|---|---|")
    for outcome_name, count in ended.most_common():
        print(f"| {outcome_name} | {count} of {len(asked)} |")


if __name__ == "__main__":
    main()
