"""The walk from videos to a corpus: its stages in order, their configs in one, and how each feeds the next."""

from __future__ import annotations

import difflib
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, ValidationError

from pipeline import snapshot as snapshots
from pipeline.actions.config import ActionConfig
from pipeline.actions.stage import MEASURE_ACTIONS
from pipeline.descriptions.draft_stage import DRAFT_DESCRIPTIONS, DraftConfig
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS, RefineConfig
from pipeline.motion.config import MotionConfig
from pipeline.motion.stage import ENCODE_MOTION
from pipeline.run import ShardInput, ShardResult, run_stage
from pipeline.snapshot import DatasetFacts, Snapshot
from pipeline.stage import Resources, Stage, StageConfig, key_of
from pipeline.store import Receipt, Store
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.stage import EXTRACT_TRACKS
from pipeline.videos.annotations import read_annotations
from pipeline.videos.config import VideoConfig
from pipeline.videos.datasets.fingerprint import fingerprint
from pipeline.videos.datasets.registry import parse_source
from pipeline.videos.listed_source import ListedSource, list_address, memory_path
from pipeline.videos.sources import UNREAD, Memory
from pipeline.videos.stage import PROBE_VIDEOS
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.table import Table
from schemas.videos import SOURCES

if TYPE_CHECKING:
    from pipeline.descriptions.duplicates import DescribedText

WALK: tuple[Stage[Any], ...] = (
    PROBE_VIDEOS,
    EXTRACT_TRACKS,
    MEASURE_ACTIONS,
    ENCODE_MOTION,
    DRAFT_DESCRIPTIONS,
    REFINE_DESCRIPTIONS,  # last, because its server starts while everything else is computed
)

_STAGE_NAMES = frozenset(stage.name for stage in WALK)

LIST_SOURCES = "list_sources"
"""What stands as a stage in receipts where the source itself was listed."""


class ConfigError(Exception):
    """A config file that cannot be used: the message names the file, the field, and what to do."""


class BuildConfig(StageConfig):
    """What to compute, stage by stage."""

    videos: VideoConfig = VideoConfig()
    tracks: TrackConfig = TrackConfig()
    actions: ActionConfig = ActionConfig()
    drafts: DraftConfig = DraftConfig()
    descriptions: RefineConfig = RefineConfig()
    motion: MotionConfig = MotionConfig()

    def of(self, stage: Stage[Any]) -> StageConfig:
        """The config of one stage: it has the name of the first table that the stage writes."""
        config: StageConfig = getattr(self, stage.writes[0].name)
        return config


class BuildFile(BaseModel):
    """A build.toml: the stages' configs under their tables' names, and `[resources]`."""

    build: BuildConfig = Field(default_factory=BuildConfig)
    resources: Resources = Field(default_factory=Resources)


def load_build_file(path: Path | None) -> BuildFile:
    """Read a build.toml; None gives the defaults.

    Raises:
        ConfigError: no such file, no TOML, an unknown field (with the nearest known one), or a wrong value.
    """
    if path is None:
        return BuildFile()
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    resources = sections.pop("resources", {})
    try:
        return BuildFile(build=BuildConfig(**sections), resources=Resources.model_validate(resources))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if error.title == "Resources":
        place.insert(0, "resources")
    if first["type"] != "extra_forbidden":
        may_hold_a_key = place[-1] in ("server", "vision_server", "api_key_variable")
        return f"{'.'.join(place)}: {first['msg']}" + ("" if may_hold_a_key else f", got {first['input']!r}")
    model: Any = BuildConfig if error.title != "Resources" else BuildFile
    for part in place[:-1]:
        model = _model_of(model.model_fields[part].annotation)
    known = [*model.model_fields, *(["resources"] if model is BuildConfig else [])]
    near = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"unknown field {'.'.join(place)!r}; {hint}"


def _model_of(annotation: Any) -> Any:
    """The model that a field holds, also one that may be None."""
    return next(one for one in (annotation, *get_args(annotation)) if hasattr(one, "model_fields"))


