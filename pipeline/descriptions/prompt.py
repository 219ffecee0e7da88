"""Prompts are files with a version in their name: read them, check them, fill in what is asked about."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

PROMPTS = Path(__file__).with_name("prompts")

_PLACE = re.compile(r"\{(\w+)\}")


class Example(BaseModel):
    """A question that is shown as answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    assistant: str


class Prompt(BaseModel):
    """One prompt file. Texts hold places such as {notes}; which ones there are, `fill` is told by its caller."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    system: str
    user: str
    """The question."""
    frame: str = ""
    """Said before each picture that is shown, with places {number}, {count} and {time_s}."""
    seen: str = ""
    """Added to the question where a vision-language model has said what it saw, in the place {seen}."""
    label: str = ""
    """Added to the question where the writer may see the label, in the place {label}."""
    again: str = ""
    """Said after an answer that failed the check, with what was wrong with it in the place {fault}."""
    examples: tuple[Example, ...] = ()


class PromptError(ValueError):
    """There is no such prompt, or its file cannot be used."""


def read_prompt(name: str) -> Prompt:
    """The prompt of that name in pipeline/descriptions/prompts, or at that path if it ends in .toml.

    Raises:
        PromptError: no such file, no TOML, or fields that no prompt has.
    """
    path = Path(name) if name.endswith(".toml") else PROMPTS / f"{name}.toml"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in PROMPTS.glob("*.toml")))
        raise PromptError(f"no prompt {name!r}; there are: {known}, or a path to a .toml file of your own") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PromptError(f"prompt {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PromptError(f"prompt {path}: {place}: {first['msg']}; known: {', '.join(Prompt.model_fields)}") from None


@cache
def _read(path: Path, mtime_ns: int) -> Prompt:
    return Prompt.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


PARTS_OF_SOME = {"seen", "label"}
"""Fields of a prompt that only some questions hold."""


def hashes_of_prompt(name: str) -> dict[str, str]:
    """SHA-256 of what the prompt says to everyone, and of each part that is said to some. Errors as `read_prompt`."""
    prompt = read_prompt(name)
    parts = {"prompt": prompt.model_dump_json(exclude=PARTS_OF_SOME)}
    parts |= {f"prompt.{part}": getattr(prompt, part) for part in sorted(PARTS_OF_SOME)}
    return {part: hashlib.sha256(text.encode()).hexdigest() for part, text in parts.items()}


def fill(text: str, facts: Mapping[str, str]) -> str:
    """`text` with each {place} replaced by its fact, once: what a fact itself holds is never read as a place.

    Raises:
        PromptError: a place that there is no fact for.
    """

    def fact(match: re.Match[str]) -> str:
        if match.group(1) not in facts:
            raise PromptError(f"a prompt has the place {match.group()}, expected one of: {', '.join(sorted(facts))}")
        return facts[match.group(1)]

    return _PLACE.sub(fact, text)


def messages_of(prompt: Prompt, question: str) -> list[dict[str, Any]]:
    """System, examples and the question, as the chat API takes them. What all requests share comes first: servers keep
    what they computed for a shared beginning."""
    messages = [{"role": "system", "content": prompt.system}]
    for example in prompt.examples:
        messages.append({"role": "user", "content": example.user})
        messages.append({"role": "assistant", "content": example.assistant})
    return [*messages, {"role": "user", "content": question}]
