"""A corpus in object storage is the corpus on disk: held against a server that speaks S3, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest
import torch

from pipeline.inspection.corpus import Corpus
from pipeline.store import Store, StoreError
from pipeline.training.batches import ClipBatches
from pipeline.training.clips import list_clips
from pipeline.training.sampling import SamplingConfig, plan_sampling
from pipeline.training.splits import SplitConfig, plan_splits
from tests.clip_corpus import MadeTrack, write_clip_corpus
from tests.s3_server import s3_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """host:port of an S3 server."""
    with s3_server() as place:
        yield place


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tracks = [MadeTrack(f"v{n}", label="ab"[n % 2], num_clips=2, texts=(f"text {n}",)) for n in range(4)]
    return write_clip_corpus(tmp_path_factory.mktemp("storage") / "corpus", tracks)


@pytest.fixture(scope="module")
def remote(address: str, local: Path) -> Iterator[str]:
    """The URI of a copy of the corpus in a bucket."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        query = f"endpoint_override=http://{address}&region=us-east-1"
        files, bucket = pafs.FileSystem.from_uri(f"s3://faces?{query}&allow_bucket_creation=true")
        files.create_dir(bucket)
        pafs.copy_files(str(local), f"{bucket}/some/corpus", pafs.LocalFileSystem(), files)
        yield f"s3://faces/some/corpus?{query}"


def test_a_corpus_in_a_bucket_reads_like_the_one_on_disk(local: Path, remote: str) -> None:
    here, there = Corpus(local), Corpus(remote)
    assert there.store.folder is None
    assert there.snapshot == here.snapshot
    assert there.descriptions().equals(here.descriptions())
    assert there.arrow("videos").equals(here.arrow("videos"))
    of_one = ("motion", MadeTrack("v1").video_id, MadeTrack("v1").track_id, ["frames"])
    assert there.of_track(*of_one).num_rows == 2
    assert there.of_track(*of_one).equals(here.of_track(*of_one))
    assert len(there.motion(limit=1)) == 1
    with pytest.raises(KeyError, match="no snapshot 9 in .*faces/some/corpus; there are: 1"):
        Corpus(remote, 9)


@pytest.mark.parametrize("workers", [0, 4])
def test_batches_from_a_bucket_are_those_from_disk(local: Path, remote: str, workers: int) -> None:
    here, there = list_clips(local), list_clips(remote)
    assert there.key == here.key and there.corpus == remote
    plan = plan_sampling(plan_splits(here, SplitConfig(validation_share=0), 0), SamplingConfig())
    with (
        ClipBatches(here, plan, frame_px=224, global_batch=3) as from_disk,
        ClipBatches(there, plan, frame_px=224, global_batch=3, workers=workers) as from_bucket,
    ):
        for disk, bucket in zip(from_disk.epoch(0), from_bucket.epoch(0), strict=True):
            assert disk.positions.tolist() == bucket.positions.tolist()
            assert torch.equal(disk.frames_BTSS3, bucket.frames_BTSS3)
            assert torch.equal(disk.motion_BTGG, bucket.motion_BTGG)


def test_any_other_kind_of_place_is_read_through_fsspec(local: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").put(str(local), "/kept/corpus", recursive=True)
    assert list_clips("memory://kept/corpus").key == list_clips(local).key
    assert list_clips(f"file://{local}").key == list_clips(local).key


def test_a_place_that_cannot_be_read_is_said_with_what_to_do(remote: str) -> None:
    with pytest.raises(
        StoreError, match=r"no corpus at s3://faces/other\?.*run `facescribe build SOURCE --root s3://faces/other"
    ):
        Store.open(remote.replace("some/corpus", "other"))
    with pytest.raises(StoreError, match="cannot open strange://x: neither this program nor fsspec .* knows this kind"):
        Store.open("strange://x")