@dataclass(frozen=True)
class ShardJob:
    """One shard to be brought up to date, and all that this needs: another process, or machine, is given no more.

    The stage goes by its name, because tables and functions are what they are only where they were imported.
    """

    stage: str
    bucket: int
    inputs: tuple[ShardInput, ...]
    config: StageConfig
    resources: Resources
    store: Store
    before: Receipt | None
    """What the newest snapshot holds of the shard."""

    def anywhere(self) -> ShardJob:
        """The same for a process that may have started in another folder: no path in it is relative."""
        resources = self.resources.model_copy(update={"source": self.resources.source.absolute()})
        folder = self.store.folder
        store = self.store if folder is None else Store(folder.absolute(), self.store.num_buckets)
        return replace(self, resources=resources, store=store)

    def run(self) -> ShardResult:
        """Do it. Nobody but the store knows of it before the walk has noted the receipt."""
        (stage,) = (stage for stage in WALK if stage.name == self.stage)
        return self.run_as(stage)

    def run_as(self, stage: Stage[Any]) -> ShardResult:
        """Do it with a stage that does the named one's work in another way."""
        return run_stage(stage, self.bucket, self.inputs, self.config, self.resources, self.store, self.before)


class Walk:
    """One run through the stages: the source's rows, the snapshot before, and the receipts found or made so far."""

    def __init__(
        self,
        store: Store,
        sources: pa.Table,
        config: BuildConfig,
        notes: Sequence[str] = (),
        *,
        folder: Path | None = None,
        dataset: DatasetFacts | None = None,
    ) -> None:
        self.store, self.config = store, config
        self.notes = tuple(notes)
        """What the user should know of the source, in sentences."""
        self.folder, self.dataset = folder, dataset
        """What the paths of the source are below; the data set that it is, if it is one."""
        self.previous = snapshots.newest(store)
        self._receipts: dict[tuple[str, int], Receipt] = {}
        self._before = {(r.stage, r.bucket): r for r in self.previous.receipts} if self.previous else {}
        buckets = [store.bucket_of(video_id) for video_id in sources["video_id"].to_pylist()]
        numbered = sources.append_column("bucket", pa.array(buckets, pa.int32()))
        self.sources = {
            bucket: numbered.filter(pc.equal(numbered["bucket"], bucket)).drop_columns("bucket")
            for bucket in sorted(set(buckets))
        }
        self._source_keys = {bucket: key_of_sources(rows) for bucket, rows in self.sources.items()}

    def before(self, stage: str, bucket: int) -> Receipt | None:
        """What the newest snapshot holds of a stage and bucket."""
        return self._before.get((stage, bucket))

    @property
    def receipts(self) -> list[Receipt]:
        """Every shard that is done so far."""
        return list(self._receipts.values())

    def source_key(self, bucket: int) -> str:
        """Hash of what the source holds in a bucket."""
        return self._source_keys[bucket]

    def keep_sources(self) -> None:
        """Store what the source holds, so that every row of the corpus can be traced to it."""
        for bucket, rows in self.sources.items():
            if self._find_sources(bucket) is None:
                key = self._source_keys[bucket]
                with self.store.writer(SOURCES, bucket, {"stage": LIST_SOURCES}) as writer:
                    writer.append(rows)
                files = {SOURCES.name: writer.file} if writer.file else {}
                receipt = Receipt(stage=LIST_SOURCES, bucket=bucket, key=key, files=files, num_units=rows.num_rows)
                self.store.write_receipt(receipt)
                self._receipts[LIST_SOURCES, bucket] = receipt

    def _find_sources(self, bucket: int) -> Receipt | None:
        found = self.store.receipt(LIST_SOURCES, bucket, self._source_keys[bucket])
        if found is not None:
            self._receipts[LIST_SOURCES, bucket] = found
        return found

    def take_settled(self, stage: Stage[Any]) -> list[int]:
        """Note every shard of `stage` that is done; return the buckets that are not. The stages before must be done."""
        return [bucket for bucket in self.sources if not self.is_settled(stage, bucket)]

    def is_settled(self, stage: Stage[Any], bucket: int) -> bool:
        """Note the shard if it is done, or has nothing to read; whether it is. The stages before it must be done."""
        inputs = self._inputs(stage, bucket)
        if inputs[0].is_empty:
            return True
        receipt = self.find(stage, bucket)
        if receipt is None or not receipt.is_settled:
            return False
        self._receipts[stage.name, bucket] = receipt
        return True

    def find(self, stage: Stage[Any], bucket: int) -> Receipt | None:
        """The receipt of exactly this input and config, finished or with units that wait to be tried again."""
        return self.store.receipt(stage.name, bucket, self.shard_key(stage, bucket))

    def shard_key(self, stage: Stage[Any], bucket: int) -> str:
        """Key of exactly this input and config."""
        keys = [item.key for item in self._inputs(stage, bucket)]
        return stage.shard_key(self.config.of(stage), bucket, keys, self.store.generations(stage.name, bucket))

    def job(self, stage: Stage[Any], bucket: int, resources: Resources) -> ShardJob:
        """What it takes to bring one shard up to date, wherever that is done. The stages before must be done."""
        inputs, before = tuple(self._inputs(stage, bucket)), self._before.get((stage.name, bucket))
        return ShardJob(stage.name, bucket, inputs, self.config.of(stage), resources, self.store, before)

    def run(self, stage: Stage[Any], bucket: int, resources: Resources) -> ShardResult:
        """Bring one shard up to date, here, and note its receipt."""
        result = self.job(stage, bucket, resources).run_as(stage)
        self.note(result.receipt)
        return result

    def asks(self, stage: Stage[Any]) -> bool:
        """Whether a shard of the stage mostly waits for a language model. Drafts do where one looks at frames."""
        is_drafted_alone = stage is DRAFT_DESCRIPTIONS and self.config.drafts.vision is None
        return stage.request is not None and not is_drafted_alone

    def note(self, receipt: Receipt) -> None:
        """Count a shard that is done into what will be committed."""
        self._receipts[receipt.stage, receipt.bucket] = receipt

    def is_done(self) -> bool:
        """Whether the newest snapshot is exactly what a run would give, so that nothing needs to be computed."""
        settled = all(self._find_sources(bucket) for bucket in self.sources)
        settled = settled and not any(self.take_settled(stage) for stage in WALK)
        if not settled or self.previous is None:
            return False
        reviews = self._reviews(may_write=False)
        return reviews is not None and self.previous.has_just([*self.receipts, *reviews])

    def receipts_with_reviews(self) -> list[Receipt]:
        """Every shard that is done so far, and what people said of the texts of the snapshot before.

        Reviews stay whatever is built. A text that a reviewer edited stays while the text that it was made from does.
        """
        return [*self.receipts, *(self._reviews(may_write=True) or ())]

    def _reviews(self, *, may_write: bool) -> list[Receipt] | None:
        from pipeline.reviews.shards import carried_over

        before = self._before.values()
        return carried_over(self.store, before, self.receipts, self.config.descriptions, may_write=may_write)

    def commit(self, source: Path | str, max_duplicate_share: float | None = None) -> Snapshot:
        """Make what was found and made the corpus; None lets as many near-duplicate texts pass as is usual.

        Raises:
            SnapshotConflictError: another run committed meanwhile.
            DuplicateAlarm: too many refined texts say the same of different faces. What was computed is kept.
        """
        from pipeline.descriptions.duplicates import MAX_SHARE, refuse_duplicates

        if self._refined(self.receipts) != self._refined(self._before.values()):  # else they were judged before
            max_share = MAX_SHARE if max_duplicate_share is None else max_duplicate_share
            refuse_duplicates(self._texts(), max_share=max_share)
        return snapshots.commit(
            self.store,
            self.receipts_with_reviews(),
            parent=self.previous,
            source=str(parse_source(source)),
            config=self.config.model_dump(mode="json"),
            made_with={stage.name: stage.made_with(self.config.of(stage)) for stage in WALK},
            software=software(),
            dataset=self.dataset,
        )

    @staticmethod
    def _refined(receipts: Iterable[Receipt]) -> set[str]:
        """The files of all texts that a model or a template wrote."""
        files = [receipt.files.get(DESCRIPTIONS.name) for receipt in receipts if receipt.stage in _STAGE_NAMES]
        return {file.path for file in files if file is not None}

    def _texts(self) -> list[DescribedText]:
        """Every text that would be committed, and what its model was told of."""
        from pipeline.descriptions.draft import told_actions
        from pipeline.descriptions.duplicates import DescribedText
        from pipeline.descriptions.evidence import Evidence

        texts = []
        for (stage, bucket), receipt in self._receipts.items():
            if stage != REFINE_DESCRIPTIONS.name or DESCRIPTIONS.name not in receipt.files:
                continue
            drafts = self._receipts[DRAFT_DESCRIPTIONS.name, bucket].files[DRAFTS.name]
            evidence = dict(zip(*self.store.read(drafts, ["track_id", "evidence"]).to_pydict().values(), strict=True))
            for row in self.store.read(receipt.files[DESCRIPTIONS.name], ["track_id", "text", "status"]).to_pylist():
                known = Evidence.model_validate_json(evidence[row["track_id"]])
                told = told_actions(known, max_events=self.config.descriptions.max_notes)
                texts.append(DescribedText(row["track_id"], row["text"], row["status"], told))
        return texts

    def _inputs(self, stage: Stage[Any], bucket: int) -> list[ShardInput]:
        return [self._input(read.table, bucket) for read in stage.reads]

    def _input(self, table: Table, bucket: int) -> ShardInput:
        if table is SOURCES:
            return ShardInput(key=self._source_keys[bucket], rows=self.sources[bucket])
        receipt = self._receipts.get((producer_of(table), bucket))
        file = receipt.files.get(table.name) if receipt else None
        return ShardInput(key=file.content if file else "none", file=file)


