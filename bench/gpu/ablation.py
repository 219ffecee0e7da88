"""The ablation with CLIP towers: ViT-B/16 with LoRA at 16 frames of 224 x 224.

    python bench/gpu/ablation.py --root CORPUS --tower-path CLIP --out runs/large   # yours, on a GPU
    python bench/gpu/ablation.py --small                                            # a handmade corpus, on a CPU

CORPUS is one that `facescribe build` made, with labels; CLIP a folder with config.json, model.safetensors and
tokenizer.json. Without them a handmade corpus and random weights stand in, which shows that every arm trains and is
judged there, and says nothing about the arms. Further options are those of `facescribe ablate`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from random_clip import write_random_clip

from flows.__main__ import main as facescribe
from pipeline.model.class_text import CLASS_TEXTS

CONFIG = """
epochs = {epochs}
batch = {batch}
learning_rate = 1e-4
text_dropout = 0.2
[model]
tower = "clip"
text_tower = "clip"
tower_path = "{tower}"
frame_px = {side}
width = {width}
temperature = 0.01
"""


def main() -> None:
    """Write the config, and call the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--tower-path", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--small", action="store_true", help="a tiny tower of random weights, for a CPU")
    parser.add_argument("--arms", default="vision_only,attention,balanced,unbalanced,shuffled_captions")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root, tower, seeds, epochs = options.root, options.tower_path, options.seeds, options.epochs
        if root is None:
            from tests.training_corpus import TEXTS, write_training_corpus

            root, epochs = Path(scratch) / "corpus", min(epochs, 2)
            write_training_corpus(root)
            texts = [*TEXTS.values(), *CLASS_TEXTS.values()]
            tower = tower or write_random_clip(Path(scratch) / "clip", texts, small=options.small)
        if tower is None:
            parser.error("--tower-path: name the folder of a CLIP model; its weights are not part of this project")
        config = Path(scratch) / "train.toml"
        side, width = (56, 32) if options.small else (224, 256)
        facts = {"epochs": epochs, "batch": options.batch, "tower": tower.resolve(), "side": side, "width": width}
        config.write_text(CONFIG.format(**facts), encoding="utf-8")
        out = options.out or Path(scratch) / "runs"
        named = {"--root": root, "--out": out, "--config": config, "--arms": options.arms, "--seeds": seeds}
        sys.argv = ["facescribe", "ablate", *(str(part) for pair in named.items() for part in pair)]
        facescribe()


if __name__ == "__main__":
    main()
