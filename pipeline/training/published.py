"""Figures that others have published of a protocol, to stand beside ours: read from `published.toml`, never measured.

`docs/results.md` holds the same figures as tables (`markdown_of_published`); a test keeps the two alike.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from pipeline.inspection.panels import Panel
from pipeline.training.protocols import IDENTITY

KINDS: Mapping[str, str] = {
    "visual": "Visual alone",
    "visual with text": "Visual, with texts of the classes or of the clips",
    "audio and visual": "Audio and visual",
    "language model, not tuned": "Language models that were not tuned on the set",
    "language model, tuned on the set": "Language models that learnt from the set, or from data with some of it",
}
"""What a method is given, as the heading of its table."""

TITLES: Mapping[str, str] = {
    "dfew": "DFEW",
    "ferv39k": "FERV39k",
    "mafw-single": "MAFW, single expressions",
    "afew": "AFEW",
    "crema_d": "CREMA-D",
    "ravdess": "RAVDESS",
}
"""Protocols that figures are known of."""

NOT_OURS = "Published by others, each as its source prints it; none of it was measured here."

TRAPS = (
    "Others may have kept the epoch that is best on the test videos, left out videos, or trained on other frames: read "
    "docs/results.md before you compare."
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Printed(_Frozen):
    """UAR and WAR in per cent; None where the source prints none."""

    uar: float | None = None
    war: float | None = None

    def __str__(self) -> str:
        return " / ".join("-" if value is None else f"{value:.2f}" for value in (self.uar, self.war))


class Method(_Frozen):
    """A method and what was published of it."""

    name: str
    kind: str
    """One of KINDS."""
    source: str
    """Where the figures were read."""
    backbone: str = ""
    note: str = ""
    """What must be known before they are compared."""
    figures: Mapping[str, Printed]
    """By protocol, one of TITLES."""

    @model_validator(mode="before")
    @classmethod
    def _with_figures(cls, said: dict[str, object]) -> dict[str, object]:
        figures = {name: said[name] for name in TITLES if name in said}
        return {name: value for name, value in said.items() if name not in figures} | {"figures": figures}


@cache
def published() -> tuple[Method, ...]:
    """Every method, in the order of the file."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    return tuple(Method.model_validate(said) for said in tomllib.loads(text)["method"])


def panel_of_published(protocol: str) -> Panel:
    """What others have published of a protocol, as a table; without any, it says so."""
    name = protocol.removesuffix(IDENTITY)
    rows = [
        (one.kind, one.name, str(one.figures[name]), one.source, one.note) for one in published() if name in one.figures
    ]
    meaning = f"{NOT_OURS} UAR / WAR in per cent. {TRAPS}"
    if protocol != name:
        meaning += f" They are of the official folds of {name}, with persons or films on both sides where it has them."
    return Panel(
        "published",
        f"Published by others: {TITLES.get(name, name)}",
        meaning,
        ("kind", "method", "UAR / WAR", "read in", "to know"),
        list(rows),
        None if rows else f"no published figures are known of {name}; they are of {', '.join(TITLES)}",
    )


def markdown_of_published() -> str:
    """The tables of `docs/results.md`: one a kind, a column for each protocol that it has figures of."""
    parts = []
    for kind, title in KINDS.items():
        methods = [one for one in published() if one.kind == kind]
        protocols = [name for name in TITLES if any(name in one.figures for one in methods)]
        lines = [f"### {title}", ""]
        lines.append(_row(["method", "what sees", *(TITLES[name] for name in protocols), "read in", "to know"]))
        lines.append("|---" * (len(protocols) + 4) + "|")
        lines += [_row([one.name, one.backbone, *_cells(one, protocols), one.source, one.note]) for one in methods]
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


def _cells(method: Method, protocols: Sequence[str]) -> list[str]:
    return [str(method.figures[name]) if name in method.figures else "" for name in protocols]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
