"""MELD: 13,708 utterances of the series Friends, cut out one by one; several faces are in most of them.

On the disk, as `MELD.Raw.tar.gz` and the three archives in it leave it (the repository has the tables in data/MELD)::

    train_sent_emo.csv   train_splits/dia0_utt0.mp4
    dev_sent_emo.csv     dev_splits_complete/dia0_utt0.mp4
    test_sent_emo.csv    output_repeated_splits_test/dia0_utt0.mp4

Also read: `train/train_splits` and its like, `train`, `dev`, `test`, and tables in these folders. Columns: Sr No.,
Utterance, Speaker, Emotion, Sentiment, Dialogue_ID, Utterance_ID, Season, Episode, StartTime, EndTime; utterances have
commas and quotation marks. Dialogues begin at 0 in each part, so `dia0_utt0.mp4` is three clips: `train/dia0_utt0`,
`validation/dia0_utt0` and `test/dia0_utt0` here.

Known of the published archives: dia110_utt7 of dev is not there (issues 22 and 27 of declare-lab/MELD); dia125_utt3 of
train cannot be decoded (issue 39), and dia279_utt15 of test is broken (MERTools); dia66_utt9, dia66_utt10, dia49_utt4,
dia49_utt5 of dev, and dia108_utt2 and all `final_videos_test*` of test have no row (issue 22); three clips are cut
wrongly (issue 20). On a Mac the archive of test leaves a file `._…` beside each.

Label: Emotion, of the speaker, who need not be the face that is seen most. Split: the official one; it is the protocol
`meld`, of one fold. Group: the dialogue; the same persons speak in all three parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from natsort import natsorted

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.listing import DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.datasets.rows import read_table
from pipeline.videos.label_names import label_name
from pipeline.videos.paths import path_text

TITLE = "MELD (2019)"
LICENCE = "MELD: annotation GPL-3.0; the clips are of a television series, for research alone"
LABELS = ("neutral", "surprise", "fear", "sadness", "happiness", "disgust", "anger")
"""In the order of the authors' baseline; their word for happiness is joy."""

PROTOCOL = "meld"

VARIANTS: Mapping[str, str] = {"raw": "one video an utterance, as cut from the series"}

_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "train": ("train", ("train_splits", "train/train_splits", "train")),
        "validation": ("dev", ("dev_splits_complete", "dev/dev_splits_complete", "dev")),
        "test": ("test", ("output_repeated_splits_test", "test/output_repeated_splits_test", "test")),
    }
)
"""Our name of a part: its own name in the set, and the spellings of the folder of its clips."""

PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = MappingProxyType(
    {
        (PROTOCOL, "1", part): dict(zip(LABELS, counts, strict=True))
        for part, counts in (
            ("train", (4710, 1205, 268, 683, 1743, 271, 1109)),
            ("validation", (470, 150, 40, 111, 163, 22, 153)),
            ("test", (1256, 281, 50, 208, 402, 68, 345)),
        )
    }
)
"""Of the rows of the tables, 9,989 + 1,109 + 2,610. Source: the set's README, table "Dataset Distribution"."""

KNOWN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "validation/dia110_utt7": ("missing", "not in the published archive either"),
        "train/dia125_utt3": ("unreadable", "cannot be decoded in the published archive"),
        "test/dia279_utt15": ("unreadable", "broken in the published archive"),
        "train/dia309_utt0": ("unreadable", "cut wrongly in the published archive"),
        "test/dia220_utt0": ("unreadable", "cut wrongly in the published archive: four minutes"),
        "test/dia38_utt4": ("unreadable", "cut wrongly in the published archive: five minutes"),
    }
)
"""Clips that are faulty as published: the kind of the fault, and what it is."""

_KNOWN_EXTRA = frozenset(
    {
        *(f"validation/{name}" for name in ("dia66_utt9", "dia66_utt10", "dia49_utt4", "dia49_utt5")),
        "test/dia108_utt2",
    }
)
_COLUMNS = ("Emotion", "Dialogue_ID", "Utterance_ID")
_NUMBER = re.compile(r"\d{1,5}", re.ASCII)
_CLIP = re.compile(r"dia(\d{1,5})_utt(\d{1,5})", re.ASCII)
_FINAL = "final_videos_test"


