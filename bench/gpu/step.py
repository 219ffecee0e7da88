"""What a training step costs: clips a second, memory, share of a card's arithmetic, the transport's share, the loader.

    python bench/gpu/step.py                 # on a GPU: CLIP ViT-B/16, 16 frames of 224 x 224, bf16
    python bench/gpu/step.py --small         # the same measures on a CPU with a tiny tower, to see that it runs

Weights are random, in CLIP's real layout: speed does not depend on their values, and nothing has to be fetched. Needs
torch, transformers, peft, safetensors, pyarrow, opencv and this repository alone. Prints markdown.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from random_clip import WIDTH as TEXT_WIDTH
from random_clip import write_random_clip
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.model.batch import ClipBatch
from pipeline.model.config import ModelConfig
from pipeline.model.network import GraceNetwork
from pipeline.model.transport import sinkhorn

CLASSES, WORDS = 7, 40
VARIANTS = ("eager", "compiled", "half", "half, compiled")
"""Of the frozen weights: kept as they are (fp32) or in bf16; the layers of the tower compiled or not."""
GOAL_SHARE_OF_PEAK, GOAL_SHARE_OF_TRANSPORT = 0.40, 0.05


def random_batch(clips: int, side: int, device: torch.device) -> ClipBatch:
    """Clips of noise, each with a text of WORDS tokens."""
    batch = ClipBatch(
        frames_BTSS3=torch.randint(0, 255, (clips, 16, side, side, 3), dtype=torch.uint8),
        motion_BTGG=torch.rand(clips, 16, 14, 14),
        is_motion_known_BT=torch.ones(clips, 16, dtype=torch.bool),
        is_padding_BT=torch.zeros(clips, 16, dtype=torch.bool),
        text_BLE=torch.randn(clips, WORDS, TEXT_WIDTH),
        is_word_BL=torch.ones(clips, WORDS, dtype=torch.bool),
        has_text_B=torch.ones(clips, dtype=torch.bool),
    )
    return batch.to(device)


def timed(do: Callable[[], object], device: torch.device, repetitions: int) -> float:
    """Median seconds of one call; two calls go before, unmeasured."""
    durations = []
    for number in range(repetitions + 2):
        _wait(device)
        begin = time.perf_counter()
        do()
        _wait(device)
        if number >= 2:
            durations.append(time.perf_counter() - begin)
    return median(durations)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_flops(device: torch.device, side: int, repetitions: int) -> float:
    """Operations a second that a large bf16 matrix product reaches."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / timed(lambda: left @ right, device, repetitions)


def build(config: ModelConfig, variant: str) -> GraceNetwork:
    """The network, its frozen tower stored and compiled as the variant says."""
    torch.manual_seed(0)
    network = GraceNetwork(config, torch.randn(CLASSES, TEXT_WIDTH))
    tower = network.tower.model
    if "half" in variant:
        for parameter in tower.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    if "compiled" in variant:
        network.tower.compile_layers()
    return network


def flops_of_a_clip(config: ModelConfig, side: int, device: torch.device) -> float:
    """Operations of a training step for each clip, as torch counts them."""
    network = build(config, "eager").to(device).train()
    with FlopCounterMode(display=False) as counter, torch.autocast(device.type, torch.bfloat16):
        read = network(random_batch(2, side, device))
        (read.logits_BK.sum() + read.transport_B.mean()).backward()
    return counter.get_total_flops() / 2


