"""A CLIP model of random weights in the layout of transformers: for speed, and for smoke where there is no real one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WIDTH = 512


def write_random_clip(folder: Path, texts: Sequence[str] = (), *, small: bool = False) -> Path:
    """Write both halves, ViT-B/16 beside CLIP's text transformer, with a tokenizer that knows the words of `texts`.

    `small`: as many patches and little else, for a CPU.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # half of a model is loaded at a time, which it would warn of
    spoken = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())})
    words = {word: number for number, word in enumerate(["<start>", "<end>", "<other>", *spoken])}
    vision: dict[str, Any] = {"image_size": 224, "patch_size": 16, "hidden_size": 768, "intermediate_size": 3072}
    vision |= {"num_hidden_layers": 12, "num_attention_heads": 12}
    text: dict[str, Any] = {"hidden_size": 512, "num_attention_heads": 8, "num_hidden_layers": 12}
    if small:
        vision = {"image_size": 56, "patch_size": 4, "hidden_size": 64, "intermediate_size": 128}
        vision |= {"num_hidden_layers": 2, "num_attention_heads": 2}
        text = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
    shared = {"projection_dim": WIDTH}
    text |= {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 1}
    model = CLIPModel(CLIPConfig(text_config=text | shared, vision_config=vision | shared, **shared))
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<other>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<start>", 0), ("<end>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
