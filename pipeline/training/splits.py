"""Who is trained on and who is tested with: the source's own split, or one by people or videos, and never both.

What stays together is the group (a person, a film) where it is known, and else the video: no clip of one such unit is
ever in another part than the rest of it. Validation is carved from train, never from test.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from pipeline.descriptions.label_policy import LabelLeakError, refuse_seen_labels
from pipeline.stage import StageConfig, content_hash
from pipeline.training.manifest import TrainingError, refuse_shared_groups
from pipeline.training.sampling import permutation

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

COLUMNS = ("clip_id", "track_id", "video_id", "label", "group", "split")
LEAK_COLUMNS = ("saw_label", "draft_saw_label")


class SplitConfig(StageConfig):
    """How clips are divided into train, validation and test."""

    by: Literal["official", "identity", "source"] = "official"
    """`official`: as the source's annotation says. `identity`: anew, by group, which every clip must then have.
    `source`: anew, by group where it is known and by video where it is not."""

    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of train's clips that is carved off for validation, whole groups or videos, labels in proportion. An
    official split that has a validation part of its own keeps that."""

    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all clips to test with, where the split is made anew."""


@dataclass(frozen=True)
class SplitPlan:
    """The part of each clip. Clips without a label, or of no part, are not in it; `left_out` counts them by reason."""

    table: pa.Table
    """COLUMNS, in clip_id order."""

    left_out: Mapping[str, int]

    @classmethod
    def of(cls, clips: ClipList, parts: Mapping[str, str], left_out: Mapping[str, int] | None = None) -> SplitPlan:
        """A split from the part of each clip by its id, such as one fold of a cross-validation.

        Raises:
            TrainingError: a group is in two parts, a clip is unknown or without a label, train lacks a class, or a part
                has a name of its own.
            LabelLeakError: a text that was written with the label in view would be outside of train.
        """
        if strangers := sorted(set(parts.values()) - set(PARTS)):
            raise TrainingError(f"split {strangers[0]!r} is none of {', '.join(PARTS)}: rename it in the annotations")
        known = clips.table.filter(pc.is_in(clips.table["clip_id"], pa.array(sorted(parts), pa.string())))
        if len(known) != len(parts):
            raise TrainingError(f"{len(parts) - len(known)} clips of the split are not in the list: plan it anew")
        split = pa.array([parts[clip_id] for clip_id in known["clip_id"].to_pylist()], pa.string())
        known = known.drop_columns(["split"]).append_column("split", split)
        _refuse(known.select([*COLUMNS, *LEAK_COLUMNS]).to_pylist())
        table = known.select(list(COLUMNS)).combine_chunks().replace_schema_metadata(None)
        return cls(table, dict(left_out or {}))

    @cached_property
    def key(self) -> str:
        """Hash of which clip is where, and of its label and group."""
        return content_hash([self.table])[:32]

    @property
    def labels(self) -> list[str]:
        """The labels of train, sorted: what a network is made to tell apart."""
        return sorted(set(self.table.filter(pc.equal(self.table["split"], "train"))["label"].to_pylist()))

    @property
    def part_of(self) -> dict[str, str]:
        """The part of each clip, by its id."""
        return dict(zip(self.table["clip_id"].to_pylist(), self.table["split"].to_pylist(), strict=True))

    def positions(self, clips: ClipList, part: Part) -> NDArray[np.int64]:
        """Rows of the clip list that are in a part, in clip_id order."""
        wanted = self.table.filter(pc.equal(self.table["split"], part))["clip_id"].combine_chunks()
        return np.flatnonzero(pc.is_in(clips.table["clip_id"].combine_chunks(), wanted).to_numpy(zero_copy_only=False))

    def report(self) -> str:
        """Clips of each part and label, with how many videos and groups they come from, as a table in Markdown."""
        rows = self.table.to_pylist()
        labels = sorted({row["label"] for row in rows})
        lines = [f"| part | {' | '.join([*labels, 'clips', 'videos', 'groups'])} |", "|---" * (len(labels) + 4) + "|"]
        for part in PARTS:
            own = [row for row in rows if row["split"] == part]
            counts = Counter(row["label"] for row in own)
            groups = {row["group"] for row in own if row["group"] is not None}
            unknown = any(row["group"] is None for row in own)
            said = [*(counts[label] for label in labels), len(own), len({row["video_id"] for row in own})]
            lines.append(
                f"| {part} | {' | '.join(map(str, said))} | {len(groups)}{' and unknown' if unknown else ''} |"
            )
        return "\n".join([*lines, *(f"left out: {n} clips: {why}" for why, n in sorted(self.left_out.items()))])

    def write(self, path: Path) -> None:
        """Store the split as Parquet."""
        said = {b"left_out": json.dumps(dict(self.left_out)).encode(), b"key": self.key.encode()}
        pq.write_table(self.table.replace_schema_metadata(said), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> SplitPlan:
        """Read a stored split.

        Raises:
            TrainingError: its content is not what its hash says.
        """
        try:
            table = pq.read_table(path, partitioning=None)
            said = table.schema.metadata or {}
            plan = cls(table.replace_schema_metadata(None), json.loads(said.get(b"left_out", b"{}")))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
            raise TrainingError(f"{path} is damaged ({error}): start the run anew, or restore the file") from error
        if said.get(b"key", b"") != plan.key.encode():
            raise TrainingError(f"{path} was changed since it was written: start the run anew, or restore the file")
        return plan


def plan_splits(clips: ClipList, config: SplitConfig, seed: int, *, labels: Sequence[str] | None = None) -> SplitPlan:
    """Divide the clips. `labels`: leave out clips of any other.

    Raises:
        TrainingError: no labels, a class that train lacks, a group on both sides, groups that are not known: with what
            to do.
        LabelLeakError: a text that was written with the label in view would be outside of train.
    """
    rows = clips.table.select(["clip_id", "video_id", "label", "group", "split"]).to_pylist()
    left_out: Counter[str] = Counter()
    taken = [row for row in rows if not (why := _why_left_out(row, config, labels)) or left_out.update([why])]
    if not taken:
        raise TrainingError(
            f"none of {len(rows)} clips can take part ({_in_words(left_out) or 'the list is empty'}): name labels and "
            "splits with `facescribe build --annotations FILE`, or choose `by` identity or source for a split of ours"
        )
    parts = _official(taken) if config.by == "official" else _anew(taken, config, seed)
    if config.validation_share and "validation" not in parts.values():
        train = [row for row in taken if parts[row["clip_id"]] == "train"]
        shares = {"train": 1 - config.validation_share, "validation": config.validation_share}
        parts |= _divide(train, shares, seed, "validation")
    try:
        return SplitPlan.of(clips, parts, left_out)
    except LabelLeakError as error:
        error.add_note(
            "Such texts may be in train alone: set `validation_share` to 0 and `by` to official, or refine unlabelled"
        )
        raise


def _why_left_out(row: Mapping[str, Any], config: SplitConfig, labels: Sequence[str] | None) -> str | None:
    if row["label"] is None:
        return "without a label"
    if labels is not None and row["label"] not in labels:
        return "of another label"
    if config.by == "official" and row["split"] is None:
        return "of no official split"
    return None


def _official(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if not any(row["split"] == "train" for row in rows):
        found = sorted({str(row["split"]) for row in rows})
        raise TrainingError(
            f"no clip is of the official split 'train' (found: {', '.join(found)}): give splits in the annotations, or "
            "choose `by` identity or source for a split of ours"
        )
    return {row["clip_id"]: row["split"] for row in rows}


def _anew(rows: Sequence[Mapping[str, Any]], config: SplitConfig, seed: int) -> dict[str, str]:
    if config.by == "identity" and (unknown := [row for row in rows if row["group"] is None]):
        videos = sorted({row["video_id"] for row in unknown})
        raise TrainingError(
            f"{len(videos)} videos have no group, the first is {videos[0]}: who is in them is not known, so no split "
            "by identity can be made. Give groups in the annotations, or choose `by` source"
        )
    if len({_unit(row) for row in rows}) < 2:
        raise TrainingError(
            f"all {len(rows)} clips are of one group or video ({_unit(rows[0])[1]!r}): it cannot be on both sides of a "
            "split; more people or videos are needed"
        )
    parts = _divide(rows, {"train": 1 - config.test_share, "test": config.test_share}, seed, "test")
    if "test" not in parts.values():
        raise TrainingError(
            "no group or video can be spared for the test, because each is the only one of some label: more people or "
            "videos of these labels are needed"
        )
    return parts


Unit = tuple[str, str]


def _unit(row: Mapping[str, Any]) -> Unit:
    """What must stay together."""
    return ("group", row["group"]) if row["group"] is not None else ("video", row["video_id"])


def _divide(rows: Sequence[Mapping[str, Any]], shares: Mapping[str, float], seed: int, purpose: str) -> dict[str, str]:
    """The part of each clip: unit by unit, the largest first, to where the labels are then nearest to their shares."""
    units: defaultdict[Unit, list[str]] = defaultdict(list)
    labels: defaultdict[Unit, Counter[str]] = defaultdict(Counter)
    for row in rows:
        units[_unit(row)].append(row["clip_id"])
        labels[_unit(row)][row["label"]] += 1
    totals = sum(labels.values(), Counter[str]())
    named = sorted(units)
    drawn = [named[at] for at in permutation(len(named), seed, purpose)]
    filled = {part: Counter[str]() for part in shares}
    part_of: dict[Unit, str] = {}
    for unit in sorted(drawn, key=lambda one: -len(units[one])):
        growth = {part: _growth(filled[part], labels[unit], totals) / share for part, share in shares.items()}
        part_of[unit] = min(shares, key=growth.__getitem__)
        filled[part_of[unit]].update(labels[unit])
    if not filled[purpose]:  # few units: the smallest that train can spare is better than an empty part
        spare = [unit for unit in drawn if all(filled["train"][k] > n for k, n in labels[unit].items())]
        if spare:
            part_of[min(spare, key=lambda one: len(units[one]))] = purpose
    return {clip_id: part_of[unit] for unit, clip_ids in units.items() for clip_id in clip_ids}


def _growth(filled: Counter[str], more: Counter[str], totals: Counter[str]) -> float:
    """How much the squared shares of the labels grow in a part that gets more clips: slowest where most are missing."""
    return sum(((filled[k] + n) ** 2 - filled[k] ** 2) / totals[k] ** 2 for k, n in more.items())


def _refuse(rows: Sequence[Mapping[str, Any]]) -> None:
    if unlabelled := [row["clip_id"] for row in rows if row["label"] is None]:
        raise TrainingError(f"{len(unlabelled)} clips of the split have no label, the first is {unlabelled[0]}")
    refuse_shared_groups([(row["group"], row["split"]) for row in rows])
    refuse_shared_groups([(f"video {row['video_id']}", row["split"]) for row in rows])
    tracks = {row["track_id"]: row for row in rows}
    refuse_seen_labels(
        {"track_id": track, "split": row["split"], "saw_label": any(row[name] for name in LEAK_COLUMNS)}
        for track, row in tracks.items()
    )
    of_train = {row["label"] for row in rows if row["split"] == "train"}
    missing = Counter(row["label"] for row in rows if row["label"] not in of_train)
    if missing:
        raise TrainingError(
            f"train has no clip of {', '.join(map(repr, sorted(missing)))}, but the other parts have "
            f"{_in_words(missing)}: what is never seen cannot be told. Add clips of it, leave the label out with "
            "`labels`, or choose another seed or smaller shares"
        )


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
