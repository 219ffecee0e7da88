"""Any bytes may lie in an annotation file: no reader crashes, and no line is lost without a word.

Two laws hold for every reader.

1. Whatever the bytes of an annotation file are, `read` gives a listing that keeps the contract of `listing.py`, or
   raises DatasetError. Nothing else.
2. No line is without effect: of a file whose rows are each of one clip, and that was not left out as a whole (which a
   fault says of the file or of its first line), every line that is not blank has a trace, in the clips or in the
   faults. For if it is blanked, which keeps the numbers of the lines after it, the listing is another.

The second law does not hold, and is not asked, of lines that a reader checks and does not use: votes on the voice in
CREMA-D, its table of actors, names in the tables of MER that give no label, captions that the lists of MAFW repeat.
Nor of workbooks, which have no lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from natsort import natsorted

from pipeline.videos.datasets import affwild2, crema_d, dfew, ferv39k, mafw, meld, mer
from pipeline.videos.datasets.flat_lists import with_list
from pipeline.videos.datasets.listing import FAULTS, DatasetError, Listing
from tests.videos.datasets import affwild2_tree, crema_d_tree, dfew_tree, ferv39k_tree, mafw_tree, meld_tree, mer_tree

QUICK = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(QUICK, max_examples=200)


@dataclass(frozen=True)
class Case:
    """An annotation file of a set."""

    reader: Any
    """A module of a set, or what reads like one."""
    write: Callable[[Path], Path]
    file: str
    has_a_clip_a_line: bool = True
    unused: str = r"(?!)"
    """A regular expression of lines that are checked and not used."""
    has_header: bool = True

    @property
    def name(self) -> str:
        return f"{self.reader.__name__.rpartition('.')[2]}-{'-'.join(Path(self.file).parts[-4:])}"


def _some_crema_d(folder: Path) -> Path:
    return crema_d_tree.write_crema_d(folder, ("1076",))


def _some_affwild2(folder: Path) -> Path:
    return affwild2_tree.write_affwild2(folder, test_list=True)


def _lists_of_mafw(folder: Path) -> Path:
    return mafw_tree.write_mafw(folder, sheets=False)


def _sheets_of_mafw(folder: Path) -> Path:
    folder = mafw_tree.write_mafw(folder)
    for path in (folder / "Train & Test Set").rglob("set_[2345]/*.txt"):
        path.unlink()
    return folder


def _splits_of_dfew(folder: Path) -> Path:
    return dfew_tree.write_dfew(folder, votes=False)


_PEERS = "lists/split01/train.csv"


def _list_of_peers(folder: Path) -> Path:
    folder = dfew_tree.write_dfew(folder, votes=False)
    clips = [clip for clip in dfew_tree.IN_FOLDS if dfew_tree.tested_in(clip) != 1]
    lines = [f"/data/DFEW/clip_224x224/{clip:05d} {dfew_tree.LABEL_IDS[clip] - 1}\n" for clip in clips]
    (folder / _PEERS).parent.mkdir(parents=True)
    (folder / _PEERS).write_bytes("".join(lines).encode())
    return folder


def _read_with_list(folder: Path) -> Listing:
    return with_list(dfew.read(folder), folder / _PEERS, order="dfer-clip")


_FLAT_LIST = SimpleNamespace(__name__="flat_list", LABELS=dfew.LABELS, read=_read_with_list)

_EXPR = "annotations/EXPR_Classification_Challenge"
_TESTS = "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt"

CASES = (
    Case(crema_d, _some_crema_d, crema_d.LIST),
    Case(crema_d, _some_crema_d, crema_d.VOTES, unused=r"\s*\"?\s*[13]\d{5}\s*\"?\s*,.*"),
    Case(crema_d, _some_crema_d, crema_d.ACTOR_TABLE, has_a_clip_a_line=False),
    *(Case(meld, meld_tree.write_meld, f"{part}_sent_emo.csv") for part in ("train", "dev", "test")),
    Case(affwild2, _some_affwild2, f"{_EXPR}/Train_Set/video59_right.txt"),
    Case(affwild2, _some_affwild2, f"{_EXPR}/Validation_Set/6-30-1920x1080_left.txt"),
    Case(affwild2, _some_affwild2, _TESTS),
    *(Case(mer, mer_tree.write_mer2023, f"{part}-label.csv") for part in ("train", "test1", "test3")),
    Case(mer, mer_tree.write_mer2024, "label-disdim.csv"),
    Case(mer, mer_tree.write_mer2025, "track1_train_disdim.csv"),
    Case(mer, mer_tree.write_mer2025, "track_all_candidates.csv"),
    Case(mer, mer_tree.write_mer2025, "track3_train_ovmerd.csv"),
    *(
        Case(mer, mer_tree.write_mer2025, file, has_a_clip_a_line=False)
        for file in ("subtitle_chieng.csv", "track2_train_ovmerd.csv", "track3_train_mercaptionplus.csv")
    ),
    *(
        Case(dfew, _splits_of_dfew, f"EmoLabel_DataSplit/{part}(single-labeled)/set_2.csv")
        for part in ("train", "test")
    ),
    Case(dfew, dfew_tree.write_dfew, "Annotation/annotation.xlsx", has_a_clip_a_line=False),
    Case(_FLAT_LIST, _list_of_peers, _PEERS, has_header=False),
    *(
        Case(ferv39k, ferv39k_tree.write_ferv39k, f"4_setups/All_scenes/{part}_All.csv", has_header=False)
        for part in ("train", "test")
    ),
    *(
        Case(mafw, _lists_of_mafw, f"Train & Test Set/{protocol}/no_caption/set_3/{part}.txt", has_header=False)
        for protocol in ("single", "compound")
        for part in ("train", "test")
    ),
    Case(mafw, _lists_of_mafw, "Train & Test Set/single/with_caption/set_3/train.txt", has_a_clip_a_line=False),
    *(
        Case(mafw, _sheets_of_mafw, f"Labels/{name}.xlsx", has_a_clip_a_line=False)
        for name in ("annotation", "single-set", "multi-set", "descriptive_text")
    ),
)
BY_LINES = tuple(case for case in CASES if case.has_a_clip_a_line)

_TOKENS = (
    *(b'"', b'""', b",", b",,", b"\t", b" ", b";", b"\n", b"\r", b"\r\n", b"\n\n", b"\x00", b"\x1a", b"\x0b", b"\x0c"),
    *(
        b"\x85",
        b"\xc2\x85",
        "\u2028".encode(),
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
    ),
    *(
        "é".encode(),
        "悲".encode(),
        "悲".encode("gb18030"),
        "\u202e".encode(),
        b"-1",
        b"0",
        b"1",
        b"7",
        b"8",
        b"99",
        b"1e3",
    ),
    *(b"NaN", b"neutral", b"anger", b"bliss", b"../../etc/passwd", b"a/b\\c", b"=1+1", b"'", b"#", b"9" * 40),
    *(b"x" * 140_000, b'"' + b"y" * 140_000, b",".join([b"0"] * 5000)),
)
"""Marks of tables and encodings, odd characters, words of the sets, numbers too long, fields over the limit."""

_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "gb18030", "latin-1", "utf-8-sig", "utf-7")


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content of a file after a few accidents."""
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, max(len(content), 1))), draw(st.integers(0, 40))
        lines = content.splitlines(keepends=True)
        line = draw(st.integers(0, max(len(lines) - 1, 0)))
        match draw(
            st.sampled_from(("insert", "lose", "change", "cut", "twice", "swap", "drop", "encode", "noise", "column"))
        ):
            case "insert":
                content = content[:at] + draw(st.sampled_from(_TOKENS)) + content[at:]
            case "lose":
                content = content[:at] + content[at + length :]
            case "change":
                content = content[:at] + draw(st.binary(min_size=1, max_size=3)) + content[at + 1 :]
            case "cut":
                content = content[:at]
            case "twice" if lines:
                content = b"".join([*lines[: line + 1], *lines[line:]])
            case "swap" if len(lines) > 1:
                other = (line + 1) % len(lines)
                lines[line], lines[other] = lines[other], lines[line]
                content = b"".join(lines)
            case "drop":
                content = b"".join(lines[:line] + lines[line + 1 :])
            case "encode":
                text = content.decode("utf-8", errors="replace")
                content = text.encode(draw(st.sampled_from(_ENCODINGS)), errors="replace")
            case "noise":
                content = content[:at] + draw(st.text(max_size=30)).encode("utf-8", "surrogatepass") + content[at:]
            case "column" if lines:
                lines[line] = b",".join(lines[line].split(b",")[1:]) or b"\n"
                content = b"".join(lines)
    return content


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """The set of a case, written once."""
    written: dict[Callable[[Path], Path], Path] = {}

    def tree(case: Case) -> Path:
        if case.write not in written:
            written[case.write] = case.write(tmp_path_factory.mktemp(case.reader.__name__))
        return written[case.write]

    return tree


