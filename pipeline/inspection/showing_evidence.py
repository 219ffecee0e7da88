"""Plot what was measured of one track beside what is claimed of it: a curve a side, events, and the claims as spans."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.inspection.page import name_unseen
from pipeline.inspection.showing_terminal import SIGNS
from schemas.actions import TOLD_ACTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pipeline.inspection.corpus import Corpus

MOVED_FROM = 0.2
"""Rise above rest from which an action without event or claim is drawn."""

MOST_LANES = 8
COLOURS = {"supported": "#2e7d32", "contradicted": "#c62828", "not_measurable": "#b58900"}
HATCHES = {"supported": "", "contradicted": "xx", "not_measurable": ".."}
SIDES = {"left": ("#1f77b4", "-"), "right": ("#d95f02", "--"), "middle": ("#444444", "-"), "both": ("#444444", "-")}


class ShownFigure(Figure):
    """A figure that a notebook shows, whatever was set up for matplotlib there, and that belongs to no window."""

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as picture:
            self.savefig(picture, format="png", dpi=100)
            return picture.getvalue()


def plot_evidence(corpus: Corpus, track_id: str) -> Figure:
    """The plot of one track; seconds from its start. The figure belongs to no window, and saves itself by `savefig`.

    Raises:
        KeyError: no such track, or nothing was measured of it.
    """
    curves = corpus.measures(track_id)
    video_id = corpus.video_of(track_id)
    (measured,) = corpus.of_track("actions", video_id, track_id, ["times_s", "events", "unmeasured"]).to_pylist()
    texts = corpus.of_track(
        "descriptions", video_id, track_id, ["text_version", "text", "claims", "status"]
    ).to_pylist()
    text: dict[str, Any] = texts[-1] if texts else {"text": "no text", "claims": [], "status": "none"}
    start_s = measured["times_s"][0] if measured["times_s"] else 0.0
    lanes = lanes_shown(curves, measured["events"], text["claims"])
    figure = ShownFigure(figsize=(9, 1.4 + 0.95 * max(len(lanes), 1)), layout="constrained")
    axes = figure.subplots(max(len(lanes), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axis, action in zip(axes, lanes, strict=False):
        _draw_lane(axis, action, curves)
        for event in measured["events"]:
            if event["action"] == action:
                _draw_event(axis, event, start_s)
        of_action = [claim for claim in text["claims"] if claim["action"] == action]
        for place, claim in enumerate(of_action):
            _draw_claim(axis, claim, top=1 - place / len(of_action), height=1 / len(of_action))
        for span in measured["unmeasured"]:
            axis.axvspan(span["start_s"] - start_s, span["end_s"] - start_s, color="#bbbbbb", alpha=0.35, lw=0)
    axes[-1].set_xlabel("seconds from the track's start", fontsize=8)
    figure.suptitle(_literal(f"{track_id} · {text['status']}"), fontsize=9, x=0.01, ha="left")
    axes[0].set_title(_literal(_short(text["text"])), fontsize=8, loc="left", wrap=True)
    return figure


def lanes_shown(curves: Any, events: list[dict[str, Any]], claims: list[dict[str, Any]]) -> list[str]:
    """Actions that are drawn: the claimed ones, then those with events, then those that moved; the most moved first."""
    moved = {action: float(np.nanmax(curves[action].to_numpy(), initial=0.0)) for action in curves.columns.levels[0]}
    claimed, with_event = {claim["action"] for claim in claims}, {event["action"] for event in events}
    drawn = [
        action
        for action in TOLD_ACTIONS
        if action in claimed or action in with_event or moved.get(action, 0.0) >= MOVED_FROM
    ]
    order = {action: (action not in claimed, action not in with_event, -moved.get(action, 0.0)) for action in drawn}
    return sorted(drawn, key=order.__getitem__)[:MOST_LANES]


def _draw_lane(axis: Axes, action: str, curves: Any) -> None:
    sides = curves[action] if action in curves.columns.levels[0] else None
    if sides is None:
        axis.text(0.99, 0.5, "no curve of its own", transform=axis.transAxes, ha="right", va="center", fontsize=7)
    else:
        for side in sides.columns:
            colour, line = SIDES[side]
            axis.plot(sides.index, sides[side], color=colour, linestyle=line, lw=1.2, label=side)
        axis.legend(fontsize=6, loc="upper right", frameon=False, ncols=2)
    axis.set_ylim(-0.25, 1.25)
    axis.set_yticks([0, 1], ["rest", "full"], fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_ylabel(action.replace("_", " ").replace(" ", "\n", 1), fontsize=7, rotation=0, ha="right", va="center")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_event(axis: Axes, event: dict[str, Any], start_s: float) -> None:
    onset_s, apex_s, offset_s = (event[name] - start_s for name in ("onset_s", "apex_s", "offset_s"))
    colour, _ = SIDES[event["side"]]
    axis.plot([onset_s, offset_s], [-0.12, -0.12], color=colour, lw=4, solid_capstyle="butt")
    axis.plot([apex_s], [-0.12], marker="|", color="white", ms=5)


def _draw_claim(axis: Axes, claim: dict[str, Any], *, top: float, height: float) -> None:
    """A claim as a span; of several claims of one action each has its part of the lane, from `top` down (0 to 1)."""
    verdict = claim["verdict"]
    axis.axvspan(
        claim["start_s"], claim["end_s"], ymin=top - height, ymax=top, hatch=HATCHES.get(verdict, ""), alpha=0.18,
        facecolor=COLOURS.get(verdict, "#777777"), edgecolor=COLOURS.get(verdict, "#777777"), lw=0.8,
    )  # fmt: skip
    denied = "no " if claim["polarity"] == "absent" else ""
    words = f"{SIGNS.get(verdict, ('·', ''))[0]} {denied}{claim['side']}, {claim['intensity']}"
    colour = COLOURS.get(verdict, "#333333")
    low, high = axis.get_ylim()
    axis.text(
        claim["start_s"], low + (top - 0.03) * (high - low), words, fontsize=7, va="top", color=colour, clip_on=True,
        bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
    )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} …"


def _literal(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin mathematics."""
    return str(name_unseen(text.replace("\n", " "))).replace("$", r"\$")
