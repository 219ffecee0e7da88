"""Make a corpus small enough to carry to a machine that has a GPU and nothing else, and a corpus again there.

    python bench/gpu/carry.py pack CORPUS carried/        # frames of 112 px as H.264, motion as bytes, texts, MiniLM
    python bench/gpu/carry.py unpack carried/ scratch/    # a corpus and the sentence encoder's files, to train from

Only for timing and for ablations side by side, all arms on the same clips: frames and motion weights are rounded (H.264
at CRF 18, 8 bits), the sentence encoder is in half precision and knows the words of these texts alone. 1,400 clips and
the encoder are some 50 MB. Packing needs PyAV; unpacking, and training there, this
repository, torch, transformers, OpenCV, pandas, pyarrow, safetensors, typer, rich, pydantic, platformdirs, datasketch,
jinja2, matplotlib and tensorboard: no Prefect, no vLLM, no decoder.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import Corpus
from pipeline.model.text import MINILM_TOKENIZER, MINILM_WEIGHTS
from pipeline.store import Receipt, Store
from pipeline.training.batches import ClipReader
from pipeline.training.clips import list_clips
from schemas.corpus import TABLES
from schemas.motion import CLIP_FRAMES, CROP_PX, MOTION
from schemas.table import Table, write_cell

SIDE = CROP_PX // 2
"""What the small tower sees. Doubled again, the reader halves it to just these pixels."""

LARGE = {"frames", "motion_weights", "is_motion_known", "is_padding"}
CARRIED = {
    "videos": ("video_id", "path", "label", "split", "group", "licence", "consent"),
    "tracks": ("track_id", "video_id", "start_s", "end_s", "start_reason", "end_reason", "median_face_px"),
    "drafts": ("track_id", "video_id", "text", "claims", "saw_label"),
    "descriptions": ("track_id", "video_id", "text_version", "text", "status", "claims", "saw_label"),
    "motion": tuple(field.name for field in MOTION.columns if field.name not in LARGE),
}
EMBEDDINGS = "embeddings.word_embeddings.weight"
ALWAYS_KNOWN = 2000
"""Word pieces kept in any case: special tokens, letters, and the most frequent ones."""


def pack(root: Path, folder: Path) -> None:
    """Write the carried form of the newest snapshot's clips."""
    import av

    folder.mkdir(parents=True)
    corpus = Corpus(root)
    clips = list_clips(corpus)
    for name, columns in CARRIED.items():
        pq.write_table(corpus.arrow(name, list(columns)), folder / f"{name}.parquet", compression="zstd")
    order = clips.table["clip_id"].to_pylist()
    motion, known, padding = [], [], []
    with av.open(str(folder / "frames.mp4"), "w") as film, ClipReader(clips, SIDE) as reader:
        options = {"crf": "18", "preset": "slow", "g": str(CLIP_FRAMES), "sc_threshold": "0"}
        stream = film.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for position in range(len(order)):
            arrays = reader.room(1)
            reader.read([position], arrays)
            for rgb in arrays[0][0]:
                film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
            motion.append((arrays[1][0] * 255).round().astype(np.uint8))
            known.append(arrays[2][0])
            padding.append(arrays[3][0])
        film.mux(stream.encode())
    np.savez_compressed(
        folder / "clips.npz", clip_ids=np.array(order), motion=np.stack(motion), known=np.stack(known), padding=padding
    )
    _pack_encoder([*corpus.arrow("descriptions", ["text"])["text"], *corpus.arrow("drafts", ["text"])["text"]], folder)


def _pack_encoder(texts: list[pa.StringScalar], folder: Path) -> None:
    from safetensors.numpy import load_file, save_file
    from tokenizers import Tokenizer

    from pipeline.assets import fetch
    from pipeline.model.class_text import CLASS_TEXTS

    shutil.copyfile(fetch(MINILM_TOKENIZER), folder / MINILM_TOKENIZER)
    tokenizer = Tokenizer.from_file(str(folder / MINILM_TOKENIZER))
    spoken = {token for text in [*map(str, texts), *CLASS_TEXTS.values()] for token in tokenizer.encode(text).ids}
    tensors = {name: values.astype(np.float16) for name, values in load_file(fetch(MINILM_WEIGHTS)).items()}
    words = np.array(sorted(spoken | set(range(ALWAYS_KNOWN))))
    (name,) = (name for name in tensors if name.endswith(EMBEDDINGS))
    size = len(tensors[name])
    tensors[name] = tensors[name][words]
    save_file(tensors | {"words": words, "vocabulary": np.array([size])}, folder / MINILM_WEIGHTS)


