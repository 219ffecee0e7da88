"""Looking for what a video left behind: nothing is overlooked, in whatever form it was written."""

from __future__ import annotations

import base64
import html
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.traces import Needles, Traces

TEXT = 'The "left" lip corner rises; it\'s <strong> 😀.'


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.lists(st.binary(min_size=8, max_size=40), min_size=1, max_size=6), st.data())
def test_what_lies_in_bytes_is_found_and_nothing_else(hay: bytes, needles: list[bytes], data: st.DataObject) -> None:
    for needle in data.draw(st.lists(st.sampled_from(needles))):
        place = data.draw(st.integers(0, len(hay)))
        hay = hay[:place] + needle + hay[place:]
    found = Needles(dict.fromkeys(needles, "text")).within(np.frombuffer(hay, np.uint8), step=64)
    assert found == {needle for needle in needles if needle in hay}


def test_a_text_is_found_in_every_form_that_files_hold() -> None:
    needles = Needles(Traces(texts={TEXT}).needles())
    answer = json.dumps({"description": TEXT})
    plain = json.dumps(TEXT, ensure_ascii=False)
    for written in (TEXT, answer, json.dumps({"text": answer}), html.escape(TEXT), plain):
        assert needles.in_bytes(f"before {written} after".encode()), written
    assert not needles.in_bytes(TEXT.replace("rises", "falls").encode())


def test_a_picture_is_found_in_base64_wherever_it_begins() -> None:
    picture = os.urandom(5000)
    traces = Traces()
    traces.add_rows(pa.table({"crop_jpeg": [picture]}))
    needles = Needles(traces.needles())
    for before in range(4):
        assert needles.in_bytes(base64.b64encode(bytes(before) + picture + b"after"))
    assert not needles.in_bytes(base64.b64encode(os.urandom(5000)))


def test_values_of_parquet_are_found_where_their_bytes_are_compressed(tmp_path: Path) -> None:
    path = tmp_path / "stranger.parquet"
    texts = [TEXT.replace("left", f"{n}") for n in range(50)] + [TEXT]  # the last one is written as what differs
    asked = [[{"why": "no", "raw_answer": text}] for text in texts]
    rows = pa.table({"a.b": asked, "a": texts})
    pq.write_table(rows, path, compression="zstd", use_dictionary=False, write_statistics=False)
    needles = Needles(Traces(texts={TEXT}).needles())
    assert not needles.in_file(path)
    assert needles.in_parquet(path) == {TEXT.encode()}


def test_a_flat_picture_is_no_trace_and_a_short_path_is_not_looked_for() -> None:
    traces = Traces(paths={"a.mp4", "some/where.mp4"})
    traces.add_rows(pa.table({"crop_jpeg": [bytes(5000)]}))
    assert not traces.pictures
    assert traces.too_short() == 1
    assert set(traces.needles()) == {b"some/where.mp4"}
