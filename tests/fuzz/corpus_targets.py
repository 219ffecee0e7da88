"""Parsers of a corpus' own files, which may come from someone else's disk: JSON, footers, shards, exports, configs."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import snapshot as snapshots
from pipeline.check import _Check, check
from pipeline.export.folder import CHECKSUMS, ExportError
from pipeline.export.reading import RebuildError, read_export
from pipeline.export.record import RECORD, Export
from pipeline.inspection.gallery_rows import ChoiceError, read_track_ids
from pipeline.reviews.outgoing import read_track_list
from pipeline.store import UNDER_WAY, DamagedFileError, ShardFile, Store, StoreError
from pipeline.takedown import UnderWay, left_to_do, read_names
from pipeline.telemetry.metrics import LAST_SUCCESS, last_success
from pipeline.walk import BuildConfig, ConfigError, load_build_file
from schemas.descriptions import DRAFTS
from schemas.table import SchemaError, read_cell
from tests.fuzz.annotation_targets import parquet_seeds
from tests.fuzz.law import Read, Target, must
from tests.fuzz.made_tables import TYPES, NoTable, spec_of, write_table
from tests.review_corpus import Face, write_review_corpus

FACES = (Face("ann"), Face("ben"))

_WORDS = (
    *("stage", "bucket", "key", "files", "num_units", "num_rejected", "num_transient", "path", "rows", "bytes"),
    *("number", "parent", "created_at", "schema_version", "source", "config", "made_with", "software", "dataset"),
    *("counts", "rejects", "receipts", "salt", "hashes", "num_buckets", "drafts", "descriptions", "sources", "videos"),
    *("reviews", "ledger", "list_sources", "probe_videos", "extract_tracks", "draft_descriptions", "import_reviews"),
    *("../../../etc/passwd", "/etc/passwd", "shards/drafts/0000/x.parquet", "snapshots/000001.json", "tmp", ""),
    *("ids_by_name", "known", "traces", "rewritten", "deleted", "video_id", "track_id", "made_from", "table"),
)


def made_corpus(folder: Path) -> Store:
    """A corpus of two described faces."""
    write_review_corpus(folder / "corpus", FACES, num_buckets=1)
    return Store.open(folder / "corpus")


def _seeds_of(name: Callable[[Path], Path]) -> Callable[[], Iterable[bytes]]:
    def seeds() -> Iterable[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            made_corpus(Path(folder))
            yield name(Path(folder, "corpus")).read_bytes()

    return seeds


def _first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def told_by_check(store: Store, *, quick: bool = False) -> None:
    """Check the corpus: whatever lies there, it tells and does not raise."""
    with patch.object(_Check, "_refuse_repeated_keys"):  # a database is started for it, which reads sound files alone
        report = check(store, quick=quick)
    for fault in report.faults:
        fault.in_words()
    report.model_dump_json()


def _in_place(name: Callable[[Path], Path], use: Callable[[Store], object]) -> Callable[[Path], Read]:
    """A file of a corpus with other bytes is used, and the whole corpus is checked."""

    def open_(folder: Path) -> Read:
        store = made_corpus(folder)
        path = name(folder / "corpus")
        path.parent.mkdir(parents=True, exist_ok=True)

        def read(data: bytes) -> None:
            path.write_bytes(data)
            use(store)
            told_by_check(store)

        return read

    return open_


def _open_corpus_file(folder: Path) -> Read:
    made_corpus(folder)

    def read(data: bytes) -> None:
        (folder / "corpus" / "corpus.json").write_bytes(data)
        Store.open(folder / "corpus").bucket_of("0" * 32)

    return read


def _receipt_of(root: Path) -> Path:
    return _first(root, "receipts/draft_descriptions/*.json")


def _use_receipts(store: Store) -> None:
    for _, receipt in store.receipts():
        _ = receipt.is_settled, receipt.model_dump_json()


def _use_snapshot(store: Store) -> None:
    found = snapshots.newest(store)
    must(found is not None, "a snapshot that is not there")


def _use_memories(store: Store) -> None:
    for _, memory in store.memories():
        must(memory is None or isinstance(memory, dict), "a memory that is none")


# --- shards


def _with_shard(store: Store, data: bytes, rows: int) -> None:
    """Make these bytes the drafts of the corpus, with every name, hash and count as if a stage had written them."""
    path = store.root / f"shards/drafts/0000/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    for left in path.parent.glob("*.parquet"):
        left.unlink()
    path.write_bytes(data)
    before = snapshots.read(store, 1)
    file = ShardFile(path=f"shards/drafts/0000/{path.name}", rows=rows, bytes=len(data))
    (receipt,) = [one for one in before.receipts if DRAFTS.name in one.files]
    receipts = [receipt.model_copy(update={"files": {DRAFTS.name: file}, "num_units": rows})]
    store.write_receipt(receipts[0])
    changed = before.model_copy(update={"number": 2, "parent": 1, "receipts": receipts})
    (path.parents[3] / "snapshots/000002.json").write_text(changed.model_dump_json())


def _open_shard(folder: Path) -> Read:
    store = made_corpus(folder)

    def read(data: bytes) -> None:
        _with_shard(store, data, rows=2)
        told_by_check(store, quick=True)

    return read


def _open_footer(folder: Path) -> Read:
    """What a footer says beside the schema: `{key: text}`."""
    store = made_corpus(folder)
    rows = pq.read_table(_first(folder, "corpus/shards/drafts/*/*.parquet"), partitioning=None)

    def read(data: bytes) -> None:
        try:
            said: Mapping[str, Any] = json.loads(data)
            metadata = {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
            pq.write_table(rows.replace_schema_metadata(metadata), folder / "made.parquet")
        except Exception:  # what is no footer is none of the parser's business
            return
        _with_shard(store, (folder / "made.parquet").read_bytes(), rows=2)
        told_by_check(store, quick=True)

    return read


def _open_shard_table(folder: Path) -> Read:
    store = made_corpus(folder)

    def read(data: bytes) -> None:
        try:
            path = write_table(
                folder / "made.parquet", data, {"table": "drafts", "made_from": '{"stage": "draft_descriptions"}'}
            )
        except NoTable:
            return
        _with_shard(store, path.read_bytes(), rows=2)
        told_by_check(store, quick=True)

    return read


def _open_canaries(folder: Path) -> Read:
    store = made_corpus(folder)
    (folder / "corpus" / "canary").mkdir()

    def read(data: bytes) -> None:
        (folder / "corpus" / "canary" / "000001.parquet").write_bytes(data)
        store.read_canaries(1)

    return read


def _open_cell(folder: Path) -> Read:
    """`[metadata, hex digits]` of a tensor's cell."""

    def read(data: bytes) -> None:
        try:
            said, cell = json.loads(data)
            field = pa.field("x", pa.binary(), metadata={str(key): str(value) for key, value in said.items()})
            content = bytes.fromhex(cell)
        except Exception:  # no cell
            return
        must(isinstance(read_cell(field, content), np.ndarray), "a cell that is no array")

    return read