class _Changed:
    """A file with other content, for a while."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content, self.before = path, content, path.read_bytes()

    def __enter__(self) -> None:
        self.path.write_bytes(self.content)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.before)


def _read(case: Case, folder: Path, content: bytes) -> Listing | None:
    with _Changed(folder / case.file, content):
        try:
            listing: Listing = case.reader.read(folder)
        except DatasetError:
            return None
    check_contract(case.reader, listing)
    return listing


def check_contract(reader: Any, listing: Listing) -> None:
    """What every listing keeps, whatever it was read from."""
    names = [clip.name for clip in listing.clips]
    assert len(set(names)) == len(names), "each name once"
    assert names == natsorted(names), "in natural order"
    paths = [clip.path for clip in listing.clips if clip.path is not None]
    assert len(set(paths)) == len(paths), "each path at most once"
    assert all((listing.folder / path).exists() for path in paths)
    assert all((listing.folder / file).is_file() for file in listing.annotation_files)
    for clip in listing.clips:
        assert clip.name
        assert clip.label in (None, *reader.LABELS)
        assert set(clip.votes or ()) <= set(reader.LABELS)
        assert all(count >= 0 for count in (clip.votes or {}).values())
        assert clip.split in (None, "train", "validation", "test")
        assert all(part.part in ("train", "validation", "test") for part in clip.folds)
        sides = [(part.protocol, part.fold) for part in clip.folds]
        assert len(set(sides)) == len(sides), "one part in a fold"
        assert all(caption.text and caption.language for caption in clip.captions)
    for fault in listing.faults:
        assert fault.kind in FAULTS
        assert fault.where
        assert fault.detail
        assert len(fault.detail) < 2000, "a fault is read by a person"


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line as a reader that is right cuts them; blank ones too."""
    return enumerate(re.split(rb"(?<=\n)|(?<=\r)(?!\n)", content), 1)


