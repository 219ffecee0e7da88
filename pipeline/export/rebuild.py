"""Make a corpus again from a text-only export and one's own copies of the videos, and say whether it is the same.

Probing, tracks, actions and motion are computed by the walk's own stages with the export's config. Drafts and
descriptions are taken from the export (`taken_texts.py`): no language model is asked. Then every row is held against
the export, column by column; of what stayed behind there, by its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline import snapshot as snapshots
from pipeline.descriptions.draft_stage import DRAFT_DESCRIPTIONS
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.export.comparison import RebuildReport, compare_means, compare_tables
from pipeline.export.own_copies import OwnCopies, find_own_copies
from pipeline.export.pairing import COLUMNS, pair_tracks
from pipeline.export.reading import ReadExport, RebuildError
from pipeline.export.taken_texts import FROM_EXPORT, TakenStage, taking
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources, Stage
from pipeline.store import Receipt, Store
from pipeline.walk import WALK, Walk, software
from schemas.ledger import LEDGER
from schemas.tracks import TRACKS

TAKEN = {DRAFT_DESCRIPTIONS.name, REFINE_DESCRIPTIONS.name}
"""Stages whose rows come out of the export."""


def rebuild(exported: ReadExport, source: Path, store: Store, resources: Resources | None = None) -> RebuildReport:
    """Bring the corpus in `store` to what the export says, as far as the videos are here, and compare.

    Interrupted, the same call goes on where it stopped. Run again over the same, it computes nothing.

    Raises:
        SourceError: nothing lies at `source`.
        RebuildError: none of the videos is there, or the store holds another corpus.
        SnapshotConflictError: another run committed meanwhile.
    """
    _refuse_another_corpus(exported, store)
    videos = exported.videos()
    copies = find_own_copies(source, videos, store)
    if not copies.sources.num_rows:
        raise RebuildError(
            f"none of the {len(videos)} videos of {exported.folder} is in {source}, by content ({copies.num_others} "
            f"others are): {_first_of(copies)}"
        )
    walk = Walk(store, copies.sources, exported.config)
    walk.keep_sources()
    how = (resources or Resources()).model_copy(update={"source": copies.folder})
    num_computed = {stage.name: _run(walk, stage, exported, how) for stage in WALK}
    committed = _commit(walk, exported)
    corpus = Corpus(store.given, committed.number)
    here = set(copies.sources["video_id"].to_pylist())
    pairs = _pairs(walk, exported, None)
    return RebuildReport(
        export=str(exported.folder),
        exported_snapshot=exported.record.snapshot,
        snapshot=committed.number,
        num_videos=len(videos),
        num_videos_here=len(here),
        missing=list(copies.missing),
        changed=list(copies.changed),
        num_others=copies.num_others,
        num_computed=num_computed,
        means=compare_means(exported.record, walk.config),
        notes=list(exported.notes),
        other_ids={ours: theirs for ours, (theirs, _) in pairs.items()},
        texts_of_another_measurement=_num_of_another(walk, exported),
        tables=compare_tables(exported, corpus, here),
    )


def _first_of(copies: OwnCopies) -> str:
    first = (*copies.changed, *copies.missing)[0]
    return f"{first!r} has other bytes here" if copies.changed else f"{first!r} is one that is looked for"


def _refuse_another_corpus(exported: ReadExport, store: Store) -> None:
    newest = snapshots.newest(store)
    if newest is None:
        return
    made = newest.made_with.get(REFINE_DESCRIPTIONS.name, {}).get("files", {})
    if made.get(FROM_EXPORT) != exported.fingerprint:
        raise RebuildError(f"{store.address} holds another corpus: choose a new or empty folder as --root")


def _run(walk: Walk, stage: Stage[Any], exported: ReadExport, resources: Resources) -> int:
    """Every shard of one stage, `workers` side by side; units computed. A failure is raised when all have ended."""

    def run(bucket: int) -> int:
        if walk.is_settled(stage, bucket):
            return 0
        if stage.name not in TAKEN:
            return walk.run(stage, bucket, resources).num_computed
        taken = _taking(walk, stage, exported, bucket)
        result = walk.run(taken, bucket, resources)
        _call_by_plain_key(walk, stage, taken, bucket, result.receipt)
        return result.num_computed

    with ThreadPoolExecutor(resources.workers) as pool:
        return sum(pool.map(run, walk.sources))


def _taking(walk: Walk, stage: Stage[Any], exported: ReadExport, bucket: int) -> TakenStage[Any]:
    """The stage with the export's rows of the tracks of one bucket, by their ids here."""
    (table,) = stage.writes
    ours = {theirs: here for here, (theirs, _) in _pairs(walk, exported, bucket).items()}
    taken: dict[str, list[Mapping[str, Any]]] = {}
    for row in exported.rows(table.name, bucket=_their_bucket(walk, exported, bucket)):
        track_id = ours.get(row["track_id"], row["track_id"])
        taken.setdefault(track_id, []).append({**row, "track_id": track_id})
    return taking(stage, taken, exported.fingerprint)


