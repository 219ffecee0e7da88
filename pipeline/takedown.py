"""Take videos down: out of every table, every file and every memory of a corpus, for good, with a report as proof.

The order is such that a kill at any moment leaves a corpus that is whole, and that the same command again finishes: a
note of the ids first, then the deny list, then a note of all that must be found no more, then new shards without the
rows and a new snapshot, and only then the deletion of what the old ones were. The note goes last, when a search finds
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import progress
from pipeline import snapshot as snapshots
from pipeline.descriptions.journal import open_journal
from pipeline.files import content_of
from pipeline.garbage import Retention, find_garbage
from pipeline.reviews.shards import IMPORT_REVIEWS, config_of, reviews_of, write_bucket
from pipeline.snapshot import Snapshot
from pipeline.stage import Stage, shard_key_of
from pipeline.store import UNDER_WAY, DamagedFileError, Receipt, ShardFile, Store, StoredFile, StoreError, now
from pipeline.traces import PICTURES, Needles, Traces
from pipeline.videos import object_files
from pipeline.videos.paths import path_text
from pipeline.walk import LIST_SOURCES, WALK, key_of_sources, producer_of
from schemas.corpus import TABLES
from schemas.ledger import LEDGER
from schemas.rejects import REJECTS
from schemas.reviews import REVIEWS
from schemas.videos import SOURCES, VIDEOS

VIDEO_ID = re.compile("[0-9a-f]{32}")

OUR_PAGE = b'<meta name="generator" content="facescribe">'
"""In every page of ours. It can be made again, so it is deleted where it shows a video that was taken down."""


class UnknownVideoError(Exception):
    """What names no video: neither an id nor a path that the corpus knows."""


class Rewritten(BaseModel):
    """A file that was written anew without some rows or lines; no `became`: none was left."""

    file: str
    became: str | None
    rows_removed: int


class Found(BaseModel):
    """A file that still holds a trace: what kinds of trace, and how it was found."""

    file: str
    traces: dict[str, int]
    how: str


class Search(BaseModel):
    """What was looked for and where. Forms of a trace are counted, such as a text as itself and within JSON."""

    looked_for: dict[str, int]
    """Traces by kind."""
    shared: dict[str, int]
    """Forms of traces that rows of other videos hold too, such as a text or a path: they are theirs as well."""
    num_too_short: int
    """Traces too short to be told from anything else."""
    files_searched: int
    bytes_searched: int
    parquet_files_decoded: int
    answers_read: int
    found: list[Found]


class UnderWay(BaseModel):
    """What a take-down knows and did so far, for the same command to finish it."""

    number: int
    began_at: str
    snapshot_before: int | None
    ids_by_name: dict[str, list[str]] = {}
    """The names that were given, and the videos that they meant: a path can be looked up no more afterwards."""
    known: set[str] = set()
    """Those of the ids of which the corpus held a row."""
    traces: Traces = Traces()
    rewritten: list[Rewritten] = []
    deleted: list[str] = []

    @property
    def video_ids(self) -> list[str]:
        """All that are to be taken down."""
        return sorted({video_id for ids in self.ids_by_name.values() for video_id in ids})

    @property
    def gone(self) -> set[str]:
        """Ids of the videos and of all units that came of them."""
        return {*self.video_ids, *(one for ids in self.traces.ids.values() for one in ids)}


class TakedownReport(BaseModel):
    """What was taken down, what of the corpus was written anew and deleted, and that nothing more was found."""

    number: int
    began_at: str
    ended_at: str
    videos: dict[str, str]
    """Each id with the salted hash that stands for it in the deny list."""
    unknown: list[str]
    """Those of them that the corpus held no row of. They may not come in."""
    snapshot_before: int | None
    snapshot_after: int | None
    rewritten: list[Rewritten]
    deleted: list[str]
    search: Search

    @property
    def is_clean(self) -> bool:
        """Whether no file holds a trace any more."""
        return not self.search.found


def read_names(path: Path) -> list[str]:
    """The names in a list, one a line; every line is a name, for a file may be called whatever it likes.

    Raises:
        OSError: it cannot be read.
    """
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return [name for line in lines if (name := line.strip())]


def find_videos(store: Store, names: Iterable[str]) -> dict[str, list[str]]:
    """The ids that are meant: by themselves, or by a path below the source as the corpus knows it.

    A path is looked up in the newest snapshot, and if it is not there, in every shard that is still kept.

    Raises:
        UnknownVideoError: neither, so that nothing could be denied.
    """
    newest = snapshots.newest(store)
    listed = [] if newest is None else [f.path for table in (SOURCES, VIDEOS) for f in newest.files(table.name)]
    kept = [f.path for f in store.stored("shards") if f.path.split("/")[1] in {SOURCES.name, VIDEOS.name}]
    in_newest, in_any = (_ids_by_path(store, paths) for paths in (listed, kept))
    found, strange = {}, []
    for given in names:
        name = given if given in in_any else path_text(given)  # as it is stored, or as a shell gives odd bytes
        ids = {name} if VIDEO_ID.fullmatch(name) else in_newest.get(name) or in_any.get(name)
        if ids:
            found[name] = sorted(ids)
        else:
            strange.append(name)
    if strange:
        raise UnknownVideoError(
            f"{strange[0]!r} is no video of {store.address}: give an id of 32 hex digits, or a path below the source "
            "as `facescribe show --sql 'select path, video_id from sources'` tells it"
        )
    return found


def _ids_by_path(store: Store, paths: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        rows = store.read_parquet(path, ["video_id", "path", "other_paths"])
        for row in rows.to_pylist():
            for name in (row["path"], *row["other_paths"]):
                found.setdefault(name, set()).add(row["video_id"])
    return found


def left_to_do(store: Store) -> list[str]:
    """The videos of a take-down that was broken off, or whose search still found something. Raises DamagedFileError."""
    left = _left(store)
    return [] if left is None else left.video_ids


def _left(store: Store) -> UnderWay | None:
    left = store.read_under_way()
    try:
        return None if left is None else UnderWay.model_validate_json(left)
    except ValueError as error:
        mend = (
            "restore it from a backup, or move it away and give the ids of its videos to `facescribe takedown` again; "
            "of rows that are gone by now, it then looks for the ids alone"
        )
        raise DamagedFileError(store.address, UNDER_WAY, error, mend) from error


def take_down(store: Store, names: Sequence[str]) -> TakedownReport:
    """Take videos down, while nobody else works on the corpus; also finish what a broken-off take-down left.

    Args:
        names: ids, or paths below the source as the corpus knows them.

    Raises:
        CorpusInUseError: somebody works on the corpus. Nothing was done.
        UnknownVideoError: as `find_videos`. Nothing was done.
        StoreError: a file that holds such rows cannot be read. The videos are on the deny list already, and noted.
    """
    with store.turn("a take-down", wait_s=0, on_wait=lambda _: None), store.in_use(alone=True):
        return _TakeDown(store, names).run()


class _TakeDown:
    """One take-down: what is known so far is in `work`, and on the disk before anything is done that it needs."""

    def __init__(self, store: Store, names: Sequence[str]) -> None:
        self._store = store
        left = _left(store)
        newest = snapshots.newest(store)
        self.work = left or UnderWay(
            number=max(store.takedown_numbers(), default=0) + 1,
            began_at=now(),
            snapshot_before=None if newest is None else newest.number,
        )
        self.work.ids_by_name |= find_videos(store, [name for name in names if name not in self.work.ids_by_name])

    def run(self) -> TakedownReport:
        """Every step in its order."""
        store, ids = self._store, self.work.video_ids
        self._note()  # before the deny list: a build that leaves the videos out must not make them forgotten
        denied = store.deny(ids)
        progress.report("take_down", 0, done=0, total=6)
        holding = self._gather()
        self._note()
        after = self._rewrite(holding)
        progress.report("take_down", 0, done=1, total=6)
        self._delete(holding)
        progress.report("take_down", 0, done=2, total=6)
        self._forget()
        progress.report("take_down", 0, done=3, total=6)
        search = self._search()
        report = TakedownReport(
            number=self.work.number,
            began_at=self.work.began_at,
            ended_at=now(),
            videos={video_id: denied.hash_of(video_id) for video_id in ids},
            unknown=sorted(set(ids) - self.work.known),
            snapshot_before=self.work.snapshot_before,
            snapshot_after=after,
            rewritten=self.work.rewritten,
            deleted=self.work.deleted,
            search=search,
        )
        store.write_takedown(report.number, report.model_dump_json(indent=1))
        if report.is_clean:  # else what to look for is still needed, and the same command looks again
            store.remove(UNDER_WAY)
        progress.report("take_down", 0, done=6, total=6)
        return report

    def _note(self) -> None:
        self._store.write_under_way(self.work.model_dump_json())

    def _gather(self) -> dict[str, int]:
        """Note every trace that the shards hold; return the paths of those that hold rows, and how many rows.

        Shards that no snapshot names are read too. One that cannot be read counts as holding some: it is deleted.
        """
        traces = self.work.traces
        traces.ids.setdefault("video_id", set()).update(self.work.video_ids)
        buckets = {self._store.bucket_of(video_id) for video_id in self.work.video_ids}
        files = self._store.shards_of_buckets(buckets) + self._store.stored("canary")
        holding: dict[str, int] = {}
        # A table without video_id is known by track_id, so that it comes when all tracks are known.
        for file in sorted(files, key=lambda file: "video_id" not in _columns_of(file)):
            try:
                for rows in self._rows_of(file):
                    traces.add_rows(rows)
                    holding[file.path] = holding.get(file.path, 0) + rows.num_rows
                    if "video_id" in rows.column_names:
                        self.work.known |= set(pc.unique(rows["video_id"]).to_pylist())
            except (pa.ArrowException, OSError, UnicodeDecodeError):
                holding[file.path] = 0
        return holding

    def _rows_of(self, file: StoredFile) -> Iterator[pa.Table]:
        """The rows of a file that go, a row group at a time, without columns that say nothing of the person."""
        with pq.ParquetFile(self._store.source(file)) as parquet:
            names = parquet.schema_arrow.names
            told = [f.name for f in parquet.schema_arrow if f.name in PICTURES or _says(f.type)]
            for group in range(parquet.num_row_groups):
                goes = self._goes(parquet.read_row_group(group, [n for n in _KEYS if n in names]))
                if pc.any(goes).as_py():
                    yield parquet.read_row_group(group, told).filter(goes)

    def _goes(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows are of the videos [N]: by video_id, or by track_id where a table or a row has no other."""
        goes = pa.chunked_array([pa.nulls(rows.num_rows, pa.bool_())])
        for name, ids in (("video_id", set(self.work.video_ids)), ("track_id", self.work.traces.ids.get("track_id"))):
            if name in rows.column_names:  # an old review says null of its video
                is_of = pc.is_in(rows[name], pa.array(sorted(ids or ()), pa.string()))
                goes = pc.if_else(pc.is_valid(goes), goes, pc.if_else(pc.is_valid(rows[name]), is_of, None))
        return pc.fill_null(goes, False)

    def _rewrite(self, holding: Mapping[str, int]) -> int | None:
        """Commit the newest snapshot without the rows; return the number of what is then the newest."""
        newest = snapshots.newest(self._store)
        if newest is None:
            return None
        buckets = sorted({r.bucket for r in newest.receipts if any(file.path in holding for file in r.files.values())})
        if not buckets:
            return newest.number
        if LIST_SOURCES not in {receipt.stage for receipt in newest.receipts}:
            raise StoreError(
                f"snapshot {newest.number} of {self._store.address} was made before sources were stored: the videos "
                "are on the deny list now, so run `facescribe build` once, which leaves them out, then the same again"
            )
        receipts = [receipt for receipt in newest.receipts if receipt.bucket not in buckets]
        for bucket in buckets:
            before = {receipt.stage: receipt for receipt in newest.receipts if receipt.bucket == bucket}
            receipts += self._bucket_without(newest, bucket, before, holding)
        self._note()
        for receipt in receipts:
            if receipt not in newest.receipts:
                self._store.write_receipt(receipt)
        committed = snapshots.commit(
            self._store,
            receipts,
            parent=newest,
            source=self._source_without(newest.source),
            config=newest.config,
            made_with=newest.made_with,
            software=newest.software,
            dataset=newest.dataset,
        )
        return committed.number

    def _bucket_without(
        self, newest: Snapshot, bucket: int, before: Mapping[str, Receipt], holding: Mapping[str, int]
    ) -> list[Receipt]:
        """A bucket's receipts, stage after stage, with the keys that a build without the videos would look for."""
        after: dict[str, Receipt] = {}
        stages: dict[str, Stage[Any] | None] = {LIST_SOURCES: None, **{stage.name: stage for stage in WALK}}
        for name in (*(name for name in stages if name in before), *sorted(before.keys() - stages.keys())):
            receipt, stage = before[name], stages.get(name)
            if name == IMPORT_REVIEWS:
                after |= self._reviews_without(newest, receipt, after, holding)
                continue
            is_same = not any(file.path in holding for file in receipt.files.values())
            old_inputs, new_inputs = (_input_keys(stage, known) for known in (before, after))
            if is_same and old_inputs == new_inputs:
                after[name] = receipt
                continue
            if stage is not None and new_inputs[0] == "none":
                continue  # nothing is left to ask this stage for, and a build asks it nothing
            files = {
                table: left
                for table, file in receipt.files.items()
                for left in [self._file_without(file, table, bucket, new_inputs, holding)]
                if left is not None
            }
            if stage is not None:
                key = self._key(newest, receipt, old_inputs, new_inputs)
            elif name == LIST_SOURCES:
                if SOURCES.name not in files:
                    continue
                key = key_of_sources(self._store.read(files[SOURCES.name]))
            else:
                key = receipt.key
            after[name] = receipt.model_copy(update={"files": files, "key": key, **self._counts(receipt, files)})
        return list(after.values())

    def _reviews_without(
        self, newest: Snapshot, receipt: Receipt, after: Mapping[str, Receipt], holding: Mapping[str, int]
    ) -> dict[str, Receipt]:
        """A bucket's reviews of other videos, and the edited texts that they give, as a build would carry them over."""
        left = []
        for name, file in receipt.files.items():
            kept = self._file_without(file, name, receipt.bucket, (), holding)
            if name == REVIEWS.name and kept is not None:
                left = reviews_of(self._store, [receipt.model_copy(update={"files": {name: kept}})])
        written = write_bucket(self._store, receipt.bucket, left, after.values(), config_of(newest))
        return {} if written is None else {IMPORT_REVIEWS: written}

    def _key(self, newest: Snapshot, receipt: Receipt, old_inputs: Sequence[str], new_inputs: Sequence[str]) -> str:
        """The shard key for the new inputs, with the backfills that went into the shard, and no later ones."""
        made_with, bucket = newest.made_with[receipt.stage], receipt.bucket
        generations = self._store.generations(receipt.stage, bucket)
        if shard_key_of(made_with, bucket, old_inputs, generations) != receipt.key:
            file = receipt.files.get(LEDGER.name)
            lines = self._store.read(file, ["unit_id", "generation"]).to_pylist() if file else []
            generations = {line["unit_id"]: line["generation"] for line in lines if line["generation"]}
        kept = {unit: n for unit, n in generations.items() if unit not in self.work.gone}
        return shard_key_of(made_with, bucket, new_inputs, kept)

    def _file_without(
        self, file: ShardFile, table: str, bucket: int, inputs: Sequence[str], holding: Mapping[str, int]
    ) -> ShardFile | None:
        if file.path not in holding:
            return file
        try:
            if not self._store.is_whole(file):  # the copy would have a name that says it is
                raise pa.ArrowInvalid("its bytes do not hash to its name")
            with pq.ParquetFile(self._store.source(file)) as parquet:
                made_from = json.loads(parquet.schema_arrow.metadata[b"made_from"])
            if "inputs" in made_from:
                made_from["inputs"] = list(inputs)
            with self._store.writer(TABLES[table], bucket, made_from) as writer:
                for rows in self._store.iter_batches(file):
                    left = rows.filter(pc.invert(self._goes(rows)))
                    writer.append(TABLES[table].conform(left))
        except (pa.ArrowException, FileNotFoundError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{self._store.path(file)} cannot be read ({error}): the videos are on the deny list now, so run "
                "`facescribe check --forget-damaged` and a build, which leaves them out, then the same again"
            ) from error
        became = writer.file.path if writer.file else None
        self._note_rewritten(file.path, became, holding[file.path])
        return writer.file

    def _note_rewritten(self, path: str, became: str | None, num_removed: int) -> None:
        entry = Rewritten(file=path, became=became, rows_removed=num_removed)
        if entry not in self.work.rewritten:
            self.work.rewritten.append(entry)

    def _counts(self, receipt: Receipt, files: Mapping[str, ShardFile]) -> dict[str, int]:
        rejects, lines = files.get(REJECTS.name), files.get(LEDGER.name, files.get(SOURCES.name))
        passing = 0 if rejects is None else pc.sum(self._store.read(rejects, ["is_transient"])["is_transient"]).as_py()
        return {
            "num_units": lines.rows if lines else 0,
            "num_rejected": rejects.rows if rejects else 0,
            "num_transient": passing or 0,
        }

    def _source_without(self, source: str) -> str:
        """The source as the snapshot states it, or its folder where it is the very file of such a video."""
        return str(Path(source).parent) if Path(source).name in self.work.traces.paths else source

    def _delete(self, holding: Mapping[str, int]) -> None:
        """Snapshots that name a shard with such rows, then receipts that do, then the shards themselves.

        What hangs on a snapshot goes before it, because a killed run finds by it what goes.
        """
        store = self._store
        listed = [snapshots.read(store, number) for number in store.snapshot_numbers()]
        going = {s.number for s in listed if any(f.path in holding for r in s.receipts for f in r.files.values())}
        paths = [
            *(f.path for kind in ("training", "snapshots") for f in store.stored(kind) if f.number in going),
            *(f.path for f, r in store.receipts() if any(file.path in holding for file in r.files.values())),
            *(path for path in holding if path.startswith("shards/")),
            *(f.path for f in store.stored("tmp")),
        ]
        self._remove(paths)
        # What these snapshots alone named is of no use any more; all other snapshots stay.
        rest = find_garbage(store, Retention(keep_snapshots=len(listed) or 1))
        self._remove([*rest.files["receipts"], *rest.files["shards"]])

    def _remove(self, paths: Sequence[str]) -> None:
        self.work.deleted += [path for path in paths if path not in self.work.deleted]
        self._note()
        for path in paths:
            self._store.remove(path)

    def _forget(self) -> None:
        """What no snapshot names: canaries, answers, memories of sources, generations, and copies of objects."""
        store, gone, ids = self._store, self.work.gone, set(self.work.video_ids)
        object_files.forget(ids)
        for file in store.stored("canary"):
            try:
                rows = store.read_parquet(file.path)
            except (pa.ArrowException, OSError):  # nobody can tell whose answers it holds
                self._remove([file.path])
                continue
            goes = self._goes(rows)
            if self._removes(file.path, pc.sum(goes).as_py() or 0):
                store.rewrite(file.path, rows.filter(pc.invert(goes)))
        if store.has_answers():
            with open_journal(store.answers) as journal:
                self._removes(store.answers_name, sum(video_id in ids for video_id, _ in journal.replies()))
                journal.forget(ids)  # in any case: a killed run may not have come to clearing its pages
        for path, memory in store.memories():
            if memory is None:  # nobody can tell what it holds, and it only spares reading
                self._remove([path])
                continue
            kept = {name: facts for name, facts in memory.items() if name not in self.work.traces.paths | gone}
            kept = {name: facts for name, facts in kept.items() if facts[2] not in ids}
            if self._removes(path, len(memory) - len(kept)):
                store.rewrite_memory(path, kept)
        for stage in WALK:
            for bucket in {store.bucket_of(video_id) for video_id in ids}:
                asked = store.generations(stage.name, bucket)
                kept_units = {unit: n for unit, n in asked.items() if unit not in gone}
                if self._removes(store.generations_name(stage.name, bucket), len(asked) - len(kept_units)):
                    store.write_generations(stage.name, bucket, kept_units)

    def _removes(self, path: str, num_removed: int) -> bool:
        """Note a file that loses some lines, before it does; whether it does."""
        if num_removed:
            self._note_rewritten(path, path, num_removed)
            self._note()
        return num_removed > 0

    def _search(self) -> Search:
        """Look for every trace in every file below the root, after deleting pages of ours that hold one."""
        store, traces = self._store, self.work.traces
        needles = Needles(traces.needles())
        found: dict[str, tuple[set[bytes], str]] = {}

        def note(path: str, held: set[bytes], how: str) -> None:
            if held:
                before, said = found.get(path, (set(), how))
                found[path] = (before | held, said if how in said else f"{said}, {how}")

        # Rows that are left are of other videos: what they say too, but for ids, is theirs as well.
        ours = [f for kind in ("shards", "canary") for f in store.stored(kind) if f.path.endswith(".parquet")]
        shared: set[bytes] = set()
        is_id = {needle for needle, kind in needles.kinds.items() if kind in traces.ids}
        for place, file in enumerate(ours):
            with store.fetched(file.path) as path:
                held = needles.in_parquet(path)
            note(file.path, held & is_id, "decoded")
            shared |= held - is_id
            progress.report("search_values", 0, done=place + 1, total=len(ours))
        num_answers = 0
        if store.has_answers():
            with open_journal(store.answers) as journal:
                for row in journal.replies():
                    num_answers += 1
                    held = needles.in_bytes("\0".join(row).encode("utf-8", "surrogateescape"))
                    note(store.answers_name, held & is_id, "decoded")
                    shared |= held - is_id
        wanted = needles.without(shared)
        files = [f for f in store.stored() if f.path != UNDER_WAY]
        decoded = {file.path for file in ours}
        for place, file in enumerate(files):
            with store.fetched(file.path) as path:
                held = wanted.in_bytes(file.path.encode("utf-8", "surrogateescape"))
                held |= wanted.in_file(path) if path.is_file() else set()
                if store.is_stranger(file) and path.is_file() and content_of(path) in self.work.video_ids:
                    note(file.path, {content_of(path).encode()}, "the video itself")
                if file.path.startswith("takedowns/"):  # a report names the videos, and nothing else of them
                    held = {needle for needle in held if needles.kinds[needle] != "video_id"}
                if held and _is_our_page(file, path):
                    self._remove([file.path])
                    continue
                note(file.path, held, "byte by byte")
                if file.path not in decoded and _is_parquet(path):
                    try:
                        note(file.path, wanted.in_parquet(path), "decoded")
                        decoded.add(file.path)
                    except (pa.ArrowException, OSError, UnicodeDecodeError):
                        pass  # cannot be read by anyone: its bytes were searched
            progress.report("search_files", 0, done=place + 1, total=len(files))
        return Search(
            looked_for=traces.counts(),
            shared=needles.count(shared),
            num_too_short=traces.too_short(),
            files_searched=len(files),
            bytes_searched=sum(file.bytes for file in files),
            parquet_files_decoded=len(decoded),
            answers_read=num_answers,
            found=[Found(file=path, traces=needles.count(held), how=how) for path, (held, how) in found.items()],
        )


