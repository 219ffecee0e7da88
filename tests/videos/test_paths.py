"""A stored path is plain text, and finds its file again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.videos.paths import path_of, path_text

names = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name)


@given(names | st.text(st.sampled_from('\\x0FfA1."\u202e\x1b\x85é'), min_size=1).map(str.encode))
def test_every_name_is_found_again_by_its_text(name: bytes) -> None:
    text = path_text(os.fsdecode(name))
    assert os.fsencode(path_of(Path(), text).as_posix()) == os.fsencode(Path(os.fsdecode(name)).as_posix())
    assert text.encode(), "a table holds UTF-8 only"
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain name.mp4", "plain name.mp4"),
        ("höhe/\N{GRINNING FACE}.mp4".encode(), "höhe/\N{GRINNING FACE}.mp4"),
        (b"caf\xe9.mp4", "caf\\xE9.mp4"),
        (b"two\nlines.mp4", "two\\x0Alines.mp4"),
        (rb"a\x41.mp4", r"a\x5Cx41.mp4"),
    ],
)
def test_only_what_is_no_text_is_escaped(name: bytes, text: str) -> None:
    assert path_text(os.fsdecode(name)) == text
