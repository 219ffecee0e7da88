"""RAVDESS: 24 actors speak and sing two sentences in eight emotions; the names of the files are the annotation.

On the disk, as published (zenodo 1188976, one archive an actor; where it was unpacked to does not matter)::

    Actor_01/01-01-05-02-01-02-01.mp4           modality-channel-emotion-intensity-statement-repetition-actor
    Video_Speech_Actor_01/Actor_01/*.mp4        the same, in a folder of the archive's name

Modality 01 sound and picture, 02 picture alone, 03 sound alone; channel 01 speech, 02 song; emotion 01 neutral,
02 calm, 03 happy, 04 sad, 05 angry, 06 fearful, 07 disgust, 08 surprised; intensity 01 normal, 02 strong (neutral has
none); two statements, two repetitions; odd actors are men, even ones women.

60 spoken takes an actor, 1,440 in all; 44 songs of 23 actors (18 sang none; no disgust, no surprise), 1,012. The files
of modality 01 and 02 are one recording: both together would be every clip twice, so one of them is read. Files of
other modalities and of the other channel are told and left out.

Label: the emotion of the name. Group: the actor. Protocol `ravdess` (speech): the six folds of HiCMAE (Sun et al. 2024,
saved/data/ravdess), four consecutive actors each, 240 takes in every test. HiCMAE reads modality 02 (`speech_silent`).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from natsort import natsorted

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.listing import DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.paths import path_text

TITLE = "RAVDESS (2018)"
LICENCE = "CC BY-NC-SA 4.0: RAVDESS, Livingstone and Russo 2018"
LABELS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""What 01 to 08 mean in the third place of a name."""

PROTOCOL = "ravdess"

VARIANTS: Mapping[str, str] = {
    "speech": "1,440 spoken takes with sound (01-01)",
    "speech_silent": "the same takes without sound (02-01), as HiCMAE reads them",
    "song": "1,012 sung takes with sound (01-02)",
    "song_silent": "the same songs without sound (02-02)",
}

_CODES: Mapping[str, tuple[str, str]] = {
    "speech": ("01", "01"),
    "speech_silent": ("02", "01"),
    "song": ("01", "02"),
    "song_silent": ("02", "02"),
}
_MODALITIES = {"01": "sound and picture", "02": "picture alone", "03": "sound alone"}
_CHANNELS = {"01": "speech", "02": "song"}

ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
WITHOUT_SONGS = "18"
ACTORS_A_FOLD = 4

_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)", re.ASCII)
_ACTOR_FOLDER = re.compile(r"actor[ _-]?(\d\d)", re.IGNORECASE | re.ASCII)
_ENDINGS = (*on_disk.VIDEO_ENDINGS, ".wav")


def take_names(variant: str = "speech") -> Iterator[str]:
    """The names of all takes of a variant, in order."""
    modality, channel = _CODES[variant]
    emotions = range(1, 9) if channel == "01" else range(1, 7)
    for actor in ACTORS:
        if channel == "02" and actor == WITHOUT_SONGS:
            continue
        for emotion in emotions:
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement, repetition in itertools.product((1, 2), repeat=2):
                    yield f"{modality}-{channel}-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor}"


def folds_of(name: str) -> tuple[FoldPart, ...]:
    """The part of a take in each of the six folds; songs are in none."""
    if name[3:5] != "01":
        return ()
    tested_in = ACTORS.index(name[-2:]) // ACTORS_A_FOLD
    num_folds = len(ACTORS) // ACTORS_A_FOLD
    return tuple(FoldPart(PROTOCOL, str(at + 1), "test" if at == tested_in else "train") for at in range(num_folds))


CLASS_COUNTS: Mapping[str, int] = MappingProxyType({label: 96 if label == "neutral" else 192 for label in LABELS})
"""Of the 1,440 spoken takes."""

SONG_COUNTS: Mapping[str, int] = MappingProxyType({label: 92 if label == "neutral" else 184 for label in LABELS[:6]})
"""Of the 1,012 songs."""


def _published() -> dict[tuple[str, str, str], Mapping[str, int]]:
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for name in take_names():
        for part in folds_of(name):
            counts.setdefault((part.protocol, part.fold, part.part), Counter())[LABELS[int(name[6:8]) - 1]] += 1
    return {("", "", ""): CLASS_COUNTS, **{key: dict(counts[key]) for key in sorted(counts)}}


PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = MappingProxyType(_published())
"""240 takes in the test of each fold: 16 neutral, 32 of each other."""


def read(folder: Path, variant: str | None = None) -> Listing:
    """List RAVDESS below `folder`, which holds a folder `Actor_01` to `Actor_24`, at most three levels down.

    Raises:
        DatasetError: no such folder, no take of the variant that was named, or of any.
    """
    if variant not in (None, *VARIANTS):
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    files = [
        (actor, on_disk.below(folder, entry.path))
        for actor, place in _actor_folders(folder, 3)
        for entry in on_disk.entries(place)
        if entry.name.lower().endswith(_ENDINGS)
    ]
    if not files:
        held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
        raise DatasetError(f"{folder} holds no {TITLE}: looked for Actor_01/01-01-01-01-01-01-01.mp4, found {held}")
    faults: list[Fault] = []
    takes: dict[str, str] = {}
    for actor, path in files:
        name = Path(path).stem
        if fault := _fault_of(name, actor, path):
            faults.append(fault)
        elif name in takes:
            faults.append(Fault("extra", path, f"take {name} is there twice; {takes[name]} is the one that is read"))
        else:
            takes[name] = path
    there = Counter(name[:5] for name in takes)
    variant = variant or next((one for one, codes in _CODES.items() if there["-".join(codes)]), "speech")
    wanted = "-".join(_CODES[variant])
    if not there[wanted]:
        found = ", ".join(f"{count} {code}-*" for code, count in sorted(there.items())) or "no take"
        raise DatasetError(f"{folder} holds no take of {TITLE} in {VARIANTS[variant]}: found {found}")
    faults += _left_out(takes, wanted)
    names = list(take_names(variant))
    faults += (
        Fault("missing", name, f"looked for Actor_{name[-2:]}/{name}.mp4") for name in names if name not in takes
    )
    return Listing(
        dataset="ravdess",
        variant=variant,
        folder=folder,
        clips=tuple(
            DatasetClip(
                name=name,
                path=takes.get(name),
                label=LABELS[int(name[6:8]) - 1],
                folds=folds_of(name),
                group=f"actor_{name[-2:]}",
                licence=LICENCE,
            )
            for name in natsorted(names)
        ),
        faults=tuple(faults),
        published=PUBLISHED if wanted.endswith("01") else {("", "", ""): SONG_COUNTS},
    )


def _actor_folders(folder: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """The actor's number and the folder of each `Actor_XX`; none lies in another."""
    for entry in on_disk.entries(folder):
        if not entry.is_dir():
            continue
        if found := _ACTOR_FOLDER.fullmatch(entry.name):
            yield found[1], Path(entry)
        elif depth > 1:
            yield from _actor_folders(Path(entry), depth - 1)


def _fault_of(name: str, actor: str, path: str) -> Fault | None:
    """What is wrong with the name of a take, if anything."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return Fault("extra", path, "expected a name such as 01-01-05-02-01-02-01.mp4")
    modality, channel, emotion, intensity, statement, repetition, said = parts.groups()
    if not "01" <= emotion <= "08":
        return Fault("unknown_label", path, f"no emotion {emotion}; expected 01 to 08")
    if said != actor or said not in ACTORS:
        return Fault("label_conflict", path, f"the name says actor {said}, the folder {actor}; left out")
    if intensity == "02" and emotion == "01":
        return Fault("label_conflict", path, "neutral has no strong intensity; left out")
    pairs = {"01", "02"}
    if modality not in _MODALITIES or not {channel, intensity, statement, repetition} <= pairs:
        return Fault("extra", path, "a code that names of this set do not have; left out")
    return None


def _left_out(takes: Mapping[str, str], wanted: str) -> Iterator[Fault]:
    """What is there beside the variant, a fault for each folder and kind."""
    beside = Counter((str(Path(path).parent), name[:5]) for name, path in takes.items() if not name.startswith(wanted))
    for (place, code), count in sorted(beside.items()):
        kind = f"{_CHANNELS[code[3:]]}, {_MODALITIES[code[:2]]}"
        yield Fault("extra", f"{place}/{code}-*", f"{count} takes of {kind}: not read here", is_known=True)