_KEYS = ("video_id", "track_id")


def _columns_of(file: StoredFile) -> set[str]:
    """Of a shard, by the name of its table: those that say something in every row."""
    table = TABLES.get(file.path.split("/")[1])
    return {"video_id"} if table is None else {field.name for field in table.columns if not field.nullable}


def _says(kind: pa.DataType) -> bool:
    """Whether a column may hold text, at whatever depth."""
    if pa.types.is_struct(kind):
        return any(_says(kind.field(number).type) for number in range(kind.num_fields))
    return bool(_says(kind.value_type) if pa.types.is_list(kind) else pa.types.is_string(kind))


def _input_keys(stage: Stage[Any] | None, receipts: Mapping[str, Receipt]) -> list[str]:
    """Keys of what a stage reads, as a build puts them into the key of its shard."""
    keys = []
    for read in stage.reads if stage is not None else ():
        receipt = receipts.get(producer_of(read.table))
        file = receipt.files.get(read.table.name) if receipt else None
        of_rows = receipt.key if receipt else "none"
        keys.append(of_rows if read.table is SOURCES else file.content if file else "none")
    return keys


def _is_our_page(file: StoredFile, path: Path) -> bool:
    if file.path.startswith("pages/"):
        return True
    if ".html" not in file.path or not path.is_file():  # one that was being written has a longer name
        return False
    with path.open("rb") as page:
        return OUR_PAGE in page.read(1 << 16)


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"