def _is_left_out(case: Case, listing: Listing) -> bool:
    """Whether the file as a whole was left out, and a fault says so."""
    told = {fault.where for fault in listing.faults if fault.kind in ("bad_line", "unreadable", "missing_file")}
    header = re.compile(rf"{re.escape(case.file)}(:\d+)?")
    whole = [fault for fault in listing.faults if header.fullmatch(fault.where) and "left out" in fault.detail]
    return case.file in told or any("file is left out" in fault.detail for fault in whole)


def _without_crash(case: Case, folder: Path, data: st.DataObject) -> None:
    _read(case, folder, data.draw(_damaged((folder / case.file).read_bytes())))


def _without_loss(case: Case, folder: Path, data: st.DataObject) -> None:
    content = data.draw(_damaged((folder / case.file).read_bytes()))
    if b"\x00" in content[:4] or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return  # in two bytes a character, lines of bytes are no lines
    listing = _read(case, folder, content)
    if listing is None or _is_left_out(case, listing):
        return
    lines = [line for _, line in _lines(content)]
    first = 1 if case.has_header else 0
    full = [at for at, line in enumerate(lines[first:], first) if line.decode("utf-8", "replace").strip()]
    if not full:
        return
    at = data.draw(st.sampled_from(full))
    if re.fullmatch(case.unused, lines[at].decode("utf-8", "replace").strip()):
        return
    ending = b"\r\n" if lines[at].endswith(b"\r\n") else lines[at][-1:] if lines[at][-1:] in b"\r\n" else b""
    without = _read(case, folder, b"".join([*lines[:at], ending, *lines[at + 1 :]]))
    assert without is None or (without.clips, without.faults) != (listing.clips, listing.faults), (
        f"line {at + 1} of {case.file} has no trace in the listing: {lines[at][:200]!r}"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@QUICK
@given(data=st.data())
def test_no_bytes_crash_a_reader(case: Case, trees: Callable[[Case], Path], data: st.DataObject) -> None:
    _without_crash(case, trees(case), data)


@pytest.mark.parametrize("case", BY_LINES, ids=lambda case: case.name)
@QUICK
@given(data=st.data())
def test_no_line_is_lost_without_a_word(case: Case, trees: Callable[[Case], Path], data: st.DataObject) -> None:
    _without_loss(case, trees(case), data)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@LONG
@given(data=st.data())
def test_no_bytes_crash_a_reader_for_long(case: Case, trees: Callable[[Case], Path], data: st.DataObject) -> None:
    _without_crash(case, trees(case), data)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", BY_LINES, ids=lambda case: case.name)
@LONG
@given(data=st.data())
def test_no_line_is_lost_without_a_word_for_long(
    case: Case, trees: Callable[[Case], Path], data: st.DataObject
) -> None:
    _without_loss(case, trees(case), data)