# --- exports


def _export(*, with_prompts: bool = True) -> Export:
    export = _made_export()
    return export if with_prompts else export.model_copy(update={"prompts": []})


def _made_export() -> Export:
    return Export(
        text_only=True,
        snapshot=1,
        snapshot_created_at="2026-01-31T12:00:00+00:00",
        exported_at="2026-01-31T12:00:00+00:00",
        num_buckets=2,
        rows={"videos": 1},
        num_videos_without_licence=0,
        without_licence=None,
        config=BuildConfig().model_dump(mode="json"),
        made_with={},
        prompts=[
            {"stage": "refine_descriptions", "name": "mine.toml", "file": "prompts/mine.toml", "sha256": {}},
            {"stage": "draft_descriptions", "name": "mine.toml", "file": None, "sha256": {}},
        ],
        software={"facescribe": "1"},
    )


def _write_checksums(folder: Path) -> None:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (folder / RECORD,)]
    (folder / CHECKSUMS).write_text("".join(lines))


def _open_record(folder: Path) -> Read:
    def read(data: bytes) -> None:
        (folder / RECORD).write_bytes(data)
        _write_checksums(folder)
        read_export(folder).videos()

    return read


def _open_export_rows(folder: Path) -> Read:
    """The videos of an export whose record and checksums are right."""
    (folder / RECORD).write_text(_export(with_prompts=False).model_dump_json())
    _write_checksums(folder)
    (folder / "videos").mkdir()
    export = read_export(folder)

    def read(data: bytes) -> None:
        (folder / "videos" / "videos-0000.parquet").write_bytes(data)
        export.videos()

    return read


