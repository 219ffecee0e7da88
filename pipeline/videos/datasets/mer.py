"""MER 2023, 2024 and 2025/26: clips of Chinese films and series, a few labelled, most not; three layouts.

On the disk::

    mer2023   train/sample_00000000.avi  test1/ test2/ test3/   train-label.csv test1-label.csv (name,discrete,valence)
    mer2024   video-labeled/*.mp4  video-unlabeled/*.mp4        label-disdim.csv (name,discrete,…)
    mer2025   video/*.mp4  openface_face/ audio/                track1_train_disdim.csv (name,discrete,…)
              subtitle_chieng.csv (name,chinese,english)        track_all_candidates.csv (name)
              track2_train_ovmerd.csv (name,openset)            track3_train_ovmerd.csv (name,reason)
              track2_train_mercaptionplus.csv                   track3_train_mercaptionplus.csv

Tables of 2023 may lie in `test-labels`, and clips of `train` in `mer2023train/train`. Where `video-unlabeled` of 2024
is not there, `video-unlabeled-with-test2noise` is read, which has the noisy clips of the second test in place of the
clean ones. Some reasons go over several lines. `test3-label.csv` has no valence.

Six emotions: neutral, angry, happy, sad, worried, surprise. Label: `discrete`; the candidates of 2025 have none in
public (`track1_test_dis.csv`, where it is there, is read). Every video that is there is a clip: one without a label is
meant to be, not extra. Captions: the reasons of OV-MERD, which people corrected, in English. Those of MER-Caption+ and
both tables of open labels are written by models or are sets of words: they are not read as what people said, and their
rows are counted alone. Votes and groups: none are published.

Sizes that were published: 5,030 labelled clips in 2024, 7,369 in 2025 of 132,171 videos, 332 in OV-MERD, 31,327 in
MER-Caption+, 834 labelled in test3 of 2023; nobody published classes. Protocols: `mer2023-multi`, `mer2023-noise`,
`mer2023-semi` (train against test1, test2, test3), `mer2024`, `mer2025` (train alone; their tests have no labels).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from natsort import natsorted

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.listing import Caption, DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.datasets.rows import Row, read_table
from pipeline.videos.label_names import label_name
from pipeline.videos.paths import path_text

TITLE = "MER (2023, 2024, 2025 and 2026)"
LICENCE = "MER: academic research alone, no redistribution (EULA with the organisers)"
LABELS = ("neutral", "anger", "happiness", "sadness", "worry", "surprise")

VARIANTS: Mapping[str, str] = {
    "mer2025": "one folder of videos and a table a track",
    "mer2024": "video-labeled and video-unlabeled",
    "mer2023": "train, test1, test2 and test3",
}

PUBLISHED: Mapping[str, Mapping[tuple[str, str, str], Mapping[str, int]]] = MappingProxyType(
    {
        "mer2025": {("", "", ""): {"": 132171}, ("mer2025", "1", "train"): {"": 7369}},
        "mer2024": {("mer2024", "1", "train"): {"": 5030}},
        "mer2023": {("mer2023-semi", "1", "test"): {"": 834}},
    }
)
"""By variant; the label "" is all together. Source: READMEs and code of zeroQiaoba/MERTools; 834 is not looked up: it
is what we remember of their paper."""

_TESTS_2023: Mapping[str, str] = {"test1": "mer2023-multi", "test2": "mer2023-noise", "test3": "mer2023-semi"}


@dataclass(frozen=True, slots=True)
class _LabelTable:
    """A table that gives clips labels, and what part its clips are in."""

    spellings: tuple[str, ...]
    folds: tuple[FoldPart, ...]
    split: str
    has_labels: bool = True
    is_needed: bool = True


_TRAIN_2023 = tuple(FoldPart(protocol, "1", "train") for protocol in _TESTS_2023.values())

_TABLES: Mapping[str, tuple[_LabelTable, ...]] = {
    "mer2025": (
        _LabelTable(("track1_train_disdim.csv",), (FoldPart("mer2025", "1", "train"),), "train"),
        _LabelTable(("track1_test_dis.csv",), (FoldPart("mer2025", "1", "test"),), "test", is_needed=False),
        _LabelTable(("track_all_candidates.csv",), (), "test", has_labels=False, is_needed=False),
    ),
    "mer2024": (_LabelTable(("label-disdim.csv",), (FoldPart("mer2024", "1", "train"),), "train"),),
    "mer2023": (
        _LabelTable(("train-label.csv", "mer2023train/train-label.csv"), _TRAIN_2023, "train"),
        *(
            _LabelTable(
                (f"{test}-label.csv", f"test-labels/{test}-label.csv", f"test_labels/{test}-label.csv"),
                (FoldPart(protocol, "1", "test"),),
                "test",
                is_needed=False,
            )
            for test, protocol in _TESTS_2023.items()
        ),
    ),
}

_VIDEO_FOLDERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mer2025": (("video",),),
    "mer2024": (("video-labeled",), ("video-unlabeled", "video-unlabeled-with-test2noise")),
    "mer2023": (("train", "mer2023train/train"), ("test1",), ("test2",), ("test3",)),
}
"""For each folder of clips, the spellings of it."""

_OTHER_TABLES: tuple[tuple[str, str], ...] = (
    ("track2_train_ovmerd.csv", "openset"),
    ("track2_train_mercaptionplus.csv", "openset"),
    ("track3_train_mercaptionplus.csv", "reason"),
    ("subtitle_chieng.csv", ""),
)
"""Of 2025: tables whose names are checked against the videos, and nothing more; and their other column."""

_HUMAN_CAPTIONS = "track3_train_ovmerd.csv"


@dataclass
class _Notes:
    """What is said of one clip."""

    where: str
    split: str | None = None
    label: str | None = None
    is_disputed: bool = False
    folds: tuple[FoldPart, ...] = ()
    captions: list[Caption] = field(default_factory=list)


def read(folder: Path, variant: str | None = None) -> Listing:
    """List MER of any year below `folder`, by the layout that is there.

    Raises:
        DatasetError: no layout of these is there, or not the one that was named.
    """
    if variant not in (None, *VARIANTS):
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    variant = next((one for one in ((variant,) if variant else VARIANTS) if _is_there(folder, one)), None)
    if variant is None:
        held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
        wanted = ", ".join(tables[0].spellings[0] for tables in _TABLES.values())
        raise DatasetError(f"{folder} holds no {TITLE} as asked for: looked for one of {wanted}; found {held}")
    faults: list[Fault] = []
    paths = _find_videos(folder, variant, faults)
    notes: dict[str, _Notes] = {}
    files = []
    for table in _TABLES[variant]:
        file = next((name for name in table.spellings if (folder / name).is_file()), None)
        if file is not None:
            files.append(file)
            _read_labels(folder, file, table, notes, faults)
        elif table.is_needed:
            faults.append(Fault("missing_file", table.spellings[0], f"looked for it below {folder}"))
    for name in natsorted(set(notes) - set(paths)):
        faults.append(Fault("missing", name, f"named in {notes[name].where}; no video of this name is there"))
    for name in paths:
        notes.setdefault(name, _Notes("its video"))
    if variant == "mer2025":
        files += _read_others(folder, notes, faults)
    return Listing(
        dataset="mer",
        variant=variant,
        folder=folder,
        clips=tuple(
            DatasetClip(
                name=name,
                path=paths.get(name),
                label=None if one.is_disputed else one.label,
                split=one.split,
                folds=one.folds,
                captions=tuple(one.captions),
                licence=LICENCE,
            )
            for name, one in natsorted(notes.items(), key=lambda item: item[0])
        ),
        faults=tuple(faults),
        annotation_files=tuple(files),
        published=PUBLISHED[variant],
    )


def _is_there(folder: Path, variant: str) -> bool:
    """Whether a table of labels or a folder that no other year has is there."""
    tables = (name for table in _TABLES[variant] for name in table.spellings)
    return any((folder / name).is_file() for name in tables) or (
        variant == "mer2024" and on_disk.find(folder, "video-labeled") is not None
    )


def _find_videos(folder: Path, variant: str, faults: list[Fault]) -> dict[str, str]:
    """Every video of the folders that are there, by name."""
    entries = []
    for spellings in _VIDEO_FOLDERS[variant]:
        place = on_disk.find(folder, *spellings)
        if place is not None and place.is_dir():
            entries += list(on_disk.clip_files(place, 0))
    return on_disk.by_name(folder, iter(entries), lambda file: path_text(Path(file).stem), faults)


def _read_labels(folder: Path, file: str, table: _LabelTable, notes: dict[str, _Notes], faults: list[Fault]) -> None:
    """Put what a table says beside its clips."""
    columns = ("name", "discrete") if table.has_labels else ("name",)
    for row in _named(folder, file, columns, faults):
        name, label = row.values["name"], None
        if table.has_labels:
            label = label_name(row.values["discrete"])
            if label not in LABELS:
                detail = f"{name}: {row.values['discrete'][:40]!r} is none of {', '.join(LABELS)}; it has no label"
                faults.append(Fault("unknown_label", row.where, detail))
                label = None
        one = notes.get(name)
        if one is None:
            notes[name] = _Notes(row.where, table.split, label, folds=table.folds)
            continue
        if label is not None and one.label not in (label, None):
            detail = f"{name} is {one.label} in {one.where} and {label} here: the clip has no label"
            faults.append(Fault("label_conflict", row.where, detail))
            one.is_disputed = True
        elif one.split == table.split and (table.has_labels or one.where.startswith(f"{file}:")):
            faults.append(Fault("named_twice", row.where, f"{name} is also in {one.where}"))
        one.label = one.label or label
        if one.split != table.split:
            detail = f"{name} is in {one.split} by {one.where} and in {table.split} here: it is kept in test alone"
            faults.append(Fault("both_sides", row.where, detail))
            if one.split == "train":  # so that no test leaks
                one.split, one.folds, one.where = table.split, table.folds, row.where


def _named(folder: Path, file: str, columns: Sequence[str], faults: list[Fault]) -> Iterator[Row]:
    """Rows of a table that have a name."""
    for row in read_table(folder, file, columns, faults, has_long_fields="reason" in columns).rows:
        if row.values["name"]:
            yield row
        else:
            faults.append(Fault("bad_line", row.where, f"no name in the row {row.values!r:.90}; left out"))


def _read_others(folder: Path, notes: dict[str, _Notes], faults: list[Fault]) -> list[str]:
    """The tables of 2025 that give no label: captions that people wrote; of the others, whose clips are not there."""
    files = []
    for file, column in ((_HUMAN_CAPTIONS, "reason"), *_OTHER_TABLES):
        if not (folder / file).is_file():
            continue
        files.append(file)
        seen: dict[str, str] = {}
        for row in _named(folder, file, ("name", column) if column else ("name",), faults):
            name = row.values["name"]
            if name in seen:
                faults.append(Fault("named_twice", row.where, f"{name} is also in {seen[name]}"))
                continue
            seen[name] = row.where
            if name not in notes:
                notes[name] = _Notes(row.where)
                faults.append(Fault("missing", name, f"named in {row.where}; no video of this name is there"))
            if file == _HUMAN_CAPTIONS and row.values[column]:
                notes[name].captions.append(Caption("en", row.values[column]))
            elif file == _HUMAN_CAPTIONS:
                faults.append(Fault("no_caption", row.where, f"{name}: its {column} is empty"))
    return files
