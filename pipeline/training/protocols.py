"""Protocols that lie in the corpus: which part each video has in each fold, as the annotation of its data set says.

The readers of data sets fill `videos.folds`. A set with one official split is a protocol of one fold. A protocol may
have labels of its own, such as those of MAFW's compound expressions: they stand in the folds, and go before the
video's own. A protocol that is called NAME-identity holds the folds of NAME with persons kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from natsort import natsorted

from pipeline.inspection.corpus import Corpus
from pipeline.training.clips import ClipList
from pipeline.training.folds import Entry, Fold, FoldError, Matched, labelled, labels_of
from pipeline.training.splits import PARTS

IDENTITY = "-identity"
"""What the name of a protocol ends with whose folds keep persons apart."""

COLUMNS = ("video_id", "path", "label", "clip_name", "folds")


@dataclass(frozen=True)
class Listed:
    """A video that some fold names, with a clip or without."""

    name: str
    """As its data set calls it, or else its path."""
    path: str
    label: str | None
    folds: tuple[Mapping[str, Any], ...]


def protocols_of(corpus: Corpus) -> dict[str, list[str]]:
    """The folds of each protocol that the corpus knows of, by name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for video in _listed(corpus).values():
        for said in video.folds:
            found[said["protocol"]].add(said["fold"])
    return {name: natsorted(found[name]) for name in sorted(found)}


def match_protocol(name: str, corpus: Corpus, clips: ClipList) -> Matched:
    """The folds of a protocol over the clips of a corpus; a video without a clip is among the missing, by its name.

    Raises:
        FoldError: no such protocol, a video is in two parts of a fold, or has a label nowhere.
    """
    listed = _listed(corpus)
    folds = _folds(name, listed)
    if not folds:
        raise FoldError(_unknown(name, corpus))
    with_clips = set(clips.table["video_id"].to_pylist())
    matched = tuple(_of_videos(fold, with_clips) for fold in folds)
    # A label of the protocol is another question than the video's own, and does not contradict it.
    relabelled = {video for fold in folds for video, entry in fold.entries.items() if entry.label}
    own = {
        video: {"path": one.path, "label": None if video in relabelled else one.label} for video, one in listed.items()
    }
    labels = labels_of(
        f"protocol {name}", matched, own, "build with annotations that have one, or with the reader of its data set"
    )
    named = {video for fold in folds for video in fold.entries}
    return Matched(
        source=f"protocol {name}",
        clips=labelled(clips, labels),
        folds=matched,
        missing={
            fold.name: {
                listed[video].name: entry if entry.label else replace(entry, label=listed[video].label)
                for video, entry in natsorted(fold.entries.items(), key=lambda item: listed[item[0]].name)
                if video not in with_clips
            }
            for fold in folds
        },
        num_unlisted=len(with_clips - named),
        identity=tuple(_of_videos(fold, with_clips) for fold in _folds(f"{name}{IDENTITY}", listed)),
    )


def _listed(corpus: Corpus) -> dict[str, Listed]:
    """Every video of the source that a fold names: also those that could not be opened, which `videos` lacks."""
    found: dict[str, Listed] = {}
    for table in ("sources", "videos"):
        for row in corpus.arrow(table, COLUMNS).to_pylist():
            if row["folds"]:
                name = row["clip_name"] or row["path"]
                found[row["video_id"]] = Listed(name, row["path"], row["label"], tuple(row["folds"]))
    return found


def _folds(name: str, listed: Mapping[str, Listed]) -> list[Fold]:
    said: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for video, one in listed.items():
        for place in one.folds:
            if place["protocol"] != name:
                continue
            if place["part"] not in PARTS:
                raise FoldError(
                    f"video {one.name} has the part {place['part']!r} in fold {place['fold']} of protocol {name}; "
                    f"expected one of {', '.join(PARTS)}"
                )
            entry = Entry(place["part"], place["label"])
            before = said[place["fold"]].setdefault(video, entry)
            if before != entry:
                raise FoldError(
                    f"video {one.name} is in fold {place['fold']} of protocol {name} twice, as {before.part} "
                    f"({before.label or one.label}) and as {entry.part} ({entry.label or one.label}): the same content "
                    "stands under two names, or the lists are wrong; `facescribe verify` says which"
                )
    return [Fold(fold, said[fold]) for fold in natsorted(said)]


def _of_videos(fold: Fold, kept: set[str]) -> Fold:
    return Fold(fold.name, {video: entry for video, entry in fold.entries.items() if video in kept})


def _unknown(name: str, corpus: Corpus) -> str:
    there = protocols_of(corpus)
    where = f"snapshot {corpus.snapshot.number} of {corpus.place}"
    if not there:
        return (
            f"no protocol {name!r}: {where} has no folds at all. Build from a data set, such as `facescribe build "
            "dfew:FOLDER`, or from a manifest with folds, or give a file: `facescribe crossval --folds FILE`"
        )
    told = ", ".join(f"{known} ({len(folds)} fold{'s' if len(folds) > 1 else ''})" for known, folds in there.items())
    return f"no protocol {name!r} in {where}; there are: {told}"
