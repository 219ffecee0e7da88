"""Tokens are those of CLIP: ids that are known from elsewhere, and the same as transformers' own tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.descriptions.tokens import TokenizerError, _tokenizer, count_tokens, tokens_of

PROSE = "Both lip corners rise slowly, then the left brow lowers strongly and stays so until the end."


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("  A photo\n of a CAT ", [320, 1125, 539, 320, 2368]),
        ("hello world!", [3306, 1002, 256]),
        ("", []),
        # The two below were taken from open_clip 3.3.0's own SimpleTokenizer.
        ("both lip corners rise slowly, then", [2212, 8546, 19584, 3151, 9568, 267, 1594]),
        ("they'll blink 12 times", [889, 1342, 18976, 272, 273, 1661]),
    ],
)
def test_ids_are_clips(text: str, ids: list[int]) -> None:
    assert tokens_of(text) == ids
    assert count_tokens(text) == len(ids)


@pytest.fixture(scope="session")
def transformers_clip() -> Any:
    """The same vocabulary in transformers' class, a second put-together of the same parts."""
    from transformers import CLIPTokenizer

    model: dict[str, Any] = json.loads(_tokenizer("clip").to_str())["model"]
    build: Any = CLIPTokenizer
    return build(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=80).filter(lambda t: "<|" not in t)
)
def test_any_text_has_the_tokens_that_transformers_gives(transformers_clip: Any, text: str) -> None:
    assert tokens_of(text) == transformers_clip(text, add_special_tokens=False)["input_ids"]


def test_another_encoders_tokenizer_comes_from_its_file_and_is_never_cut(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    saved = Tokenizer(models.WordLevel({"jaw": 0, "drops": 1, "?": 2}, unk_token="?"))
    saved.pre_tokenizer = pre_tokenizers.Whitespace()
    saved.enable_truncation(3)
    saved.enable_padding(length=10)
    saved.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert tokens_of("the jaw drops again and again", str(path)) == [2, 0, 1, 2, 2, 2]


def test_no_tokenizer_there_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="neither 'clip' nor a tokenizer.json nor a folder with one"):
        count_tokens("a", str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="tokenizer.json is no tokenizer"):
        count_tokens("a", str(tmp_path))


def test_many_threads_count_alike() -> None:
    _tokenizer.cache_clear()  # so that the threads load it as well
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(count_tokens, [PROSE] * 200)) == {19}


def test_counting_loads_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from pipeline.descriptions.tokens import count_tokens; count_tokens('a');"
        "sys.exit(', '.join({'torch', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
