"""A manifest, that is a table of one's own, as a data set: so that it is verified as the field's sets are."""

from __future__ import annotations

from pathlib import Path

from pipeline.videos.annotations import read_manifest
from pipeline.videos.datasets.listing import Caption, DatasetClip, FoldPart, Listing

NAME = "manifest"


def list_manifest(path: Path) -> Listing:
    """The clips of a manifest, each named by its path. Files beside it that it does not name are not its business.

    Raises:
        AnnotationError: the table cannot be used.
    """
    clips = tuple(
        DatasetClip(
            name=name,
            path=name,
            label=said.get("label"),
            votes={vote["label"]: vote["votes"] for vote in said.get("votes") or ()} or None,
            split=said.get("split"),
            folds=tuple(
                FoldPart(one["protocol"], one["fold"], one["part"], one["label"]) for one in said.get("folds") or ()
            ),
            group=said.get("group"),
            captions=tuple(Caption(one["language"], one["text"]) for one in said.get("captions") or ()),
            licence=said.get("licence"),
            consent=said.get("consent"),
        )
        for name, said in read_manifest(path).items()
    )
    return Listing(NAME, "table", path.parent, clips, annotation_files=(path.name,))
