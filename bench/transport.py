"""Time the transport beside POT's batched solvers at the same error, and inside a training step.

    python bench/transport.py                     # tables in Markdown; some two minutes on two cores
    python bench/transport.py --device cuda       # the same on a GPU
    python bench/transport.py --step              # what of a step of the small network is the transport

The same error: each solver gets as few iterations as bring its marginals within --error of what they must be, summed
over the plan, for the worst clip. Rounds are interleaved, so that what else the machine does meets all alike; the
median is shown. `log_sinkhorn` is POT's safe solver and its default. `sinkhorn` is the one that does not guard against
underflow; where it fails, the table says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import ot
import torch
from torch import Tensor

from pipeline.model.transport import sinkhorn

COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300, 500, 1000)
SHAPES = ((64, 40, 784), (16, 40, 784), (32, 20, 196))
RATIOS = (1.0, 0.5, 0.25, 0.15)

Solve = Callable[[int], Tensor]
"""The plan [B, L, N] after so many iterations."""


@dataclass
class Timed:
    """A solver and what was seen of it."""

    name: str
    solve: Solve
    iterations: int | None = None
    error: float = float("nan")
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--error", type=float, default=1e-3)
    parser.add_argument("--step", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, POT {ot.__version__}\n")
    else:
        print(f"CPU, {arguments.threads} thread(s), torch {torch.__version__}, POT {ot.__version__}\n")
    if arguments.step:
        time_step(arguments.device, arguments.rounds)
    else:
        compare(arguments.device, arguments.rounds, arguments.error)


def compare(device: str, rounds: int, error: float) -> None:
    """One line per shape and ratio."""
    print(f"Marginals within {error:g}; epsilon in standard deviations of the costs; milliseconds (iterations).\n")
    print("| clips x words x visual | epsilon | ours | POT log_sinkhorn | POT sinkhorn | log / ours | exp / ours |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for ratio in RATIOS:
            cost, words, regions = problem(*shape, device)
            solvers = solvers_of(cost, words, regions, ratio, device)
            for timed in solvers:
                find_iterations(timed, words, regions, error)
            for _ in range(rounds):
                for timed in solvers:
                    if timed.iterations is not None:
                        timed.seconds.append(seconds(timed.solve, timed.iterations, device))
            print(line(shape, ratio, solvers))


def problem(clips: int, words: int, visual: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine costs between tokens of 16 directions, of standard deviation 1: POT has one epsilon for all clips."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(clips, words, 16, generator=generator)
    seen = torch.randn(clips, visual, 16, generator=generator)
    cost = 1 - torch.nn.functional.normalize(text, dim=2) @ torch.nn.functional.normalize(seen, dim=2).transpose(1, 2)
    cost = cost / cost.std(dim=(1, 2), correction=0, keepdim=True)
    motion = torch.rand(clips, visual, generator=generator) ** 4
    marginal = 0.8 * motion / motion.sum(dim=1, keepdim=True) + 0.2 / visual
    return cost.to(device), torch.full((clips, words), 1 / words, device=device), marginal.to(device)


def solvers_of(cost: Tensor, words: Tensor, regions: Tensor, ratio: float, device: str) -> list[Timed]:
    """Ours and POT's two."""

    def ours(iterations: int) -> Tensor:
        return sinkhorn(cost, words, regions, epsilon=ratio, iterations=iterations).plan_BLN

    def pot(method: str) -> Solve:
        def solve(iterations: int) -> Tensor:
            with torch.device(device):  # POT 0.9.7 makes the potentials of `sinkhorn` where new tensors are made
                solved = ot.solve_batch(
                    cost, ratio, words, regions, max_iter=iterations, tol=0.0, method=method, grad="detach"
                )
            plan: Tensor = solved.plan
            return plan

        return solve

    return [Timed("ours", ours), Timed("log", pot("log_sinkhorn")), Timed("exp", pot("sinkhorn"))]


def find_iterations(timed: Timed, words: Tensor, regions: Tensor, error: float) -> None:
    """Note the fewest iterations of COUNTS that reach the error, and the error; None where none does."""
    for count in COUNTS:
        plan = timed.solve(count).double()
        off = (plan.sum(2) - words).abs().sum(1) + (plan.sum(1) - regions).abs().sum(1)
        timed.error = float(off.max())
        if timed.error <= error:
            timed.iterations = count
            return


def seconds(solve: Solve, iterations: int, device: str) -> float:
    """One run."""
    if device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    solve(iterations)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def line(shape: tuple[int, int, int], ratio: float, solvers: list[Timed]) -> str:
    """One line of the table."""
    cells, ratios = [], []
    for timed in solvers:
        if timed.iterations is None:
            cells.append(f"fails ({timed.error:.1g})")
        else:
            cells.append(f"{1e3 * median(timed.seconds):.1f} ({timed.iterations})")
    for timed in solvers[1:]:
        pairs = [theirs / ours for theirs, ours in zip(timed.seconds, solvers[0].seconds, strict=False)]
        ratios.append(f"{median(pairs):.1f}" if pairs else "-")
    return f"| {' x '.join(map(str, shape))} | {ratio} | {' | '.join(cells)} | {' | '.join(ratios)} |"


def time_step(device: str, rounds: int) -> None:
    """Forward and backward of the small network with each alignment, and the transport's own part of it."""
    from pipeline.model import network as networks
    from pipeline.model.batch import ClipBatch
    from pipeline.model.config import ModelConfig

    clips, words, spent = 16, 40, [0.0]

    def timed_sinkhorn(*given: Tensor, **how: object) -> object:
        begun = time.perf_counter()
        solved = sinkhorn(*given, **how)  # type: ignore[arg-type]
        if device == "cuda":
            torch.cuda.synchronize()
        spent[0] += time.perf_counter() - begun
        return solved

    networks.sinkhorn = timed_sinkhorn  # type: ignore[assignment]
    side = ModelConfig().frame_px
    batch = ClipBatch(
        frames_BTSS3=torch.randint(0, 255, (clips, 16, side, side, 3), dtype=torch.uint8),
        motion_BTGG=torch.rand(clips, 16, 14, 14),
        is_motion_known_BT=torch.ones(clips, 16, dtype=torch.bool),
        is_padding_BT=torch.zeros(clips, 16, dtype=torch.bool),
        text_BLE=torch.randn(clips, words, 384),
        is_word_BL=torch.ones(clips, words, dtype=torch.bool),
        has_text_B=torch.ones(clips, dtype=torch.bool),
    ).to(device)
    print(f"One step (forward, backward) of the small network, {clips} clips of {words} words.\n")
    print("| alignment | step, ms | transport, ms | share |\n|---|---|---|---|")
    for alignment in ("none", "attention", "balanced", "unbalanced"):
        torch.manual_seed(0)
        network = networks.GraceNetwork(ModelConfig(alignment=alignment), torch.randn(7, 384)).to(device)
        steps, parts = [], []
        for number in range(rounds + 2):
            begun, spent[0] = time.perf_counter(), 0.0
            said = network(batch)
            (said.logits_BK.logsumexp(1).mean() + said.transport_B.mean()).backward()
            if device == "cuda":
                torch.cuda.synchronize()
            if number >= 2:
                steps.append(time.perf_counter() - begun)
                parts.append(spent[0])
        print(
            f"| {alignment} | {1e3 * median(steps):.0f} | {1e3 * median(parts):.1f} "
            f"| {median(parts) / median(steps):.1%} |"
        )


if __name__ == "__main__":
    main()
