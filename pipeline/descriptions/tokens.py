"""Count a text's tokens as a text encoder would: CLIP's byte-pair tokenizer, or another one out of a file."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from pipeline.assets import fetch

CLIP = "clip"
"""The encoder that is counted for if none is named."""

CLIP_CONTEXT_TOKENS = 77
"""Length of a CLIP text encoder's input; two of them are the start and end tokens. What is beyond is cut off."""

CLIP_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"

_NUM_MERGES = 49152 - 256 - 2  # the file holds more than CLIP's vocabulary of 49,408 takes
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class TokenizerError(ValueError):
    """No tokenizer is at the path that was named; the message says what was looked for."""


def count_tokens(text: str, encoder: str = CLIP) -> int:
    """Number of the text's tokens, without the special ones that an encoder adds at its start and end. Thread-safe.

    The tokenizer is loaded by the first call (CLIP: 0.2 s, after its vocabulary was fetched once) and then kept.

    Args:
        text: any text.
        encoder: "clip", or the path of a Hugging Face `tokenizer.json` or of the folder that holds it.

    Raises:
        TokenizerError: `encoder` is neither.
        pipeline.assets.AssetError: CLIP's vocabulary cannot be fetched.
    """
    return len(tokens_of(text, encoder))


def tokens_of(text: str, encoder: str = CLIP) -> list[int]:
    """The ids of the text's tokens in the encoder's vocabulary. Arguments and errors are those of `count_tokens`."""
    ids: list[int] = _tokenizer(encoder).encode(text, add_special_tokens=False).ids
    return ids


@cache
def _tokenizer(encoder: str) -> Tokenizer:
    return _clip() if encoder == CLIP else _saved(Path(encoder).expanduser())


def _clip() -> Tokenizer:
    """CLIP's tokenizer as `transformers.CLIPTokenizer` puts it together, which would take seconds to import.

    Source: A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, 2.4.
    OpenAI's own also repairs mis-decoded text and HTML entities; none of that is in what is counted here.
    """
    lines = gzip.decompress(fetch(CLIP_VOCABULARY).read_bytes()).decode("utf-8").split("\n")
    merges = [(left, right) for left, right in (line.split() for line in lines[1 : _NUM_MERGES + 1])]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # one for each byte, in the order of CLIP's ids
    entries = [*letters, *(f"{letter}</w>" for letter in letters), *(left + right for left, right in merges)]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _saved(place: Path) -> Tokenizer:
    path = place / "tokenizer.json" if place.is_dir() else place
    if not path.is_file():
        raise TokenizerError(
            f"no text encoder {str(place)!r}: it is neither {CLIP!r} nor a tokenizer.json nor a folder with one. "
            "transformers writes one: AutoTokenizer.from_pretrained(…).save_pretrained(folder)."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no narrower type of its own
        raise TokenizerError(f"{path} is no tokenizer of the `tokenizers` library: {error}") from error
    tokenizer.no_truncation()  # a saved length limit or padding would hide what is over the budget
    tokenizer.no_padding()
    return tokenizer
