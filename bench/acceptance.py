"""Measure how often the language model's text passes the check, and why not, on a corpus's own evidence.

    facescribe serve --port 8101
    python bench/acceptance.py data/demo/corpus --server http://127.0.0.1:8101/v1

Each track's evidence is asked about whole, and in `--samples` seeded choices of one, two and three of its events, so
that few tracks give many questions. `--invented N` asks about N seeded evidences of any actions instead: the prompt was
not chosen on those. Prints a table in Markdown, and every answer that was refused.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator

from pipeline.descriptions.ask import Reply, ask_all
from pipeline.descriptions.check import check
from pipeline.descriptions.draft import draft_text
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.refine_stage import RefineConfig, request_of
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Unit
from schemas.actions import FACIAL_ACTIONS, INTENSITIES
from schemas.descriptions import DRAFTS


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


def unit_of(evidence: Evidence) -> Unit:
    """A draft as the stage is given it."""
    row = {
        "track_id": "t",
        "unit_key": "",
        "video_id": "v",
        "text": draft_text(evidence, max_events=6),
        "evidence": evidence.model_dump_json(),
        "writer": "",
        "saw_label": False,
    }
    return Unit("t", "", {DRAFTS.name: DRAFTS.rows([row])})


def main() -> None:
    """Ask, check, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="a corpus folder")
    parser.add_argument("--server", required=True, help="address of the language-model server")
    parser.add_argument("--samples", type=int, default=2, help="choices of each size per track")
    parser.add_argument("--invented", type=int, default=0, help="ask about so many invented evidences instead")
    arguments = parser.parse_args()

    if arguments.invented:
        asked = list(invented(arguments.invented))
    else:
        asked = list(questions(Corpus(arguments.root), arguments.samples))
    requests = [request_of(unit_of(evidence), RefineConfig()) for evidence in asked]
    ended: Counter[str] = Counter()
    for position, answer in ask_all(requests, address=arguments.server, concurrency=8):
        if not isinstance(answer, Reply):
            raise SystemExit(str(answer))
        verdict = check(answer.text, answer.finish_reason, asked[position], "")
        ended[verdict.fallback_reason or "accepted"] += 1
        if verdict.fallback_reason:
            print(f"- {requests[position].messages[-1]['content']}\n  {answer.text}\n  {verdict.detail}")
    print("\n| outcome | answers |\n|---|---|")
    for outcome, count in ended.most_common():
        print(f"| {outcome} | {count} of {len(asked)} |")


if __name__ == "__main__":
    main()
