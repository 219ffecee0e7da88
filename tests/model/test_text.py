"""Texts as the packaged sentence encoder reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipeline.model.class_text import CLASS_TEXTS, class_texts
from pipeline.model.text import MAX_TOKENS, ClipText, MiniLM, TextTowerError, are_words, stack_texts

TEXT = "The lip corners rise on both sides, then the left brow lowers slightly."


@pytest.fixture(scope="module")
def tower() -> MiniLM:
    return MiniLM()


def test_the_words_that_count_are_those_that_name_what_a_face_shows(tower: MiniLM) -> None:
    (read,) = tower.encode([TEXT])
    words = [
        TEXT[first:stop] for (first, stop), counts in zip(read.spans, read.is_word_L.tolist(), strict=True) if counts
    ]
    assert words == ["lip", "corners", "rise", "both", "sides", "left", "brow", "lowers", "slightly"]
    assert len(read.spans) == len(read.tokens_LE) == len(read.is_word_L)


def test_texts_of_the_same_meaning_are_nearer_than_others(tower: MiniLM) -> None:
    smile, joy, frown = tower.encode(["smiles broadly with raised cheeks", "happy and joyful", "frowns angrily"])
    assert float(smile.pooled_E @ joy.pooled_E) > float(smile.pooled_E @ frown.pooled_E) + 0.1


def test_a_text_is_read_the_same_beside_a_longer_one(tower: MiniLM) -> None:
    (alone,) = tower.encode(["the jaw drops"])
    beside, _ = tower.encode(["the jaw drops", TEXT])
    assert torch.allclose(alone.tokens_LE, beside.tokens_LE, atol=1e-5)


def test_a_text_that_is_too_long_is_refused_and_never_cut(tower: MiniLM) -> None:
    with pytest.raises(TextTowerError, match="never cut"):
        tower.encode(["brow " * (MAX_TOKENS + 1)])


def test_a_text_without_a_word_is_refused(tower: MiniLM) -> None:
    with pytest.raises(TextTowerError, match="without a word"):
        tower.encode([""])


def test_a_word_in_pieces_is_looked_at_whole() -> None:
    assert are_words("then there", [(0, 2), (2, 4), (5, 10)]) == [False, False, False]
    assert are_words("dimples, 3.", [(0, 3), (3, 7), (7, 8), (9, 10), (10, 11)]) == [True, True, False, False, False]


def test_a_clip_without_a_text_is_zeros_that_say_so(tower: MiniLM) -> None:
    (read,) = tower.encode([TEXT])
    text, is_word, has_text = stack_texts([read, None], tower.width)
    assert has_text.tolist() == [True, False]
    assert (text[1] == 0).all() and not is_word[1].any()


def test_every_class_of_the_field_is_told_apart_by_its_text(tower: MiniLM) -> None:
    read = torch.stack([one.pooled_E for one in tower.encode(class_texts(list(CLASS_TEXTS)))])
    nearness = read @ read.T - torch.eye(len(read))
    assert float(nearness.max()) < 0.97
    assert class_texts(["boredom"]) == ["the face of a person who feels boredom"]


# --- CLIP's half


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP model of random weights with a tokenizer of whole words, in the layout of transformers."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"<s>": 0, "</s>": 1, "the": 2, "jaw": 3, "drops": 4, "brows": 5, "rise": 6}
    config = CLIPConfig(
        text_config=shape | {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 1, "projection_dim": 16},
        vision_config=shape | {"image_size": 56, "patch_size": 4, "projection_dim": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_clip_reads_every_token_into_the_space_that_images_share(clip_folder: Path) -> None:
    from transformers import CLIPTextModelWithProjection

    tower = ClipText(clip_folder)
    (read,) = tower.encode(["the jaw drops"])
    model: Any = CLIPTextModelWithProjection
    reference = model.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        said = reference(input_ids=torch.tensor([[0, 2, 3, 4, 1]]))
        tokens = reference.text_projection(said.last_hidden_state)[0, 1:-1]
    assert tower.width == 16 and read.spans == ((0, 3), (4, 7), (8, 13))
    assert read.is_word_L.tolist() == [False, True, True]
    assert torch.allclose(read.tokens_LE, tokens, atol=1e-5)
    assert torch.allclose(read.pooled_E, torch.nn.functional.normalize(said.text_embeds[0], dim=-1), atol=1e-5)


def test_clip_reads_a_text_the_same_beside_a_longer_one(clip_folder: Path) -> None:
    tower = ClipText(clip_folder)
    (alone,) = tower.encode(["jaw drops"])
    beside, _ = tower.encode(["jaw drops", "the brows rise the jaw drops"])
    assert torch.allclose(alone.tokens_LE, beside.tokens_LE, atol=1e-5)
    assert torch.allclose(alone.pooled_E, beside.pooled_E, atol=1e-5)


def test_a_clip_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextTowerError, match=r"no config\.json in"):
        ClipText(tmp_path)