def read(folder: Path, variant: str | None = None) -> Listing:
    """List MELD below `folder`, which holds `train_sent_emo.csv` and `train_splits`.

    Raises:
        DatasetError: no table and no folder of clips is there, or another variant was asked for.
    """
    if variant not in (None, *VARIANTS):
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    places = {part: on_disk.find(folder, *spellings) for part, (_, spellings) in _PARTS.items()}
    tables = {part: _table_path(folder, own) for part, (own, _) in _PARTS.items()}
    if not any((folder / table).is_file() for table in tables.values()):
        held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
        raise DatasetError(f"{folder} holds no {TITLE}: looked for {', '.join(tables.values())}; found {held}")
    faults: list[Fault] = []
    clips: list[DatasetClip] = []
    files = []
    for part in _PARTS:
        paths = _videos(folder, part, places[part], faults)
        labels, is_there = _labels(folder, part, tables[part], faults)
        if is_there:
            files.append(tables[part])
        for name, label in labels.items():
            clips.append(
                DatasetClip(
                    name=name,
                    path=paths.get(name),
                    label=label,
                    split=part,
                    folds=(FoldPart(PROTOCOL, "1", part),),
                    group=name.rpartition("_")[0],
                    licence=LICENCE,
                )
            )
            if name not in paths:
                is_known = KNOWN.get(name, ("", ""))[0] == "missing"
                looked = f"looked for {name.rpartition('/')[2]}.mp4 in {_PARTS[part][1][0]}"
                detail = f"{KNOWN[name][1]}; {looked}" if is_known else looked
                faults.append(Fault("missing", name, detail, is_known))
            elif name in KNOWN and KNOWN[name][0] != "missing":
                faults.append(Fault(*(KNOWN[name][0], name, KNOWN[name][1]), is_known=True))
        for name in natsorted(set(paths) - set(labels)):
            is_known = name in _KNOWN_EXTRA or _FINAL in name
            faults.append(Fault("extra", paths[name], f"{tables[part]} does not name it", is_known))
    return Listing(
        dataset="meld",
        variant="raw",
        folder=folder,
        clips=tuple(natsorted(clips, key=lambda clip: clip.name)),
        faults=tuple(faults),
        annotation_files=tuple(files),
        published=PUBLISHED,
    )


def _table_path(folder: Path, own: str) -> str:
    """Where the table of a part lies: the first place that has it, or where it is to be."""
    name = f"{own}_sent_emo.csv"
    places = (name, f"data/MELD/{name}", f"{own}/{name}", f"annotations/{name}")
    return next((place for place in places if (folder / place).is_file()), name)


def _videos(folder: Path, part: str, place: Path | None, faults: list[Fault]) -> dict[str, str]:
    """The videos of a part by the clip's name; `dia007_utt1.mp4` is none."""
    if place is None or not place.is_dir():
        return {}

    def name_of(file: str) -> str | None:
        stem = Path(file).stem
        return f"{part}/{stem}" if _CLIP.fullmatch(stem) or stem.startswith(_FINAL) else None

    return on_disk.by_name(folder, on_disk.clip_files(place, 0), name_of, faults)


def _labels(folder: Path, part: str, file: str, faults: list[Fault]) -> tuple[dict[str, str | None], bool]:
    """The label of each clip that a table names, and whether the table is there. Of two labels for one clip: none."""
    table = read_table(folder, file, _COLUMNS, faults)
    labels: dict[str, str | None] = {}
    seen: dict[str, str] = {}
    for row in table.rows:
        emotion, dialogue, utterance = (row.values[column] for column in _COLUMNS)
        if not (_NUMBER.fullmatch(dialogue) and _NUMBER.fullmatch(utterance)):
            detail = f"expected numbers of a dialogue and an utterance, found {dialogue[:40]!r} and {utterance[:40]!r}"
            faults.append(Fault("bad_line", row.where, detail))
            continue
        name = f"{part}/dia{int(dialogue)}_utt{int(utterance)}"
        label = label_name(emotion)
        known = label if label in LABELS else None
        if known is None:
            detail = f"{name}: {emotion[:40]!r} is no emotion of this set; the clip has no label"
            faults.append(Fault("unknown_label", row.where, detail))
        if name not in seen:
            labels[name], seen[name] = known, row.where
        elif known in (labels[name], None):
            faults.append(Fault("named_twice", row.where, f"{name} is also in {seen[name]}"))
        else:
            detail = f"{name} is {labels[name]} in {seen[name]} and {known} here; the clip has no label"
            faults.append(Fault("label_conflict", row.where, detail))
            labels[name] = None
    return labels, table.is_there
