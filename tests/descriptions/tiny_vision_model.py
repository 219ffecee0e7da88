"""Write a vision-language model of a few million parameters that vLLM serves: LLaVA's parts, each as small as it goes.

It holds no weights: serve it with `--load-format dummy`, which fills in random ones. It answers in random words, and
all the way to it, images included, is the way to a real model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

IMAGE_PX = 224
PATCH_PX = 32
TOKENS_PER_IMAGE = (IMAGE_PX // PATCH_PX) ** 2
"""The place of one image in the prompt: one token a patch."""

SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou"]
WORDS = [".", ",", *SYLLABLES, *(first + second for first in SYLLABLES for second in SYLLABLES)]
"""So many that random weights hardly ever choose the token that ends the answer: its text would be empty."""

UNKNOWN, START, END, IMAGE = "<unk>", "<s>", "</s>", "<image>"

# It goes through the parts of a message, so vLLM leaves each image where it stands between the texts.
CHAT_TEMPLATE = """{{ bos_token }}{% for message in messages %}{{ message['role'] }} : \
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'text' %}{{ part['text'] }} {% else %}<image> {% endif %}{% endfor %}{% endif %}\
{% endfor %}{% if add_generation_prompt %}assistant : {% endif %}"""


def write_tiny_vision_model(folder: Path) -> Path:
    """The folder with configuration, word-level tokenizer, chat template and image preparation; needs no network."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _write_tokenizer(folder)
    _write_config(folder, tokenizer)
    image_processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": IMAGE_PX},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": IMAGE_PX, "width": IMAGE_PX},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    processor = {
        "processor_class": "LlavaProcessor",
        "image_token": IMAGE,
        "patch_size": PATCH_PX,
        "num_additional_image_tokens": 1,  # the class token, which `default` leaves out again
        "vision_feature_select_strategy": "default",
    }
    _write_json(folder / "preprocessor_config.json", {**image_processor, "processor_class": "LlavaProcessor"})
    _write_json(folder / "processor_config.json", processor)
    return folder


def _write_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([UNKNOWN, START, END, IMAGE, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.decoder = decoders.WordPiece(prefix="##", cleanup=False)  # puts a blank between words
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=END,
        additional_special_tokens=[IMAGE],
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _write_config(folder: Path, tokenizer: Any) -> None:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    eye = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_PX,
        patch_size=PATCH_PX,
        projection_dim=64,
    )
    writer = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=eye,
        text_config=writer,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        architectures=["LlavaForConditionalGeneration"],
        dtype="bfloat16",
    )
    config.save_pretrained(folder)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
