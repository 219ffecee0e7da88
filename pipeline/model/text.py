"""Read texts token by token with a frozen text tower: the packaged MiniLM, or the text half of a CLIP model.

Shape letters: B = texts, L = tokens, E = width of a feature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from pipeline.assets import ASSETS, fetch
from pipeline.model.config import ModelConfig

MINILM_WEIGHTS, MINILM_TOKENIZER = "all-MiniLM-L6-v2.safetensors", "all-MiniLM-L6-v2.tokenizer.json"

MAX_TOKENS = 128
"""A text of more is refused, never cut without a word. Descriptions are held to CLIP's 77 tokens when written."""

_STOP_WORDS = """
a an and are as at be but by for from had has have he her his in into is it its of off on or our she so some than that
the their them then there these they this those to was were what when where which while who with you
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that name nothing a face could show; a description's sides, times and degrees are not among them."""


class TextTowerError(ValueError):
    """A text tower that cannot be loaded, or a text that it cannot read whole; the message says which and why."""


@dataclass(frozen=True)
class TextFeatures:
    """One text as its tower reads it."""

    tokens_LE: Tensor
    """float32, special tokens left out."""

    is_word_L: Tensor
    """bool: tokens of words that carry meaning."""

    spans: tuple[tuple[int, int], ...]
    """Where each token stands in the text: first character, and the one after the last."""

    pooled_E: Tensor
    """float32, length 1: the text as a whole."""


class TextTower(Protocol):
    """A frozen reader of texts."""

    width: int
    key: str
    """Hash of the weights."""

    def encode(self, texts: Sequence[str]) -> list[TextFeatures]:
        """Read each text. Raises TextTowerError where one is empty or too long."""


def load_text_tower(config: ModelConfig) -> TextTower:
    """The text tower that a config names.

    Raises:
        TextTowerError: there is none at `tower_path`.
        pipeline.assets.AssetError: the packaged weights cannot be fetched.
    """
    if config.text_tower == "minilm":
        return MiniLM()
    assert config.tower_path is not None  # the config's own check
    return ClipText(config.tower_path)


class _Tower:
    """What both towers share: tokenize, run in batches, cut the padding off."""

    width: int
    key: str
    _tokenizer: Tokenizer
    _max_tokens: int

    def encode(self, texts: Sequence[str]) -> list[TextFeatures]:
        found: list[TextFeatures] = []
        for start in range(0, len(texts), 64):
            found += self._encode_batch(texts[start : start + 64])
        return found

    @torch.inference_mode()
    def _encode_batch(self, texts: Sequence[str]) -> list[TextFeatures]:
        encoded = [self._tokenizer.encode(text) for text in texts]
        for text, one in zip(texts, encoded, strict=True):
            if not sum(mask == 0 for mask in one.special_tokens_mask):
                raise TextTowerError(f"a text without a word cannot be read: {text!r}")
            if len(one.ids) > self._max_tokens:
                raise TextTowerError(
                    f"a text of {len(one.ids)} tokens is longer than the {self._max_tokens} that its tower reads, and "
                    f"it is never cut: {text[:60]!r}…"
                )
        longest = max(len(one.ids) for one in encoded)
        ids_BL = torch.zeros(len(texts), longest, dtype=torch.long)
        mask_BL = torch.zeros(len(texts), longest, dtype=torch.long)
        for row, one in enumerate(encoded):
            ids_BL[row, : len(one.ids)] = torch.tensor(one.ids)
            mask_BL[row, : len(one.ids)] = 1
        tokens_BLE, pooled_BE = self._run(ids_BL, mask_BL)
        features = []
        for row, (text, one) in enumerate(zip(texts, encoded, strict=True)):
            kept = [place for place, special in enumerate(one.special_tokens_mask) if not special]
            spans = tuple((int(first), int(stop)) for first, stop in (one.offsets[place] for place in kept))
            features.append(
                TextFeatures(
                    tokens_LE=tokens_BLE[row, kept].float().clone(),
                    is_word_L=torch.tensor(are_words(text, spans)),
                    spans=spans,
                    pooled_E=torch.nn.functional.normalize(pooled_BE[row].float(), dim=-1),
                )
            )
        return features

    def _run(self, ids_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class MiniLM(_Tower):
    """all-MiniLM-L6-v2, out of its package. Source: W. Wang et al. 2020; the card of Sentence-Transformers' model."""

    width = 384

    def __init__(self) -> None:
        from transformers import BertConfig, BertModel

        model: Any = BertModel  # untyped
        shape = BertConfig(
            vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        self._model = model(shape, add_pooling_layer=False).eval()
        weights = load_file(fetch(MINILM_WEIGHTS))
        kept = {
            name: value
            for name, value in weights.items()
            if not name.startswith(("pooler.", "embeddings.position_ids"))
        }
        self._model.load_state_dict(kept)
        self._tokenizer = Tokenizer.from_file(str(fetch(MINILM_TOKENIZER)))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_tokens = MAX_TOKENS
        self.key = ASSETS[MINILM_WEIGHTS].sha256

    def _run(self, ids_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        tokens_BLE = self._model(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        weights = mask_BL[:, :, None].float()
        return tokens_BLE, (tokens_BLE * weights).sum(1) / weights.sum(1)


class ClipText(_Tower):
    """The text half of a CLIP model at `path`, every token projected into the space that images share."""

    def __init__(self, path: Path) -> None:
        from transformers import CLIPTextModelWithProjection

        weights, tokenizer = path / "model.safetensors", path / "tokenizer.json"
        for file in (path / "config.json", weights, tokenizer):
            if not file.is_file():
                raise TextTowerError(f"no {file.name} in {path}: expected a CLIP model as transformers saves it")
        model: Any = CLIPTextModelWithProjection  # untyped
        self._model = model.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.width = int(self._model.config.projection_dim)
        self._max_tokens = int(self._model.config.max_position_embeddings)
        self.key = _sha256(weights)

    def _run(self, ids_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        read = self._model(input_ids=ids_BL, attention_mask=mask_BL)
        return self._model.text_projection(read.last_hidden_state), read.text_embeds


def are_words(text: str, spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Which tokens belong to words that carry meaning; a word in pieces is looked at as a whole."""
    flags = []
    for first, stop in spans:
        if not any(sign.isalpha() for sign in text[first:stop]):
            flags.append(False)
            continue
        start, end = first, stop
        while start > 0 and text[start - 1].isalnum():
            start -= 1
        while end < len(text) and text[end].isalnum():
            end += 1
        flags.append(text[start:end].lower() not in STOP_WORDS)
    return flags


def stack_texts(features: Sequence[TextFeatures | None], width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Texts of different lengths as one batch: text_BLE, is_word_BL and has_text_B. None is a clip without a text."""
    longest = max([len(one.tokens_LE) for one in features if one is not None], default=1)
    text_BLE = torch.zeros(len(features), longest, width)
    is_word_BL = torch.zeros(len(features), longest, dtype=torch.bool)
    for row, one in enumerate(features):
        if one is not None:
            text_BLE[row, : len(one.tokens_LE)] = one.tokens_LE
            is_word_BL[row, : len(one.is_word_L)] = one.is_word_L
    return text_BLE, is_word_BL, torch.tensor([one is not None and bool(one.is_word_L.any()) for one in features])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
