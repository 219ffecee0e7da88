"""Write a snapshot as WebDataset shards: tar files, one sample per training clip.

A sample is three members with the clip's id as their name:

    CLIP_ID.json        label, text, claims, times, ids, terms
    CLIP_ID.frames.npy  uint8 [16, 224, 224, 3], RGB
    CLIP_ID.motion.npy  float16 [16, 14, 14], motion weights

The shards of a split are SPLIT-000000.tar and on. The same snapshot gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import progress
from pipeline.export.card import write_card
from pipeline.export.folder import ExportError, refuse_folder, whole_folder
from pipeline.export.gate import refuse_what_may_not_leave
from pipeline.export.record import Export, record_of, write_record
from pipeline.export.rows import CLIP_TENSORS, OF_CLIP, buckets_of, clips_of, described_tracks, split_names
from pipeline.inspection.corpus import Corpus
from schemas.motion import MOTION
from schemas.table import read_cell

SHARD_BYTES = 1 << 30
"""Size from which the next sample of a split begins another shard."""


def export_webdataset(
    corpus: Corpus, folder: Path, without_licence: str | None = None, *, shard_bytes: int = SHARD_BYTES
) -> Export:
    """Write every training clip. Memory: a bucket's texts and one clip.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or there are no clips.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    if not corpus.snapshot.counts.get("motion"):
        raise ExportError(
            f"snapshot {corpus.snapshot.number} holds no training clips: `facescribe status` says what was refused; "
            "--format parquet exports what there is"
        )
    tables = ("videos", "tracks", "drafts", "descriptions", "motion")
    num_without = refuse_what_may_not_leave(corpus, tables, without_licence)
    made = record_of(corpus, "webdataset", {}, num_without, without_licence)
    splits, buckets = split_names(corpus), buckets_of(corpus)
    with whole_folder(folder) as out:
        shards: dict[str, _Shards] = {}
        try:
            for number, bucket in enumerate(buckets):
                tracks = described_tracks(corpus, bucket, with_frames_of_track=False)
                for clip in clips_of(corpus, bucket):
                    track = tracks[clip["track_id"]]
                    split = splits[track["split"]]
                    if split not in shards:
                        shards[split] = _Shards(out, split, shard_bytes)
                    shards[split].add(clip["clip_id"], _sample(clip, track))
                progress.report("export", 0, done=number + 1, total=len(buckets))
        except BaseException:
            for one in shards.values():
                one.abandon()
            raise
        for split in sorted(shards):
            made.files |= shards[split].close()
        made.rows = {"clips": sum(made.files.values())}
        write_record(out, made)
        write_card(out, corpus, made, {"default": {split: f"{split}-*.tar" for split in sorted(shards)}})
    return made


def _sample(clip: Mapping[str, Any], track: Mapping[str, Any]) -> dict[str, bytes]:
    """The members of a sample by what follows the id in their names."""
    told = {**track, **{name: clip[name] for name in OF_CLIP}}
    for name in CLIP_TENSORS:
        cell = read_cell(MOTION.field(name), clip[name])
        told[name] = (cell.astype(bool) if name.startswith("is_") else cell).tolist()
    return {
        "json": json.dumps(told, ensure_ascii=False, sort_keys=True).encode(),
        "frames.npy": _npy(read_cell(MOTION.field("frames"), clip["frames"])),
        "motion.npy": _npy(read_cell(MOTION.field("motion_weights"), clip["motion_weights"])),
    }


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


class _Shards:
    """The tar files of one split, the last of which is open."""

    def __init__(self, folder: Path, split: str, shard_bytes: int) -> None:
        self._folder, self._split, self._shard_bytes = folder, split, shard_bytes
        self._counts: dict[str, int] = {}
        self._tar: tarfile.TarFile | None = None

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Write a sample, its members one behind the other."""
        if self._tar is None:
            name = f"{self._split}-{len(self._counts):06d}.tar"
            self._counts[name] = 0
            self._tar = tarfile.open(self._folder / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        for ending, content in members.items():
            member = tarfile.TarInfo(f"{key}.{ending}")  # time 0 and no owner, so that bytes tell of content alone
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
        self._counts[next(reversed(self._counts))] += 1
        if self._tar.offset >= self._shard_bytes:
            self._tar.close()
            self._tar = None

    def close(self) -> dict[str, int]:
        """Finish the last shard; samples of each, by its name."""
        if self._tar is not None:
            self._tar.close()
        return self._counts

    def abandon(self) -> None:
        """Let the last shard go without its end: it is about to be removed."""
        if self._tar is not None and self._tar.fileobj is not None:
            with suppress(OSError):
                self._tar.fileobj.close()
