"""Write a small CREMA-D in its exact layout: names, quoting and line ends as published, votes and videos made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

ACTORS = ("1001", "1002", "1019", "1076")
"""1002, 1019 and 1076 lack takes in the published set too; 1076 has two of the four that are broken."""

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
EMOTIONS = ("NEU", "HAP", "SAD", "ANG", "FEA", "DIS")
LETTERS = "ADFHNS"

_LEVELS = ("Emo", "Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad")

Write = Callable[[Path, int], None]
"""Writes a video: gets its path and a number of its own."""


def stub_video(path: Path, number: int) -> None:
    """A video that is none, for tests that open none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {number}".encode())


def git_lfs_pointer(path: Path, number: int) -> None:
    """What lies in place of a video where the set was cloned without git-lfs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{number:064x}", "size 276480", "")
    path.write_text("\n".join(lines))


def takes_of(actor: str) -> list[str]:
    """The takes of an actor that were published, in the order of the list."""
    names = [
        f"{actor}_{sentence}_{emotion}_{intensity}"
        for sentence in SENTENCES
        for emotion in EMOTIONS
        for intensity in (("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",))
    ]
    gaps = {"1002_TIE_NEU_XX", "1076_ITS_NEU_XX", *(f"1019_ITH_{emotion}_XX" for emotion in EMOTIONS)}
    return [name for name in names if name not in gaps]


def face_votes(number: int) -> tuple[int, ...]:
    """Ten votes for A, D, F, H, N, S of the take with a stimulus number: seven for one and three for the next."""
    counts = [0] * 6
    counts[number % 6], counts[(number + 1) % 6] = 7, 3
    return tuple(counts)


def write_crema_d(folder: Path, actors: Sequence[str] = ACTORS, *, video: Write = stub_video) -> Path:
    """Write CREMA-D below `folder` and return it."""
    names = [name for actor in actors for name in takes_of(actor)]
    for number, name in enumerate(names, 1):
        video(folder / f"VideoFlash/{name}.flv", number)
    write_list(folder, names)
    write_votes(folder, names)
    rows = ['"ActorID","Age","Sex","Race","Ethnicity"']
    rows += [f'{actor},{20 + int(actor) % 50},"Female","Caucasian","Not Hispanic"' for actor in actors]
    (folder / "VideoDemographics.csv").write_bytes("\n".join([*rows, ""]).encode())
    return folder


def write_list(folder: Path, names: Sequence[str]) -> None:
    """SentenceFilenames.csv: names in quotation marks, and no line break at its end."""
    rows = ['"Stimulus_Number","Filename"', *(f'{number},"{name}"' for number, name in enumerate(names, 1))]
    (folder / "SentenceFilenames.csv").write_bytes("\n".join(rows).encode())


def write_votes(folder: Path, names: Sequence[str]) -> None:
    """tabulatedVotes.csv: first the rows of voices, then those of faces, then those of both."""
    means = [f"mean{level}Resp{norm}" for norm in ("", "Norm") for level in _LEVELS]
    header = ["", *LETTERS, "fileName", "numResponses", "agreement", "emoVote"]
    rows = [",".join(f'"{name}"' for name in [*header, *means, "medianEmoResp", "medianEmoRespNorm"])]
    for way in (1, 2, 3):
        for number, name in enumerate(names, 1):
            counts = face_votes(number) if way == 2 else (0, 0, 0, 0, 9, 1)
            winner = LETTERS[counts.index(max(counts))]
            cells = [f'"{way}{number:05d}"', *map(str, counts), f'"{name}"', str(sum(counts)), "0.7", f'"{winner}"']
            rows.append(",".join([*cells, *(["-1"] * 14), "55.5", "NA"]))
    path = folder / "processedResults/tabulatedVotes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*rows, ""]).encode())
