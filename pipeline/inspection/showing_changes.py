"""What became of texts between two snapshots, word by word: as a dataframe, as HTML and as plain text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from markupsafe import Markup, escape

from pipeline.inspection.frames import CorpusFrame, frame_of
from pipeline.inspection.gallery_text import word_changes
from pipeline.inspection.page import name_unseen
from pipeline.inspection.showing_terminal import plain

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

    from pipeline.inspection.corpus import Corpus

MOST_SHOWN = 50
"""Changes that a notebook or a terminal shows by itself; `.frame` has all."""

MARKS = {"out": ("[-", "-]"), "in": ("{+", "+}"), "same": ("", "")}
"""Round words that went and words that came, in plain text, as `git diff --word-diff` has them."""


@dataclass(frozen=True)
class TextChanges:
    """The texts that are not the same in two snapshots; it shows itself."""

    before: int
    after: int
    frame: CorpusFrame
    """track_id, path, label, what (added, removed, changed), status_before, status_after, before, after; only what
    differs, and null where there was no text."""

    num_same: int

    def __len__(self) -> int:
        return len(self.frame)

    def __str__(self) -> str:
        lines = [self._summary()]
        for row in self.frame.head(MOST_SHOWN).to_dict("records"):
            lines += ["", plain(f"{row['path']} · {row['track_id']} · {_status(row)}"), f"  {words_marked(row)}"]
        return "\n".join([*lines, *self._rest()])

    __repr__ = __str__

    def style(self) -> Styler:
        """The rows as a pandas Styler: words that went are struck out, words that came are underlined; escaped."""
        shown = self.frame.head(MOST_SHOWN)
        rows = shown.to_dict("records")
        drawn = pd.DataFrame(
            {
                "path": shown["path"].tolist(),
                "track": shown["track_id"].tolist(),
                "label": shown["label"].tolist(),
                "what": shown["what"].tolist(),
                "status": [_status(row) for row in rows],
                "text": pd.Series([_html_marked(row) for row in rows], dtype=object),  # stays Markup
            }
        )
        styler = drawn.style.format(_escaped, na_rep="").hide(axis="index")
        styler.set_caption(str(escape(self._summary())))
        return styler.set_table_styles(
            [
                {
                    "selector": "td",
                    "props": "text-align: left; vertical-align: top; overflow-wrap: break-word; max-width: 14rem",
                },
                {"selector": "td:last-child", "props": "overflow-wrap: anywhere; max-width: 44rem"},
                {"selector": "th", "props": "text-align: left"},
                {"selector": "caption", "props": "text-align: left"},
                {"selector": "del", "props": "background: #b3261e30"},
                {"selector": "ins", "props": "background: #1e7d3230"},
            ]
        )

    def _repr_html_(self) -> str:
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        return f"{self.style().to_html()}{rest}"

    def _summary(self) -> str:
        counts = self.frame["what"].value_counts().to_dict()
        told = ", ".join(f"{counts[what]} {what}" for what in ("changed", "added", "removed") if what in counts)
        return f"snapshot {self.before} to {self.after}: {told or 'no text changed'}, {self.num_same} the same"

    def _rest(self) -> list[str]:
        left = len(self.frame) - MOST_SHOWN
        return [f"… {left} more in .frame"] if left > 0 else []


def changes_between(before: Corpus, after: Corpus, tracks: Collection[str]) -> TextChanges:
    """The newest texts of these tracks, and of tracks that are gone, that differ between two snapshots."""
    connection = after.connect("texts")
    connection.register("_before", _texts(before))
    connection.register("_after", _texts(after))
    connection.execute("create table _tracks as select unnest(?) as track_id", [sorted(tracks)])
    joined = """
        select coalesce(a.track_id, b.track_id) as track_id, coalesce(a.path, b.path) as path,
            coalesce(a.label, b.label) as label,
            case when b.track_id is null then 'added' when a.track_id is null then 'removed'
                when a.text = b.text and a.status = b.status then 'same' else 'changed' end as what,
            b.status as status_before, a.status as status_after, b.text as before, a.text as after
        from _after a full join _before b on a.track_id = b.track_id
        where coalesce(a.track_id, b.track_id) in (select track_id from _tracks) or a.track_id is null"""
    rows = connection.sql(
        f"select * from ({joined}) where what <> 'same' order by what = 'removed', what = 'added', path, track_id"
    ).to_arrow_table()
    ((num_same,),) = connection.execute(f"select count(*) from ({joined}) where what = 'same'").fetchall()
    return TextChanges(before.snapshot.number, after.snapshot.number, frame_of(rows, after, "diff"), int(num_same))


def _texts(corpus: Corpus) -> pa.Table:
    names = ["track_id", "path", "label", "status", "text"]
    rows = corpus.newest_texts()[names]
    return pa.Table.from_pandas(
        rows, schema=pa.schema([(name, pa.string()) for name in names]), preserve_index=False, safe=False
    )


def words_marked(row: Any) -> str:
    """Both texts of a row in one line: words that went as [-words-], words that came as {+words+}."""
    parts = []
    for kind, words in _runs(row):
        first, last = MARKS[kind]
        parts.append(f"{first}{plain(words)}{last}")
    return " ".join(parts)


def _html_marked(row: Any) -> Markup:
    tags = {"out": Markup("<del>{}</del>"), "in": Markup("<ins>{}</ins>"), "same": Markup("{}")}
    return Markup(" ").join(tags[kind].format(name_unseen(words)) for kind, words in _runs(row))


def _runs(row: Any) -> list[tuple[str, str]]:
    before, after = (row[name] if isinstance(row[name], str) else None for name in ("before", "after"))
    if before is not None and after is not None:
        changes = word_changes(before, after)
        if changes is not None:
            return [(change.kind, change.words) for change in changes]
    return [(kind, words) for kind, words in (("out", before), ("in", after)) if words is not None]


def _status(row: Any) -> str:
    told = [row[name] for name in ("status_before", "status_after") if isinstance(row[name], str)]
    return " → ".join(dict.fromkeys(told))


def _escaped(value: Any) -> str:
    return str(escape(name_unseen(value)))