def unpack(folder: Path, scratch: Path) -> Path:
    """Write the corpus as `scratch`/corpus and the encoder's files as `scratch`/encoder; return the corpus."""
    _unpack_encoder(folder, scratch / "encoder")
    kept = np.load(folder / "clips.npz")
    cells = {name: kept[name] for name in ("motion", "known", "padding")}
    place = {str(clip_id): number for number, clip_id in enumerate(kept["clip_ids"])}
    film = _frames(folder / "frames.mp4", len(place))
    store = Store.open_or_create(scratch / "corpus", 16)
    receipts = []
    for name in CARRIED:
        table = TABLES[name]
        rows: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in pq.read_table(folder / f"{name}.parquet").to_pylist():
            rows[store.bucket_of(row["video_id"])].append(row)
        for bucket, listed in sorted(rows.items()):
            with store.writer(table, bucket, {"stage": f"carried_{name}"}) as writer:
                for row in listed:
                    is_clip = table is MOTION
                    if not is_clip or row["clip_id"] in place:
                        large = _clip(film, cells, place[row["clip_id"]]) if is_clip else {}
                        writer.append(table.rows([_filled(table, row | large)]))
            if writer.file is not None:
                files = {name: writer.file}
                receipts.append(
                    Receipt(stage=f"carried_{name}", bucket=bucket, key="carried", files=files, num_units=len(listed))
                )
    snapshots.commit(store, receipts, parent=None, source="carried", config={}, software={})
    return scratch / "corpus"


def _frames(path: Path, num_clips: int) -> NDArray[np.uint8]:
    """[clips, 16, SIDE, SIDE, 3], RGB."""
    frames = np.empty((num_clips * CLIP_FRAMES, SIDE, SIDE, 3), np.uint8)
    film = cv2.VideoCapture(str(path))
    for number in range(len(frames)):
        is_there, bgr = film.read()
        if not is_there:
            raise ValueError(f"{path} ends after {number} frames, expected {len(frames)}")
        frames[number] = bgr[..., ::-1]
    return frames.reshape(num_clips, CLIP_FRAMES, SIDE, SIDE, 3)


def _clip(film: NDArray[np.uint8], cells: dict[str, NDArray[Any]], number: int) -> dict[str, Any]:
    arrays = {
        "frames": film[number].repeat(2, axis=1).repeat(2, axis=2),
        "motion_weights": cells["motion"][number].astype(np.float32) / 255,
        "is_motion_known": cells["known"][number].astype(np.uint8),
        "is_padding": cells["padding"][number].astype(np.uint8),
    }
    return {name: write_cell(MOTION.field(name), array) for name, array in arrays.items()}


def _filled(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row with something of the right type in every column that was not carried."""
    from tests.training_corpus import filled

    return filled(table, row)


def _unpack_encoder(folder: Path, target: Path) -> None:
    from safetensors.numpy import load_file, save_file

    target.mkdir(parents=True)
    shutil.copyfile(folder / MINILM_TOKENIZER, target / MINILM_TOKENIZER)
    tensors = load_file(folder / MINILM_WEIGHTS)
    words, (size,) = tensors.pop("words"), tensors.pop("vocabulary")
    (name,) = (name for name in tensors if name.endswith(EMBEDDINGS))
    whole = np.zeros((size, tensors[name].shape[1]), np.float32)
    whole[words] = tensors[name]
    save_file({**{n: values.astype(np.float32) for n, values in tensors.items()}, name: whole}, target / MINILM_WEIGHTS)


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("pack", "unpack"))
    parser.add_argument("what", type=Path)
    parser.add_argument("to", type=Path)
    options = parser.parse_args()
    (pack if options.do == "pack" else unpack)(options.what, options.to)


if __name__ == "__main__":
    main()
