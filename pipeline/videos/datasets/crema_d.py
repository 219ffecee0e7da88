"""CREMA-D: 7,442 takes of 91 actors who say twelve sentences in six emotions, each rated by some ten people.

On the disk, as `git lfs clone` of CheyneyComputerScience/CREMA-D leaves it::

    VideoFlash/1001_IEO_NEU_XX.flv              actor, sentence, emotion, intensity (LO, MD, HI, XX: not asked for)
    AudioWAV/*.wav  AudioMP3/*.mp3              the sound alone: not read
    SentenceFilenames.csv                       "Stimulus_Number","Filename": the list of all takes
    processedResults/tabulatedVotes.csv         three rows a take: who heard it, who saw it, who did both
    processedResults/summaryTable.csv           the winners of the votes: not read
    VideoDemographics.csv                       one row an actor

What is regular and what is not: 82 takes an actor (one sentence, IEO, in three intensities, the others in one) would
be 7,462; twenty were never published: 1002_TIE_NEU, 1076_ITS_NEU and all six takes of 1008_WSI, 1009_MTI, 1019_ITH.
Without git-lfs every video is a text file of some 130 bytes. Four takes do not show what their names say, as the set's
README tells: 1076_MTI_NEU and 1076_MTI_SAD (very short, an error picture), 1064_TIE_SAD (no duration), 1064_IEO_DIS_MD
(a minute with all emotions).

Label: the emotion that the actor was asked for, out of the name. Votes: of the people who saw the face and heard
nothing (rows 2xxxxx), since that is what is in the picture; they often disagree with the name. Group: the actor.
Protocol `crema_d`: the five subject-disjoint folds of HiCMAE (Sun et al. 2024, preprocess/creamd_av.py and the lists
in saved/data/crema-d): 18 actors in a row are the test of each fold, the last 19, the four takes above in none.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from natsort import natsorted

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.listing import DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.datasets.rows import read_table
from pipeline.videos.label_names import label_name
from pipeline.videos.paths import path_of, path_text

TITLE = "CREMA-D (2014)"
LICENCE = "ODbL 1.0 (database), DbCL 1.0 (contents): CREMA-D, Cao et al. 2014"
LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
PROTOCOL = "crema_d"

VARIANTS: Mapping[str, str] = {"flash": "videos with sound as the raters saw them, VideoFlash/*.flv"}

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
EMOTIONS = ("NEU", "HAP", "SAD", "ANG", "FEA", "DIS")
"""In the order of SentenceFilenames.csv."""

ACTORS = tuple(str(number) for number in range(1001, 1092))

NEVER_PUBLISHED = frozenset(
    {"1002_TIE_NEU_XX", "1076_ITS_NEU_XX"}
    | {f"{take}_{emotion}_XX" for take in ("1008_WSI", "1009_MTI", "1019_ITH") for emotion in EMOTIONS}
)

BROKEN: Mapping[str, str] = MappingProxyType(
    {
        "1064_IEO_DIS_MD": "a minute long, with all emotions",
        "1064_TIE_SAD_XX": "no duration",
        "1076_MTI_NEU_XX": "very short, no sound",
        "1076_MTI_SAD_XX": "an error picture, very short, no sound",
    }
)
"""Takes that do not show what their names say. Source: the set's README; HiCMAE leaves the same four out."""

LIST = "SentenceFilenames.csv"
VOTES = "processedResults/tabulatedVotes.csv"
ACTOR_TABLE = "VideoDemographics.csv"

_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX)", re.ASCII)
_VOTE_COLUMNS = ("A", "D", "F", "H", "N", "S")
_VOTE_ID = re.compile(r"([123])\d{5}", re.ASCII)
_FACE_ALONE = "2"
_ACTORS_A_FOLD, _NUM_FOLDS = 18, 5
_LFS_POINTER = b"version https://git-lfs"


def take_names() -> Iterator[str]:
    """The names of all 7,442 takes, in the order of SentenceFilenames.csv."""
    for actor in ACTORS:
        for sentence in SENTENCES:
            for emotion in EMOTIONS:
                is_graded = sentence == "IEO" and emotion != "NEU"
                for intensity in ("LO", "MD", "HI") if is_graded else ("XX",):
                    name = f"{actor}_{sentence}_{emotion}_{intensity}"
                    if name not in NEVER_PUBLISHED:
                        yield name


