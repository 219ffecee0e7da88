"""Be one of the other programs that bench/serving.py compares with: send the requests of a file, say how long it took.

Run by it, never by hand, with the Python of the program's own environment: `serving_peer.py vllm` or `distilabel`.
Takes jobs as lines of JSON on stdin and answers each with a line on stdout, so that a program is loaded once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Only the standard library up here: this file is also run by an environment that holds nothing of ours.

Job = dict[str, Any]
"""`origin` of the server, `requests`: a file with one body a line, `concurrency`."""
Seconds = tuple[float, float]
"""Of the clock, and of processors for this process."""
Send = Callable[[Job], Seconds]
"""Send all requests of a job, and return what it took."""


def open_vllm() -> Send:
    """vLLM's own `vllm bench serve`, all requests waiting from the start, so many at a time. It streams the answers."""
    from vllm.benchmarks.serve import add_cli_args, main
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser()  # type: ignore[no-untyped-call]
    add_cli_args(parser)

    def send(job: Job) -> Seconds:
        bodies = _bodies(job)
        shared = _all_but_messages(bodies)
        # Without its tokenizer it takes messages as they are, and asks for one token: the rest goes into the body.
        shared["max_completion_tokens"] = shared.pop("max_tokens")
        with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as folder:
            prompts = Path(folder, "prompts.jsonl")
            prompts.write_text("".join(json.dumps({"prompt": body["messages"]}) + "\n" for body in bodies))
            command = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", job["origin"]]
            command += ["--model", shared["model"], "--skip-tokenizer-init", "--extra-body", json.dumps(shared)]
            command += ["--dataset-name", "custom", "--dataset-path", str(prompts), "--disable-shuffle"]
            command += ["--num-prompts", str(len(bodies)), "--no-oversample", "--disable-tqdm"]
            command += ["--request-rate", "inf", "--max-concurrency", str(job["concurrency"])]
            began_cpu_s = time.process_time()
            result = main(parser.parse_args(command))
        if result["completed"] != len(bodies):
            raise SystemExit(f"vllm bench serve: {result['completed']} of {len(bodies)} requests were answered")
        return float(result["duration"]), time.process_time() - began_cpu_s

    return send


def open_distilabel() -> Send:
    """distilabel's chat task. It bounds requests by its batch size: a batch begins when the one before has ended."""
    from distilabel.models.llms import OpenAILLM  # type: ignore[import-not-found]
    from distilabel.steps.tasks import ChatGeneration  # type: ignore[import-not-found]

    def send(job: Job) -> Seconds:
        bodies, at_once = _bodies(job), job["concurrency"]
        further = _all_but_messages(bodies)
        options = {"max_new_tokens": further.pop("max_tokens"), "temperature": further.pop("temperature")}
        options |= {"top_p": further.pop("top_p")}
        llm = OpenAILLM(
            model=further.pop("model"),
            base_url=f"{job['origin']}/v1",
            api_key="none",
            generation_kwargs={**options, "extra_body": further},
        )
        task = ChatGeneration(llm=llm, input_batch_size=at_once)
        task.load()
        conversations = [{"messages": body["messages"]} for body in bodies]
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        answered = [
            row
            for start in range(0, len(bodies), at_once)
            for row in next(task.process(conversations[start : start + at_once]))
        ]
        took_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        task.unload()
        if sum(row["generation"] is not None for row in answered) != len(bodies):
            raise SystemExit("distilabel: not all requests were answered")
        return took_s

    return send


PROGRAMS: dict[str, Callable[[], Send]] = {"vllm": open_vllm, "distilabel": open_distilabel}


def _bodies(job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(job["requests"]).read_text(encoding="utf-8").splitlines()]


def _all_but_messages(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """What all bodies have in common. Raises SystemExit where they differ in more than their messages."""
    rests = [{name: value for name, value in body.items() if name != "messages"} for body in bodies]
    if any(rest != rests[0] for rest in rests):
        raise SystemExit("the requests differ in more than their messages: this program can send only one kind")
    return rests[0]


def main() -> None:
    """Open the program, say so, and do jobs until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=PROGRAMS)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the programs print much; only our answers go where the asker listens
    send = PROGRAMS[arguments.program]()
    print("ready", file=answers)
    for line in sys.stdin:
        print(json.dumps(send(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
