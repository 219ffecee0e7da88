"""Put byte strings aside in a temporary file and read them back by number: memory does not grow with a video."""

from __future__ import annotations

import os
import tempfile
from array import array
from types import TracebackType
from typing import Self


class Spool:
    """Append-only; numbers count from 0. The file has no name and goes when the spool or its process ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115 (closed by `__exit__`)
        self._ends = array("q", [0])
        self._is_flushed = True

    def append(self, data: bytes) -> int:
        """Put `data` aside and return its number."""
        self._file.write(data)
        self._is_flushed = False
        self._ends.append(self._ends[-1] + len(data))
        return len(self._ends) - 2

    def read(self, number: int) -> bytes:
        """What was put aside under `number`. Raises IndexError."""
        if not self._is_flushed:
            self._file.flush()
            self._is_flushed = True
        if not 0 <= number < len(self._ends) - 1:
            raise IndexError(f"the spool holds {len(self._ends) - 1} pieces, asked for number {number}")
        start, end = self._ends[number], self._ends[number + 1]
        return os.pread(self._file.fileno(), end - start, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