def key_of_sources(rows: pa.Table) -> str:
    """Key of what the source holds in a bucket: of the values alone, whichever version of Parquet they lie in."""
    return key_of(rows.to_pydict())


def producer_of(table: Table) -> str:
    """The name of the stage that writes a table."""
    return LIST_SOURCES if table is SOURCES else next(stage.name for stage in WALK if table in stage.writes)


def open_walk(
    store: Store,
    source: Path | str,
    config: BuildConfig,
    annotations: Path | None = None,
    *,
    may_read: bool = True,
    may_write: bool = True,
) -> Walk:
    """List the source, remembering what was read, and set out on the walk.

    `source` is a folder of videos or one video, a data set (`dfew:/data/DFEW`), or a table that lists videos
    (`manifest:list.csv`). Videos that were taken down are left out. For a plan: with `may_read` off nothing is read of
    videos but names, sizes and times, and with `may_write` off what was read is not remembered.

    Raises:
        SourceError: nothing is at `source`, or no file.
        DatasetError: no such data set, or it is not what lies there.
        AnnotationError: the table of annotations, or the manifest, cannot be used.
    """
    address = parse_source(source)
    said = read_annotations(annotations) if annotations is not None else {}
    remembered = memory_path(address)
    known = store.read_memory(remembered)
    listed = list_address(
        address, known, said, may_read=may_read, leave_out=store.folder, links_out=config.videos.links_out
    )
    sources, notes = listed.sources, list(listed.notes)
    if not may_read:
        sources, num_guessed = _guess_unread(sources, store, known)
        if num_guessed:
            notes.insert(0, f"files not read that count as unchanged, by path and size: {num_guessed:,}")
    denied = store.denied()
    if is_denied := [denied.holds(video_id) for video_id in sources["video_id"].to_pylist()]:
        if any(is_denied):
            notes.append(
                f"videos of {address} that were taken down and stay out: {sum(is_denied)}; delete their files there"
            )
        sources = sources.filter(pc.invert(pa.array(is_denied)))
    if may_write:
        kept = {path: facts for path, facts in listed.memory.items() if not denied.holds(facts[2])}
        store.write_memory(remembered, kept)
    return Walk(store, sources, config, notes, folder=listed.folder, dataset=_facts_of(listed))


