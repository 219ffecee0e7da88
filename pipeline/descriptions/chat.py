"""One question to a language model and its answer: what is sent, what comes back, and the two ways it can fail.

`ServerUnavailable` is transient: nothing is wrong with the request, a later run asks again. `RequestRefused` is
permanent: the server read the request and said no, and would again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class ServerUnavailable(RuntimeError):
    """The server gave no answer: away, overloaded, failing or set up otherwise. Transient."""


class RequestRefused(RuntimeError):
    """The server will not answer this request, in its own words. Permanent."""


@dataclass(frozen=True)
class Request:
    """One question, with everything that decides its answer."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    """Role and content, as the chat API takes them; a content is text, or a list of text and image_url parts."""
    json_schema: Mapping[str, Any] | None = None
    """The schema that the answer must follow; None leaves its form open."""
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """Makes a drawn answer repeatable, as far as the server can; None lets it choose."""

    def body(self) -> dict[str, Any]:
        """The JSON that is sent, all of it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        if self.seed is not None:
            body["seed"] = self.seed
        if self.json_schema is not None:
            schema = {"name": "answer", "schema": dict(self.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def canonical(self) -> str:
        """`body` as compact JSON, to make keys from. Keys are not sorted: a schema's order is the answer's order."""
        return json.dumps(self.body(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    def sampling(self) -> str:
        """How words are drawn and how many, as JSON."""
        names = ("temperature", "top_p", "seed", "max_tokens")
        return json.dumps({name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Reply:
    """One answer as the server gave it, unjudged."""

    text: str
    """Empty where the server sent none."""
    finish_reason: str
    """`stop`, or `length` for one cut at `max_tokens`."""
    prompt_tokens: int
    completion_tokens: int
    model: str
    """The model's name as the server says it."""


Answer = Reply | ServerUnavailable | RequestRefused
