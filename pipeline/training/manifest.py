"""What a training that begins from a snapshot reads: which files, how many clips of which split and label.

Made before any training, so that what must not be trained on is refused here: a snapshot that is not whole, texts that
give a label away outside of `train`, a person or film on both sides of a split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from pipeline.check import check
from pipeline.store import ShardFile

if TYPE_CHECKING:
    from pipeline.inspection.corpus import Corpus

TABLES_READ = ("motion", "descriptions", "videos")


class TrainingError(Exception):
    """A snapshot that must not be trained on: the message says why, and what to do."""


class ClipCount(BaseModel):
    """Training clips of one split and label; None is a video of no split, or without a label."""

    model_config = ConfigDict(frozen=True)

    split: str | None
    label: str | None
    num_clips: int
    num_without_text: int


class Manifest(BaseModel):
    """The material of one snapshot. A shard's name is the hash of its bytes, so that the files are exactly these."""

    model_config = ConfigDict(frozen=True)

    snapshot: int
    root: str
    files: dict[str, list[ShardFile]]
    clips: list[ClipCount]

    @property
    def num_clips(self) -> int:
        """Clips that have a text."""
        return sum(count.num_clips - count.num_without_text for count in self.clips)

    @property
    def num_without_text(self) -> int:
        """Clips that training leaves out."""
        return sum(count.num_without_text for count in self.clips)


def write_manifest(corpus: Corpus) -> tuple[Manifest, str]:
    """Look through a snapshot and store its manifest; the manifest, and where it lies. Reads every byte of it once.

    Raises:
        TrainingError: the snapshot is not whole, a group is on both sides of a split, or no clip has a text.
        LabelLeakError: a text was written with the label in view, and its split is not the one to train on.
    """
    if faults := check(corpus.store, [corpus.snapshot.number]).faults:
        raise TrainingError(
            f"snapshot {corpus.snapshot.number} has {len(faults)} faults, the first: {faults[0].in_words()}"
        )
    videos = corpus.arrow("videos", ["video_id", "split", "label", "group"]).to_pylist()
    refuse_shared_groups([(video["group"], video["split"]) for video in videos])
    described: set[str] = set()
    for split in {video["split"] for video in videos}:
        described |= set(corpus.texts_of_split(split)["track_id"])  # the gate: leaks are refused
    place = {video["video_id"]: (video["split"], video["label"]) for video in videos}
    clips: Counter[tuple[str | None, str | None]] = Counter()
    without_text: Counter[tuple[str | None, str | None]] = Counter()
    for clip in corpus.arrow("motion", ["track_id", "video_id"]).to_pylist():
        clips[place[clip["video_id"]]] += 1
        without_text[place[clip["video_id"]]] += clip["track_id"] not in described
    manifest = Manifest(
        snapshot=corpus.snapshot.number,
        root=corpus.store.key if corpus.store.folder else corpus.place,
        files={name: corpus.snapshot.files(name) for name in TABLES_READ},
        clips=[
            ClipCount(split=split, label=label, num_clips=count, num_without_text=without_text[split, label])
            for (split, label), count in sorted(clips.items(), key=lambda one: [part or "" for part in one[0]])
        ],
    )
    if not manifest.num_clips:
        raise TrainingError(
            f"no clip of snapshot {manifest.snapshot} has a text: `facescribe status` says what is refused and why"
        )
    return manifest, corpus.store.write_training(manifest.snapshot, manifest.model_dump_json(indent=1))


def refuse_shared_groups(groups: list[tuple[str | None, str | None]]) -> None:
    """Raise TrainingError if a group (a person, a film) is in two splits. Pairs of group and split, None for none."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for group, split in groups:
        if group is not None and split is not None:
            splits[group].add(split)
    if shared := sorted(group for group, found in splits.items() if len(found) > 1):
        raise TrainingError(
            f"{len(shared)} groups are on both sides of a split, the first is {shared[0]!r} in "
            f"{' and '.join(sorted(splits[shared[0]]))}: give all its videos one split in the annotations, and build"
        )