def _their_bucket(walk: Walk, exported: ReadExport, bucket: int | None) -> int | None:
    """The export's bucket that holds what is in ours; None: any may, since buckets are counted otherwise."""
    return bucket if exported.record.num_buckets == walk.store.num_buckets else None


def _pairs(walk: Walk, exported: ReadExport, bucket: int | None) -> dict[str, tuple[str, float]]:
    """Tracks here, of one bucket or of all, that have another id in the export."""
    receipts = [r for r in walk.receipts if TRACKS.name in r.files and bucket in (None, r.bucket)]
    ids = {i for r in receipts for i in walk.store.read(r.files[TRACKS.name], ["track_id"])["track_id"].to_pylist()}
    theirs = _their_bucket(walk, exported, bucket)
    known = {row["track_id"] for row in exported.rows(TRACKS.name, ["track_id"], bucket=theirs)}
    if ids <= known:
        return {}
    here = [row for r in receipts for row in walk.store.read(r.files[TRACKS.name], COLUMNS).to_pylist()]
    return pair_tracks(exported.rows(TRACKS.name, COLUMNS, bucket=theirs), here)


def _call_by_plain_key(walk: Walk, stage: Stage[Any], taken: TakenStage[Any], bucket: int, receipt: Receipt) -> None:
    """Where each unit is as it was there, the shard is what a build would make: note it under the key of one."""
    file = receipt.files.get(LEDGER.name)
    lines = walk.store.read(file, ["unit_key", "outcome"]) if file else None
    there = {row["unit_key"] for rows in taken.taken.values() for row in rows}
    if lines is not None and not receipt.num_rejected and set(lines["unit_key"].to_pylist()) <= there:
        plain = receipt.model_copy(update={"key": walk.shard_key(stage, bucket)})
        walk.store.write_receipt(plain)
        walk.note(plain)


def _num_of_another(walk: Walk, exported: ReadExport) -> int:
    """Texts that were taken though they are not what a build would make of the measurement here."""
    there = {row["unit_key"] for row in exported.rows("descriptions", ["unit_key"])}
    files = [r.files["descriptions"] for r in walk.receipts if "descriptions" in r.files]
    return sum(
        key not in there for file in files for key in walk.store.read(file, ["unit_key"])["unit_key"].to_pylist()
    )


def _commit(walk: Walk, exported: ReadExport) -> Snapshot:
    """Commit what there is. Texts are not judged again for likeness: whoever exported them has."""
    made_with = {stage.name: stage.made_with(walk.config.of(stage)) for stage in WALK}
    for name in TAKEN:
        made_with[name] = {
            **made_with[name],
            "files": {**made_with[name]["files"], FROM_EXPORT: exported.fingerprint},
        }
    return snapshots.commit(
        walk.store,
        walk.receipts_with_reviews(),
        parent=walk.previous,
        source=f"rebuilt from the export of snapshot {exported.record.snapshot} of {exported.record.exported_at}",
        config=walk.config.model_dump(mode="json"),
        made_with=made_with,
        software=software(),
    )