def _facts_of(listed: ListedSource) -> DatasetFacts | None:
    listing = listed.listing
    if listing is None:
        return None
    counts = {"clips": len(listing.clips), "there": len(listed.sizes)}
    counts |= sorted(Counter(fault.kind for fault in listing.faults).items())
    return DatasetFacts(
        name=listing.dataset, variant=listing.variant, fingerprint=fingerprint(listing, listed.sizes), counts=counts
    )


def _guess_unread(sources: pa.Table, store: Store, memory: Memory) -> tuple[pa.Table, int]:
    """Give files that were never listed here the ids that the newest snapshot has for their paths and sizes."""
    rows, previous = sources.to_pylist(), snapshots.newest(store)
    if previous is None or not any(row["video_id"].startswith(UNREAD) for row in rows):
        return sources, 0
    known = {}
    for file in previous.files(SOURCES.name):
        for row in store.read(file, ["path", "size_bytes", "video_id"]).to_pylist():
            known[row["path"], row["size_bytes"]] = row["video_id"]
    listed = {row["video_id"] for row in rows}
    num_guessed = 0
    for row in rows:
        video_id = known.get((row["path"], row["size_bytes"]))
        if row["video_id"].startswith(UNREAD) and row["path"] not in memory and video_id and video_id not in listed:
            row["video_id"], num_guessed = video_id, num_guessed + 1
    return SOURCES.rows(sorted(rows, key=lambda row: row["video_id"])), num_guessed


def software() -> dict[str, str]:
    """Versions that a snapshot records."""
    names = ("facescribe", "opencv-python-headless", "decord", "av", "numpy", "pyarrow", "prefect", "vllm")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
