"""Byte strings put aside come back by number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tracks.spool import Spool


@given(pieces=st.lists(st.binary(max_size=50), max_size=20), data=st.data())
def test_what_was_put_aside_comes_back_at_any_time(pieces: list[bytes], data: st.DataObject) -> None:
    with Spool() as spool:
        for number, piece in enumerate(pieces):
            assert spool.append(piece) == number
            earlier = data.draw(st.integers(0, number))
            assert spool.read(earlier) == pieces[earlier]


def test_a_number_that_was_never_given_is_refused() -> None:
    with Spool() as spool:
        spool.append(b"one")
        with pytest.raises(IndexError, match="holds 1 pieces, asked for number 1"):
            spool.read(1)
        with pytest.raises(IndexError):
            spool.read(-1)
