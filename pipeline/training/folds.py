"""Folds of a cross-validation: read from a table or from DFEW's own lists, matched with the clips of a corpus.

Those of a protocol that lies in the corpus itself are read by protocols.py.

Nothing is dropped in silence: a video that a fold names and the corpus lacks is listed, and so is one whose label is
another there. `official` folds are as their source made them, people on both sides included, which is counted;
`identity` folds divide the same videos anew, by group.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from pipeline.training.chance import generator
from pipeline.training.clips import ClipList
from pipeline.training.errors import EvaluationError
from pipeline.training.splits import PARTS, SplitConfig, SplitPlan, plan_splits
from pipeline.videos.label_names import DFEW_LABELS, label_name

SHOWN = 3
"""Names that an error gives."""

Division = Literal["official", "identity"]
DIVISIONS: Mapping[Division, str] = {
    "official": "folds as their source made them",
    "identity": "the same videos divided anew, no person or film on both sides",
}

_DFEW_LIST = re.compile(r"set_(\d+)\.csv\Z")


class FoldError(EvaluationError):
    """Folds that cannot be used: the message says which file or video, what was expected, and what to do."""


@dataclass(frozen=True)
class Entry:
    """What a fold says of a video: its part, and its label if the file has one."""

    part: str
    label: str | None


@dataclass(frozen=True)
class Fold:
    """One fold: what it says of each video, by the key of the file, or once it is matched by video_id."""

    name: str
    entries: Mapping[str, Entry]

    def of_part(self, part: str) -> set[str]:
        """The videos of one part."""
        return {key for key, entry in self.entries.items() if entry.part == part}


@dataclass(frozen=True)
class Folds:
    """All folds of a file or folder."""

    source: Path
    key: Literal["video_id", "path", "name"]
    """What names a video: the hash of its bytes, its path below the source folder, or its file name without ending."""
    folds: tuple[Fold, ...]


# --- reading


def read_folds(path: Path) -> Folds:
    """Read folds from a CSV or Parquet file, or from DFEW's folder `EmoLabel_DataSplit`.

    A file has the columns `path` or `video_id`, `fold`, and `split` (train, validation, test), with a row for each fold
    and video; without `split`, `fold` is the one that a video is tested in, and it trains in all others. `label` may be
    there too.

    Raises:
        FoldError: neither of these, an unknown part, a video twice in a fold, or a fold without a test or train video.
    """
    if not path.exists():
        raise FoldError(f"no folds at {path}: expected a CSV or Parquet file, or DFEW's folder EmoLabel_DataSplit")
    folds = _of_dfew(path) if path.is_dir() else _of_table(path)
    for fold in folds.folds:
        for part in ("train", "test"):
            if not fold.of_part(part):
                raise FoldError(f"{path}: fold {fold.name} has no video of the part {part!r}")
    return folds


def _of_table(path: Path) -> Folds:
    rows = _rows(path)
    columns = set(rows[0]) if rows else set()
    keys = [name for name in ("video_id", "path") if name in columns]
    if len(keys) != 1 or "fold" not in columns:
        raise FoldError(
            f"{path}: expected the columns path or video_id, and fold (and split, label), got: "
            f"{', '.join(sorted(columns)) or 'no rows'}"
        )
    (key,) = keys
    said: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for number, row in enumerate(rows, start=1):
        video, fold = row[key], row["fold"]
        if not video or not fold:
            raise FoldError(f"{path}: row {number} has no {'fold' if video else key}")
        if video in said[fold]:
            raise FoldError(f"{path}: {key} {video!r} is in fold {fold} twice, again in row {number}: keep one")
        part = row.get("split") if "split" in columns else "test"
        if part not in PARTS:
            raise FoldError(f"{path}: row {number} has the split {part!r}; expected one of {', '.join(PARTS)}")
        label = row.get("label")
        if label and label.isdecimal():
            raise FoldError(f"{path}: row {number} has the label {label!r}: give names, numbers mean nothing alone")
        said[fold][video] = Entry(part, label_name(label) if label else None)
    if "split" not in columns:
        said = _tested_once(path, said)
    return Folds(path, "video_id" if key == "video_id" else "path", tuple(_sorted(said)))


def _tested_once(path: Path, said: Mapping[str, dict[str, Entry]]) -> defaultdict[str, dict[str, Entry]]:
    every = Counter(video for entries in said.values() for video in entries)
    if twice := [video for video, count in every.items() if count > 1]:
        raise FoldError(
            f"{path}: {len(twice)} videos are in several folds, the first is {twice[0]!r}. Without a column `split` "
            "each may be in one alone, the fold that it is tested in"
        )
    whole: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for fold in said:
        for other, entries in said.items():
            part = "test" if other == fold else "train"
            whole[fold] |= {video: Entry(part, entry.label) for video, entry in entries.items()}
    return whole


def _of_dfew(folder: Path) -> Folds:
    said: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    files = [path for path in sorted(folder.rglob("*.csv")) if _DFEW_LIST.search(path.name)]
    for file in files:
        number = str(int(_DFEW_LIST.search(file.name)[1]))  # type: ignore[index]
        words = f"{file.parent.name}/{file.name}".lower()
        parts = [part for part in ("train", "test") if part in words]
        if len(parts) != 1:
            raise FoldError(f"{file}: neither its name nor its folder says whether it is of train or of test")
        for row in _rows(file):
            if not {"video_name", "label"} <= set(row):
                raise FoldError(f"{file}: expected the columns video_name, label, got: {', '.join(row)}")
            name = _name_of(row["video_name"] or "")
            if name in said[number]:
                raise FoldError(
                    f"{file}: video {name!r} is in fold {number} twice, in train and test or in one of them"
                )
            said[number][name] = Entry(parts[0], _dfew_label(file, row["label"] or ""))
    if not said:
        raise FoldError(
            f"{folder} has no lists of folds: expected DFEW's EmoLabel_DataSplit, with train(single-labeled)/set_1.csv "
            "and test(single-labeled)/set_1.csv, or give a CSV or Parquet file"
        )
    return Folds(folder, "name", tuple(_sorted(said)))


def _dfew_label(file: Path, word: str) -> str:
    if not word.isdecimal():
        return label_name(word)
    if not 1 <= int(word) <= len(DFEW_LABELS):
        raise FoldError(f"{file}: label {word}; DFEW numbers them from 1 ({DFEW_LABELS[0]}) to 7 ({DFEW_LABELS[-1]})")
    return DFEW_LABELS[int(word) - 1]


def _rows(path: Path) -> list[dict[str, str | None]]:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
        else:
            names = path.open(encoding="utf-8-sig").readline().strip().split(",")
            text = dict.fromkeys((name.strip().strip('"') for name in names), pa.string())
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=text, strings_can_be_null=False))
        table = table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
    except OSError as error:
        raise FoldError(f"cannot read folds {path}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise FoldError(f"{path} is neither CSV in UTF-8 with a header nor Parquet: {error}") from error
    return [{name: (value or "").strip() or None for name, value in row.items()} for row in table.to_pylist()]


def _sorted(said: Mapping[str, Mapping[str, Entry]]) -> list[Fold]:
    order = sorted(said, key=lambda name: (int(name) if name.isdecimal() else 0, name))
    return [Fold(name, said[name]) for name in order]


def _name_of(path: str) -> str:
    """A file name without its ending; of numbers without zeros before them, since sources disagree about these."""
    stem = PurePosixPath(path).stem
    return str(int(stem)) if stem.isdecimal() else stem


# --- matching with a corpus


@dataclass(frozen=True)
class Matched:
    """Folds over the videos of a clip list, and what did not match."""

    source: str
    """The file, folder or protocol that the folds are of."""
    clips: ClipList
    """With labels of the folds where the corpus has none."""
    folds: tuple[Fold, ...]
    missing: Mapping[str, Mapping[str, Entry]]
    """By fold: what it names and the corpus has no training clip of."""
    num_unlisted: int
    """Videos with clips that no fold names: they take no part."""
    identity: tuple[Fold, ...] = ()
    """Folds by identity that the source brings itself; without them `identity_folds` makes some."""

    def of_folds(self, names: Collection[str]) -> Matched:
        """These folds alone, of all that there are. The labels stay those of all folds.

        Raises:
            FoldError: there is no fold of a name.
        """
        there = [fold.name for fold in self.folds]
        if unknown := [name for name in names if name not in there]:
            raise FoldError(f"{self.source} has no fold {unknown[0]!r}; there are: {', '.join(there)}")
        return replace(
            self,
            folds=tuple(fold for fold in self.folds if fold.name in names),
            missing={name: lost for name, lost in self.missing.items() if name in names},
        )

    @property
    def lost(self) -> dict[str, Entry]:
        """Every video that a fold names and the corpus has no clip of, once; as it is tested, where it is."""
        entries = [item for lost in self.missing.values() for item in lost.items()]
        return dict(sorted(entries, key=lambda item: item[1].part == "test"))

    def missing_in_words(self) -> list[str]:
        """A line that says how many videos are missing and which, or none."""
        if not (lost := self.lost):
            return []
        tested = {fold: sum(entry.part == "test" for entry in own.values()) for fold, own in self.missing.items()}
        counted = ", ".join(f"{number} of fold {fold}" for fold, number in tested.items() if number)
        return [
            f"{len(lost)} videos that the folds name have no training clip in the corpus: {some(lost)}. Test videos "
            f"among them: {counted or 'none'}. `facescribe show rejects` says why a video gave none."
        ]


def match_folds(folds: Folds, clips: ClipList) -> Matched:
    """Find the videos of the folds among the clips.

    Raises:
        FoldError: no video matches, a name fits two videos, labels disagree, or a video has a label nowhere.
    """
    rows = clips.table.select(["video_id", "path", "label"]).to_pylist()
    videos = {row["video_id"]: row for row in rows}
    found = _finder(folds, videos)
    matched: list[Fold] = []
    missing: dict[str, dict[str, Entry]] = {}
    for fold in folds.folds:
        own, lost = {}, {}
        for key, entry in fold.entries.items():
            if (video := found(key)) is None:
                lost[key] = entry
            else:
                own[video] = entry
        matched.append(Fold(fold.name, own))
        missing[fold.name] = lost
    if not any(fold.entries for fold in matched):
        first = next(iter(folds.folds[0].entries))
        raise FoldError(
            f"none of the videos of {folds.source} has a training clip in snapshot {clips.snapshot} of {clips.corpus}: "
            f"the folds name them by {folds.key}, such as {first!r}, the corpus has {some([r['path'] for r in rows])}"
        )
    listed = {video for fold in matched for video in fold.entries}
    labels = labels_of(
        str(folds.source), matched, videos, "add a column `label` to the folds, or build with --annotations"
    )
    return Matched(
        source=str(folds.source),
        clips=labelled(clips, labels),
        folds=tuple(matched),
        missing=missing,
        num_unlisted=len(videos.keys() - listed),
    )


def _finder(folds: Folds, videos: Mapping[str, Mapping[str, Any]]) -> Any:
    if folds.key == "video_id":
        return lambda key: key if key in videos else None
    by_path = {row["path"]: video for video, row in videos.items()}
    by_end: defaultdict[str, set[str]] = defaultdict(set)
    for path, video in by_path.items():
        parts = PurePosixPath(path).parts
        for start in range(len(parts)):
            by_end["/".join(parts[start:])].add(video)
        if folds.key == "name":
            by_end[f"name {_name_of(path)}"].add(video)

    def found(key: str) -> str | None:
        if key in by_path:
            return by_path[key]
        if folds.key == "name":
            fitting = by_end.get(f"name {key}", set())
        else:
            # Lists of peers hold absolute paths of their authors' machines: what both have is the end of it.
            parts = PurePosixPath(key).parts
            ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
            fitting = by_end.get("/".join(parts)) or {by_path[end] for end in ends if end in by_path}
        if len(fitting) > 1:
            paths = sorted(videos[video]["path"] for video in fitting)
            raise FoldError(
                f"{folds.source}: {key!r} fits {len(fitting)} videos of the corpus ({some(paths)}): give the folds as "
                "a table with video_id, or build a corpus of this source alone"
            )
        return next(iter(fitting), None)

    return found


def labels_of(
    source: str, matched: Sequence[Fold], videos: Mapping[str, Mapping[str, Any]], otherwise: str
) -> dict[str, str]:
    """The label of each video that a fold names: the fold's, or else the corpus'.

    Raises:
        FoldError: a video has a label nowhere, and then `otherwise` says what to do; or two that disagree.
    """
    labels: dict[str, str] = {}
    for fold in matched:
        for video, entry in fold.entries.items():
            own = videos[video]["label"]
            said = entry.label or labels.get(video) or (label_name(own) if own else None)
            if said is None:
                raise FoldError(
                    f"video {videos[video]['path']} has a label neither in {source} nor in the corpus: {otherwise}"
                )
            for where, other in (("the corpus", own), ("another fold", labels.get(video))):
                if other and label_name(other) != said:
                    raise FoldError(
                        f"video {videos[video]['path']} is {said!r} in fold {fold.name} of {source} and "
                        f"{other!r} in {where}: which is right? Mend the annotations or the folds"
                    )
            labels[video] = said
    return labels


def labelled(clips: ClipList, labels: Mapping[str, str]) -> ClipList:
    """The clips with these labels, and no label for a video that no fold names."""
    column = pa.array([labels.get(video) for video in clips.table["video_id"].to_pylist()], pa.string())
    place = clips.table.column_names.index("label")
    return replace(clips, table=clips.table.set_column(place, clips.table.field("label"), column))


# --- splits


@dataclass(frozen=True)
class FoldSplit:
    """The split of one fold, and who is on both sides of it."""

    name: str
    plan: SplitPlan
    num_shared_groups: int
    """Persons or films with videos in train and in test."""
    num_shared_test: int
    """Test videos of these."""


def split_of_fold(
    matched: Matched, fold: Fold, config: SplitConfig, seed: int, *, labels: Sequence[str] | None = None
) -> FoldSplit:
    """Which clip trains, validates and tests in a fold. Validation is carved from train, whole groups at a time.

    People on both sides are left as the fold has them: an official fold is what others were scored with. `labels`:
    leave out clips of any other.

    Raises:
        FoldError: train or test has no video with a clip.
        TrainingError: train lacks a class, or validation would take all of one.
        LabelLeakError: a text that was written with the label in view would be outside of train.
    """
    for part in ("train", "test"):
        if not fold.of_part(part):
            raise FoldError(
                f"fold {fold.name} of {matched.source} has no {part} video with a training clip in snapshot "
                f"{matched.clips.snapshot} of {matched.clips.corpus}: `facescribe status` says what was refused and why"
            )
    table = matched.clips.table.filter(
        pc.is_in(matched.clips.table["video_id"], pa.array(sorted(fold.entries), pa.string()))
    )
    rows = table.select(["video_id", "group"]).to_pylist()
    parts = [fold.entries[row["video_id"]].part for row in rows]
    tested = {row["group"] for row, part in zip(rows, parts, strict=True) if part == "test"} - {None}
    learnt = {row["group"] for row, part in zip(rows, parts, strict=True) if part != "test"} - {None}
    shared = tested & learnt
    # A shared group goes by two names, so that validation is still carved by whole groups of train.
    groups = [
        f"{row['group']} (in test)" if row["group"] in shared and part == "test" else row["group"]
        for row, part in zip(rows, parts, strict=True)
    ]
    for name, values in (("split", parts), ("group", groups)):
        column = pa.array(values, pa.string())
        table = table.set_column(table.column_names.index(name), table.field(name), column)
    official = config.model_copy(update={"by": "official"})
    plan = plan_splits(replace(matched.clips, table=table), official, seed, labels=labels)
    videos = {
        row["video_id"] for row, part in zip(rows, parts, strict=True) if part == "test" and row["group"] in shared
    }
    return FoldSplit(fold.name, plan, len(shared), len(videos))


def identity_folds(matched: Matched, seed: int) -> tuple[Fold, ...]:
    """As many folds over the same test videos, each group tested in one fold alone; labels and sizes as near as can be.

    Raises:
        FoldError: a video has no group, or is tested in two folds.
    """
    rows = matched.clips.table.select(["video_id", "path", "group", "label"]).to_pylist()
    videos = {row["video_id"]: row for row in rows}
    listed = {video for fold in matched.folds for video in fold.entries}
    unknown = sorted(video for video in listed if videos[video]["group"] is None)
    if unknown:
        raise FoldError(
            f"{len(unknown)} of {len(listed)} videos have no group, the first is {videos[unknown[0]]['path']}: who is "
            "in them is not known, so no folds by identity can be made. Give groups in the annotations and build"
        )
    tested = Counter(video for fold in matched.folds for video in fold.of_part("test"))
    if twice := [video for video, count in tested.items() if count > 1]:
        raise FoldError(
            f"{len(twice)} videos are tested in several folds, the first is {videos[twice[0]]['path']}: folds by "
            "identity are made of folds that test each video once"
        )
    sizes = {fold.name: len(fold.of_part("test")) for fold in matched.folds}
    rest = len(listed) - sum(sizes.values())
    shares = {name: size / len(listed) for name, size in sizes.items()} | ({"": rest / len(listed)} if rest else {})
    place = _by_group([videos[video] for video in sorted(listed)], shares, seed)
    label = {video: videos[video]["label"] for video in listed}
    made = tuple(
        Fold(
            fold.name,
            {video: Entry("test" if place[video] == fold.name else "train", label[video]) for video in sorted(listed)},
        )
        for fold in matched.folds
    )
    if empty := [fold.name for fold in made if not fold.of_part("test")]:
        raise FoldError(
            f"fold {empty[0]} would have no test video: there are fewer groups than folds, or a single group is larger "
            "than a fold"
        )
    return made


def _by_group(videos: Sequence[Mapping[str, Any]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The place of each video: group by group, the largest first, to where the labels are then nearest to their shares.

    One row a video: a long one of many clips is one test case like any other.
    """
    groups: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for video in videos:
        groups[video["group"]].append(video)
    totals = Counter(video["label"] for video in videos)
    named = sorted(groups)
    drawn = [named[number] for number in generator(seed, "folds by identity").permutation(len(named))]
    filled: dict[str, Counter[str]] = {place: Counter() for place in shares}
    places: dict[str, str] = {}
    for group in sorted(drawn, key=lambda one: -len(groups[one])):
        counts = Counter(video["label"] for video in groups[group])

        def excess(place: str, counts: Counter[str] = counts) -> float:
            # By how much the squared counts grow, each measured in what the place should have of that label.
            return sum(
                ((filled[place][label] + count) ** 2 - filled[place][label] ** 2) / (shares[place] * totals[label] ** 2)
                for label, count in counts.items()
            )

        chosen = min(shares, key=excess)
        filled[chosen].update(counts)
        places |= {video["video_id"]: chosen for video in groups[group]}
    return places


def some(names: Any) -> str:
    """The first names, and whether there are more."""
    listed = list(dict.fromkeys(names))
    return ", ".join(map(repr, listed[:SHOWN])) + (", …" if len(listed) > SHOWN else "")