def _open_checksums(folder: Path) -> Read:
    (folder / RECORD).write_text(_export().model_dump_json())

    def read(data: bytes) -> None:
        (folder / CHECKSUMS).write_bytes(data)
        read_export(folder)

    return read


def _checksums() -> Iterable[bytes]:
    digest = hashlib.sha256(_export().model_dump_json().encode()).hexdigest()
    yield f"{digest}  {RECORD}\n".encode()
    yield f"{digest}  ../../etc/passwd\n".encode()


# --- configs and lists


_BUILD = b"""
[videos]
max_frames = 1000
[tracks]
min_track_s = 1.0
[descriptions]
token_budget = 60
[drafts.vision]
model = "m"
model_revision = "r"
model_licence = "l"
[resources]
workers = 2
server = "http://127.0.0.1:8000/v1, http://127.0.0.1:8001/v1"
api_key_variable = "KEY"
"""


def _open_build_file(folder: Path) -> Read:
    path = folder / "build.toml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_build_file(path).build.model_dump_json()

    return read


def _open_names(folder: Path) -> Read:
    path = folder / "names.txt"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_names(path)

    return read


def _track_lists() -> Iterable[bytes]:
    yield b"track_id,why\n" + b"0" * 32 + b"-0, first\n# none\n\n" + b"1" * 32 + b"-0\n"


def _figures() -> Iterable[bytes]:
    yield f'# HELP {LAST_SUCCESS} when\n# TYPE {LAST_SUCCESS} gauge\n{LAST_SUCCESS}{{run="a"}} 1.5e9\n'.encode()


def _lines_read(parser: Callable[[Path], object]) -> Callable[[Path], Read]:
    def open_(folder: Path) -> Read:
        path = folder / "lines.txt"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            parser(path)

        return read

    return open_


def _toml_words(*models: type[Any]) -> tuple[str, ...]:
    """Names of a config's fields and sections."""
    found: list[str] = ["true", "false", "nan", "inf", '"""', "'''", "[[", "]]", "= [", "= {", "1979-05-27T07:32:00Z"]
    for model in models:
        for name, field in model.model_fields.items():
            found += [f"{name} = ", f"\n[{name}]\n"]
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                found += _toml_words(field.annotation)[11:]
    return tuple(found)