def measure(network: GraceNetwork, batch: ClipBatch, device: torch.device, repetitions: int) -> dict[str, float]:
    """Seconds of a training step, memory, and the transport's own seconds."""
    network = network.to(device).train()
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-5, fused=device.type == "cuda")
    target = torch.zeros(len(batch), dtype=torch.long, device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            read = network(batch)
        loss = torch.nn.functional.cross_entropy(read.logits_BK, target) + 0.1 * read.transport_B.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step_s = timed(step, device, repetitions)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    cost_BLN = torch.rand(len(batch), WORDS, 784, device=device, requires_grad=True)
    text_BL = torch.full((len(batch), WORDS), 1 / WORDS, device=device)
    visual_BN = torch.full((len(batch), 784), 1 / 784, device=device)

    def transport() -> Tensor:
        cost = sinkhorn(cost_BLN, text_BL, visual_BN, epsilon=0.25, iterations=30).cost_B.sum()
        cost.backward()
        return cost

    return {
        "step_s": step_s,
        "memory": float(memory),
        "transport_s": timed(transport, device, repetitions),
    }


def loader_rate(side: int, clips: int, seconds: float) -> float:
    """Clips a second that the loader brings to `side`, out of a corpus of noise written for it."""
    from pipeline.inspection.corpus import Corpus
    from pipeline.training.batches import ClipBatches
    from pipeline.training.clips import list_clips
    from pipeline.training.sampling import SamplingConfig, plan_sampling
    from pipeline.training.splits import SplitConfig, plan_splits
    from tests.clip_corpus import MadeTrack, write_clip_corpus

    with tempfile.TemporaryDirectory() as folder:
        people = [f"person{number % 8}" for number in range(clips)]
        tracks = [
            MadeTrack(f"clip{number}", label=f"label{number % CLASSES}", split="train", group=person)
            for number, person in enumerate(people)
        ]
        write_clip_corpus(Path(folder), tracks)
        listed = list_clips(Corpus(Path(folder)))
        splits = plan_splits(listed, SplitConfig(validation_share=0.2), 0)
        plan = plan_sampling(splits, SamplingConfig())
        count, begin = 0, time.perf_counter()
        with ClipBatches(
            listed, plan, frame_px=side, global_batch=32, seed=0, rank=0, world_size=1, workers=8
        ) as batches:
            for epoch in range(1000):
                for raw in batches.epoch(epoch):
                    count += len(raw.positions)
                if time.perf_counter() - begin > seconds:
                    break
        return count / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny tower, for a CPU")
    parser.add_argument("--batches", type=int, nargs="*", help="clips in a batch, one run each")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS, metavar="VARIANT")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.small:
        parser.error("no CUDA device here: run it with --small to see that it works, or on a machine with a GPU")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU"
    peak = peak_flops(device, 1024 if options.small else 8192, options.repetitions)
    print(f"{name}, torch {torch.__version__}; a bf16 matrix product reaches {peak / 1e12:.2f} TFLOP/s\n")
    print("| tower | clips in a batch | clips/s | step, ms | memory, GiB | share of that product | transport |")
    print("|---|---|---|---|---|---|---|")
    fastest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = write_random_clip(Path(folder), small=options.small)
        side = 56 if options.small else 224
        config = ModelConfig(tower="clip", tower_path=path, frame_px=side, width=256)
        flops = flops_of_a_clip(config, side, device)
        for variant in options.variants:
            for clips in options.batches or ([2, 4] if options.small else [16, 32, 64]):
                network = build(config, variant)
                got = measure(network, random_batch(clips, side, device), device, options.repetitions)
                fastest = max(fastest, clips / got["step_s"])
                cells = [
                    ("tiny" if options.small else "ViT-B/16") + f", {variant}",
                    f"{clips}",
                    f"{clips / got['step_s']:.1f}",
                    f"{1000 * got['step_s']:.1f}",
                    f"{got['memory'] / 2**30:.1f}" if got["memory"] else "not measured on a CPU",
                    f"{flops * clips / got['step_s'] / peak:.0%} (goal {GOAL_SHARE_OF_PEAK:.0%})",
                    f"{got['transport_s'] / got['step_s']:.1%} (goal {GOAL_SHARE_OF_TRANSPORT:.0%})",
                ]
                print("| " + " | ".join(cells) + " |", flush=True)
                del network
    rate = loader_rate(side, 16 if options.small else 256, 3.0)
    print(f"\nloader: {rate:.0f} clips/s at {side} px, {rate / fastest:.1f} times what the fastest step takes")
    print(f"a clip takes {flops / 1e12:.2f} TFLOP in a step")


if __name__ == "__main__":
    main()
