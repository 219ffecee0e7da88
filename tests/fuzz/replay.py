"""What was found before: inputs that reach much of a parser, and the bytes that one did not bear once."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"

SAME_DAY = (2026, 1, 1, 0, 0, 0)
"""Of every file in an archive, so that the same inputs are the same bytes."""


def kept(name: str) -> list[bytes]:
    """The inputs that were kept for a target: one archive each."""
    path = CORPUS / f"{name}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(entry) for entry in archive.namelist()]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs for a target, and no others."""
    CORPUS.mkdir(exist_ok=True)
    with zipfile.ZipFile(CORPUS / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, data in enumerate(sorted(set(inputs), key=lambda data: (len(data), data))):
            archive.writestr(zipfile.ZipInfo(f"{number:04d}", SAME_DAY), data, zipfile.ZIP_DEFLATED)


def regressions(name: str) -> dict[str, bytes]:
    """The bytes that the parser of a target did not bear once, by what was wrong."""
    return {path.name: path.read_bytes() for path in sorted((REGRESSIONS / name).glob("*"))}
