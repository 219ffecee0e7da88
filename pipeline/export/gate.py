"""What may leave a corpus at all: asked once by every way out, before a byte is written."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.export.licence_policy import refuse_unlicensed
from pipeline.inspection.corpus import Corpus
from schemas.reviews import REVIEWS

TEXT_TABLES = ("drafts", "descriptions")

OF_EVERY_SOURCE = {"sources", "rejects", "ledger"}
"""Tables that speak of files that are no row of `videos`."""


def refuse_what_may_not_leave(corpus: Corpus, tables: Collection[str], without_licence: str | None) -> int:
    """Raise unless these tables may go out; how many videos go without licence or consent.

    Raises:
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    of_every = "sources" if OF_EVERY_SOURCE & set(tables) else "videos"
    rows = corpus.arrow(of_every, ["video_id", "path", "licence", "consent"]).to_pylist()
    if REVIEWS.name in tables:  # they stay when their video leaves the source, and nobody knows its terms any more
        judged = set(corpus.arrow(REVIEWS.name, ["video_id"])["video_id"].to_pylist())
        left = sorted(filter(None, judged - {row["video_id"] for row in rows}))
        rows += [{"path": f"video {one}, which left the source", "licence": None, "consent": None} for one in left]
    num_without = refuse_unlicensed(rows, without_licence)
    splits = dict(zip(*corpus.arrow("videos", ["video_id", "split"]).to_pydict().values(), strict=True))
    for name in (name for name in TEXT_TABLES if name in tables):
        rows = corpus.arrow(name, ["track_id", "video_id", "saw_label"]).to_pylist()
        refuse_seen_labels([{**row, "split": splits[row["video_id"]]} for row in rows])
    return num_without