def folds_of(name: str) -> tuple[FoldPart, ...]:
    """The part of a take in each of the five folds; none of the four that are broken."""
    if name in BROKEN or name[:4] not in ACTORS:
        return ()
    tested_in = min(ACTORS.index(name[:4]) // _ACTORS_A_FOLD, _NUM_FOLDS - 1)
    return tuple(
        FoldPart(PROTOCOL, str(fold + 1), "test" if fold == tested_in else "train") for fold in range(_NUM_FOLDS)
    )


CLASS_COUNTS: Mapping[str, int] = MappingProxyType(
    {"anger": 1271, "disgust": 1271, "fear": 1271, "happiness": 1271, "neutral": 1087, "sadness": 1271}
)
"""Of all 7,442 takes. The folds have 7,438."""


def _published() -> dict[tuple[str, str, str], Mapping[str, int]]:
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for name in take_names():
        for part in folds_of(name):
            counts.setdefault((part.protocol, part.fold, part.part), Counter())[label_name(name[9:12])] += 1
    return {("", "", ""): CLASS_COUNTS, **{key: dict(counts[key]) for key in sorted(counts)}}


PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = MappingProxyType(_published())
"""By the names and HiCMAE's rule; its lists of the tests have 1463, 1470, 1476, 1474 and 1555 lines."""


def read(folder: Path, variant: str | None = None) -> Listing:
    """List CREMA-D below `folder`, which holds `VideoFlash` and `SentenceFilenames.csv`.

    Raises:
        DatasetError: neither is there, or another variant was asked for.
    """
    if variant not in (None, *VARIANTS):
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    place = on_disk.find(folder, "VideoFlash")
    if place is None and not (folder / LIST).is_file():
        held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
        raise DatasetError(
            f"{folder} holds no {TITLE}: looked for VideoFlash and {LIST}, found {held}; give the folder that "
            "`git lfs clone` made"
        )
    faults: list[Fault] = []
    names, has_list = _read_list(folder, faults)
    votes, has_votes = _read_votes(folder, names, faults)
    has_actors = _read_actors(folder, names, faults)
    paths = _find_videos(folder, place, names, faults)
    pointers = {fault.where for fault in faults if fault.kind == "unreadable"}
    for name in natsorted(set(names) - pointers):
        if name not in paths:
            faults.append(Fault("missing", name, f"looked for VideoFlash/{name}.flv"))
        elif name in BROKEN:
            faults.append(Fault("unreadable", name, f"{BROKEN[name]}; it is in no fold", is_known=True))
    read_files = ((LIST, has_list), (VOTES, has_votes), (ACTOR_TABLE, has_actors))
    return Listing(
        dataset="crema_d",
        variant="flash",
        folder=folder,
        clips=tuple(
            DatasetClip(
                name=name,
                path=paths.get(name),
                label=label_name(name[9:12]),
                votes=votes.get(name),
                folds=folds_of(name),
                group=name[:4],
                licence=LICENCE,
            )
            for name in natsorted(names)
        ),
        faults=tuple(faults),
        annotation_files=tuple(file for file, is_there in read_files if is_there),
        published=PUBLISHED,
    )


def _read_list(folder: Path, faults: list[Fault]) -> tuple[dict[str, str], bool]:
    """Where each take is named. Without the list, what is regular is expected."""
    table = read_table(folder, LIST, ("Filename",), faults)
    names: dict[str, str] = {}
    for row in table.rows:
        name = row.values["Filename"]
        if fault := _fault_of(name, row.where):
            faults.append(fault)
        elif name in names:
            faults.append(Fault("named_twice", row.where, f"{name} is also in {names[name]}"))
        else:
            names[name] = row.where
    if not names:
        return dict.fromkeys(take_names(), "the rule of names"), table.is_there
    return names, table.is_there


def _fault_of(name: str, where: str) -> Fault | None:
    """What is wrong with the name of a take, if anything."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return Fault("bad_line", where, f"expected a name such as 1001_IEO_NEU_XX, found {name[:80]!r}")
    actor, sentence, emotion, _ = parts.groups()
    if emotion not in EMOTIONS:
        return Fault("unknown_label", where, f"{name}: no emotion {emotion}; expected one of {', '.join(EMOTIONS)}")
    if actor not in ACTORS or sentence not in SENTENCES:
        return Fault("bad_line", where, f"{name}: no actor {actor} or no sentence {sentence} in this set")
    return None


def _read_votes(
    folder: Path, names: Mapping[str, str], faults: list[Fault]
) -> tuple[dict[str, Mapping[str, float]], bool]:
    """What the people said who saw the face alone. Rows of the other two ways are checked alike, and not used."""
    table = read_table(folder, VOTES, ("", *_VOTE_COLUMNS, "fileName", "numResponses"), faults)
    votes: dict[str, Mapping[str, float]] = {}
    seen: dict[tuple[str, str], str] = {}
    for row in table.rows:
        name, cells = row.values["fileName"], [row.values[column] for column in _VOTE_COLUMNS]
        way = _VOTE_ID.fullmatch(row.values[""])
        total = row.values["numResponses"]
        numbers = [int(cell) for cell in (*cells, total) if re.fullmatch(r"\d{1,6}", cell, re.ASCII)]
        if way is None or len(numbers) != len(cells) + 1:
            faults.append(Fault("bad_line", row.where, f"expected an id, six counts and their sum; found {row.values}"))
        elif sum(numbers[:-1]) != numbers[-1]:
            faults.append(Fault("bad_line", row.where, f"{name}: {cells} are not {total} responses"))
        elif name not in names:
            faults.append(_fault_of(name, row.where) or Fault("extra", row.where, f"{name} is not in {LIST}"))
        elif (way[1], name) in seen:
            faults.append(Fault("named_twice", row.where, f"{name} has such votes in {seen[way[1], name]}"))
        else:
            seen[way[1], name] = row.where
            if way[1] == _FACE_ALONE and numbers[-1]:
                counted = zip(_VOTE_COLUMNS, numbers[:-1], strict=True)
                votes[name] = {_LABEL_OF_VOTE[column]: float(number) for column, number in counted if number}
    if table.is_there and len(votes) < len(names):
        without = next(name for name in natsorted(names) if name not in votes)
        detail = f"{len(votes)} of {len(names)} takes have votes on the face alone; {without} is one without"
        faults.append(Fault("published_count", VOTES, detail))
    return votes, table.is_there


_LABEL_OF_VOTE = dict(zip(_VOTE_COLUMNS, LABELS, strict=True))


def _read_actors(folder: Path, names: Mapping[str, str], faults: list[Fault]) -> bool:
    """Whether the table of actors is there; it must have each once."""
    table = read_table(folder, ACTOR_TABLE, ("ActorID",), faults)
    seen: dict[str, str] = {}
    for row in table.rows:
        actor = row.values["ActorID"]
        if actor not in ACTORS:
            faults.append(Fault("bad_line", row.where, f"expected an actor from 1001 to 1091, found {actor[:80]!r}"))
        elif actor in seen:
            faults.append(Fault("named_twice", row.where, f"actor {actor} is also in {seen[actor]}"))
        else:
            seen[actor] = row.where
    without = sorted({name[:4] for name in names} - set(seen))
    if table.is_there and without:
        faults.append(Fault("published_count", ACTOR_TABLE, f"no row for {len(without)} actors: {', '.join(without)}"))
    return table.is_there


def _find_videos(folder: Path, place: Path | None, names: Mapping[str, str], faults: list[Fault]) -> dict[str, str]:
    """The videos that are there, by name. What git-lfs left as a pointer is not there."""
    if place is None:
        return {}
    entries = list(on_disk.clip_files(place, 0))
    sizes = {on_disk.below(folder, entry.path): _size(entry) for entry in entries}
    paths = on_disk.by_name(
        folder, iter(entries), lambda file: _NAME.fullmatch(Path(file).stem) and Path(file).stem, faults
    )
    for name, path in list(paths.items()):
        if name not in names:
            faults.append(Fault("extra", path, f"{LIST} does not name it"))
            del paths[name]
        elif sizes[path] < 1024 and _is_pointer(path_of(folder, path)):
            detail = f"{path} is a pointer of git-lfs in place of the video; run `git lfs pull` in the set's folder"
            faults.append(Fault("unreadable", name, detail))
            del paths[name]
    return paths


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError:
        return False
