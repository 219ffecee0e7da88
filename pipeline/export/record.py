"""What an export says of itself: `export.json`, and the prompts that its texts were asked with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.descriptions.prompt import PROMPTS, PromptError, hashes_of_prompt
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import DatasetFacts, Snapshot
from pipeline.store import now

RECORD = "export.json"

PROMPTS_FOLDER = "prompts"


class PromptRecord(BaseModel):
    """A prompt that texts of the snapshot were asked with."""

    stage: str
    name: str
    file: str | None
    """Below the export; None where the prompt has changed since, or is gone."""
    sha256: dict[str, str]
    """Of its parts, as the snapshot keeps them: what rows are keyed by."""


class Export(BaseModel):
    """What an export holds, as `export.json` says beside it."""

    format: str = "parquet"
    text_only: bool = False
    snapshot: int
    snapshot_created_at: str
    exported_at: str
    num_buckets: int
    rows: dict[str, int]
    """By table. A table without rows has no file."""
    files: dict[str, int] = {}
    """Rows, or samples, of each data file where they are not those of a table."""
    left_out: dict[str, list[str]] = {}
    """Columns of each table that did not go out."""
    dataset: DatasetFacts | None = None
    """Which copy of which data set the videos were of, if they were of one."""
    num_videos_without_licence: int
    without_licence: str | None
    """Why videos without licence or consent went out, in words."""
    config: dict[str, Any]
    """Of the build. Paths of files of one's own are names alone; a prompt's is its copy's in the export."""
    made_with: dict[str, dict[str, Any]]
    """By stage: its version, hashes of the weights, and hashes of the files that its config names."""
    prompts: list[PromptRecord] = []
    software: dict[str, str]


def record_of(
    corpus: Corpus, format: str, rows: Mapping[str, int], num_without: int, without_licence: str | None
) -> Export:
    """The record of an export that begins now; what is written adds to it."""
    snapshot = corpus.snapshot
    prompts = _prompts(snapshot)
    return Export(
        format=format,
        snapshot=snapshot.number,
        snapshot_created_at=snapshot.created_at,
        exported_at=now(),
        num_buckets=corpus.store.num_buckets,
        rows=dict(rows),
        num_videos_without_licence=num_without,
        without_licence=without_licence,
        config=_without_places(snapshot.config, prompts),
        made_with={
            stage: {name: made[name] for name in ("version", "weights", "files") if name in made}
            for stage, made in snapshot.made_with.items()
        },
        prompts=prompts,
        software=snapshot.software,
        dataset=snapshot.dataset,
    )


def write_record(folder: Path, made: Export) -> None:
    """Write `export.json` and copies of the prompts."""
    (folder / RECORD).write_text(made.model_dump_json(indent=1), encoding="utf-8")
    for prompt in made.prompts:
        if prompt.file is not None:
            target = folder / prompt.file
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(_place_of(prompt.name).read_bytes())


def _prompts(snapshot: Snapshot) -> list[PromptRecord]:
    """The prompts of a snapshot's config, each with where its copy will lie if it still says the same."""
    found: list[PromptRecord] = []
    for stage, config in (
        ("draft_descriptions", (snapshot.config.get("drafts") or {}).get("vision") or {}),
        ("refine_descriptions", snapshot.config.get("descriptions") or {}),
    ):
        if (name := config.get("prompt")) is None:
            continue
        hashes = dict(snapshot.made_with.get(stage, {}).get("files", {}))
        try:
            is_same = hashes_of_prompt(name) == hashes
        except PromptError:
            is_same = False
        file = f"{PROMPTS_FOLDER}/{_file_name(name, found)}" if is_same else None
        found.append(PromptRecord(stage=stage, name=name, file=file, sha256=hashes))
    return found


def _place_of(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else PROMPTS / f"{name}.toml"


def _file_name(name: str, before: list[PromptRecord]) -> str:
    """A name for the copy that no other prompt's copy has."""
    wanted = f"{Path(name).name.removesuffix('.toml')}.toml"
    others = {Path(one.file).name: one.name for one in before if one.file}
    if others.get(wanted, name) == name:
        return wanted
    return f"{hashlib.sha256(name.encode()).hexdigest()[:8]}_{wanted}"


def _without_places(config: Mapping[str, Any], prompts: list[PromptRecord]) -> dict[str, Any]:
    """The config without anybody's own paths: a prompt's becomes that of its copy, any other its file's name."""
    copies = {prompt.name: prompt.file for prompt in prompts if prompt.name.endswith(".toml")}

    def told(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: told(part) for name, part in value.items()}
        if isinstance(value, list):
            return [told(part) for part in value]
        if isinstance(value, str) and value in copies:
            return copies[value] or Path(value).name
        return Path(value).name if isinstance(value, str) and value.startswith(("/", "~", ".")) else value

    return {name: told(value) for name, value in config.items()}
