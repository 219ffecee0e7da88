"""Open a text-only export for a rebuild: is it whole, does it say how it was made, and what are its rows?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.export.folder import CHECKSUMS, ExportError, faults_of_checksums
from pipeline.export.record import RECORD, Export, PromptRecord
from pipeline.walk import BuildConfig


class RebuildError(ValueError):
    """An export that cannot be rebuilt from, or not here: the message says why, and what to do."""


@dataclass(frozen=True)
class ReadExport:
    """A text-only export that is whole."""

    folder: Path
    record: Export
    config: BuildConfig
    """Of the build that it was exported from."""

    notes: tuple[str, ...]
    """What of the config could not be had as it was, in sentences."""

    fingerprint: str
    """32 hex digits over all of its files."""

    def rows(self, table: str, columns: Sequence[str] | None = None, *, bucket: int | None = None) -> Iterator[Any]:
        """The rows of a table as mappings, a file at a time; of one bucket, as the export counts buckets.

        Raises:
            RebuildError: a file cannot be read.
        """
        for path in sorted((self.folder / table).glob("*.parquet")):
            if bucket is None or path.stem.endswith(f"-{bucket:04d}"):
                try:
                    yield from _rows_of(path, columns)
                except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                    raise RebuildError(f"{path} cannot be read ({error}): get the export again") from error

    def videos(self) -> dict[str, dict[str, Any]]:
        """Every video by its id. Raises RebuildError: a file cannot be read, or names no ids."""
        found = {}
        for row in self.rows("videos"):
            if not isinstance(video_id := row.get("video_id"), str):
                raise RebuildError(f"{self.folder / 'videos'} holds a row without a video_id: get the export again")
            found[video_id] = row
        return found


def _rows_of(path: Path, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as parquet:
        names = None if columns is None else [name for name in columns if name in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group, names).to_pylist()


def read_export(folder: Path) -> ReadExport:
    """Check the export and read what it says of itself.

    Raises:
        RebuildError: no text-only export, a damaged one, or one whose config this facescribe does not know.
    """
    try:
        faults = faults_of_checksums(folder)
        record = Export.model_validate_json((folder / RECORD).read_bytes())
    except ExportError as error:
        raise RebuildError(str(error)) from error
    except FileNotFoundError:
        raise RebuildError(f"{folder} holds no {RECORD}: give the folder that `facescribe export` wrote") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RebuildError(f"{folder / RECORD}: {place}: {first['msg']}: was it written by another version?") from error
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise RebuildError(f"{folder} is damaged: {faults[0]}{more}; get it again, then run the same command")
    if not record.text_only:
        raise RebuildError(
            f"{folder} is an export with its tables whole (format {record.format}): nothing has to be rebuilt. "
            "A rebuild begins from `facescribe export --text-only`"
        )
    config, notes = _config_of(folder, record)
    fingerprint = hashlib.sha256((folder / CHECKSUMS).read_bytes()).hexdigest()[:32]
    return ReadExport(folder, record, config, notes, fingerprint)


def _is_file_of(folder: Path, name: str) -> bool:
    """Whether the name is of a file in the folder, and leads out of it by no way."""
    try:
        path = (folder / name).resolve()
        return path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, RuntimeError, ValueError):  # a name that no file can have, or links in a circle
        return False


def _section_of(prompt: PromptRecord, sections: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a config that names the prompt; None if there is no such part."""
    section = sections.get("descriptions") if prompt.stage == "refine_descriptions" else sections.get("drafts")
    if isinstance(section, dict) and prompt.stage != "refine_descriptions":
        section = section.get("vision")
    return section if isinstance(section, dict) and "prompt" in section else None


def _config_of(folder: Path, record: Export) -> tuple[BuildConfig, tuple[str, ...]]:
    """The build's config, its own prompts being the copies in the export."""
    sections: dict[str, Any] = deepcopy(record.config)
    notes = []
    for prompt in record.prompts:
        if not prompt.name.endswith(".toml"):
            continue  # one of this program's, by its name
        section = _section_of(prompt, sections)
        if section is None:
            raise RebuildError(
                f"{folder / RECORD} has a prompt of {prompt.stage}, and a config that names none: get the export again"
            )
        if prompt.file is not None and _is_file_of(folder, prompt.file):
            section["prompt"] = str(folder / prompt.file)
        else:
            del section["prompt"]
            notes.append(
                f"the export does not hold the prompt {prompt.name} of {prompt.stage}: its texts stay as they are"
            )
    try:
        return BuildConfig(**sections), tuple(notes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        theirs = record.software.get("facescribe", "another version")
        raise RebuildError(
            f"{folder / RECORD}: the config's {place} is not known here ({first['msg']}): rebuild with the facescribe "
            f"that it was exported with ({theirs})"
        ) from error