def _json(*values: object) -> Callable[[], Iterable[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


_TABLE = (
    spec_of(
        *[
            (
                field.name,
                "string" if pa.types.is_string(field.type) else "double",
                ["a", "b"] if pa.types.is_string(field.type) else [1.0, 2.0],
            )
            for field in DRAFTS.columns
        ]
    ),
    spec_of(("track_id", "string", ["a", "b"]), ("video_id", "words", ["x", None]), ("text", "binary", ["a", "b"])),
)

TARGETS = (
    Target(
        *("corpus_file", (StoreError,), _seeds_of(lambda root: root / "corpus.json"), _open_corpus_file),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("receipt", (DamagedFileError,), _seeds_of(_receipt_of), _in_place(_receipt_of, _use_receipts)),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("snapshot", (DamagedFileError,), _seeds_of(lambda root: root / "snapshots/000001.json")),
        open=_in_place(lambda root: root / "snapshots/000001.json", _use_snapshot),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("generations", (DamagedFileError,), _json({"a" * 32: 1})),
        open=_in_place(
            lambda root: root / "generations/extract_tracks/0000.json",
            lambda store: store.generations("extract_tracks", 0),
        ),
        form="json",
    ),
    Target(
        *("denied", (DamagedFileError,), _json({"salt": "00", "hashes": ["a" * 64]})),
        open=_in_place(lambda root: root / "denied.json", lambda store: store.denied().holds("0" * 32)),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("memory", (), _json({"a.mp4": [1, 2, "0" * 32]})),
        open=_in_place(lambda root: root / "memory/0000000000000000.json", _use_memories),
        form="json",
    ),
    Target(
        *("under_way", (DamagedFileError,)),
        seeds=lambda: [
            UnderWay(number=1, began_at="2026", snapshot_before=1, ids_by_name={"a": ["0" * 32]})
            .model_dump_json()
            .encode()
        ],
        open=_in_place(lambda root: root / UNDER_WAY, left_to_do),
        form="json",
        words=_WORDS,
    ),
    Target("shard", (), _seeds_of(lambda root: _first(root, "shards/drafts/*/*.parquet")), _open_shard),
    Target(
        *("shard_footer", (), _json({"table": "drafts", "made_from": {"stage": "draft_descriptions", "bucket": 0}})),
        open=_open_footer,
        form="json",
        words=_WORDS,
    ),
    Target(
        *("shard_table", (), lambda: _TABLE, _open_shard_table),
        form="json",
        words=(*TYPES, *(field.name for field in DRAFTS.columns)),
    ),
    Target(
        *("canaries", (DamagedFileError,), _seeds_of(lambda root: _first(root, "shards/drafts/*/*.parquet"))),
        open=_open_canaries,
    ),
    Target(
        *(
            "cell",
            (SchemaError,),
            _json([{"dtype": "uint8", "dims": '{"T": null, "C": 3}'}, "000102030405"]),
            _open_cell,
        ),
        form="json",
        words=(
            "dtype",
            "dims",
            "float32",
            "float16",
            "S3",
            "O",
            "M8[s]",
            "int64",
            '{"T": null, "C": 0}',
            '{"T": -2}',
            "[2]",
        ),
    ),
    Target(
        *("export_record", (RebuildError,), lambda: [_export().model_dump_json().encode()], _open_record),
        form="json",
        words=(
            *_WORDS,
            "prompts",
            "vision",
            "prompt",
            "name",
            "file",
            "stage",
            "refine_descriptions",
            "mine.toml",
            "text_only",
        ),
    ),
    Target("export_rows", (RebuildError,), parquet_seeds(*_TABLE), _open_export_rows),
    Target(
        "checksums",
        (RebuildError,),
        _checksums,
        _open_checksums,
        words=("  ", RECORD, "../", "\0", "/", "\u2028", "\x85"),
    ),
    Target(
        *("build_file", (ConfigError,), lambda: (_BUILD,), _open_build_file),
        words=_toml_words(BuildConfig),
    ),
    Target(
        "track_ids", (ChoiceError,), _track_lists, _lines_read(read_track_ids), words=("track_id", "\u00a0", "#", ",")
    ),
    Target("track_list", (ExportError,), _track_lists, _lines_read(read_track_list), words=("\u00a0", "#", "\u2028")),
    Target(
        "run_figures",
        (),
        _figures,
        _lines_read(last_success),
        words=("# TYPE ", "# HELP ", LAST_SUCCESS, "{", "}", "NaN"),
    ),
    Target("names", (OSError,), lambda: (b"a.mp4\n" + b"0" * 32 + b"\n\xff\n",), _open_names),
)
