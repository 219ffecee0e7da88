"""Ask a network about clips that it does not learn from, in all processes, and score the videos.

Shape letters: N = clips, K = classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from pipeline.training.metrics import confusion_of, uar_of, war_of

if TYPE_CHECKING:
    from pipeline.model.network import GraceNetwork
    from pipeline.training.assemble import Assembler
    from pipeline.training.batches import ClipBatches
    from pipeline.training.clips import ClipList
    from pipeline.training.ranks import Ranks


def validate(
    network: GraceNetwork, batches: ClipBatches, clips: ClipList, assembler: Assembler, ranks: Ranks, dtype: torch.dtype
) -> dict[str, float]:
    """UAR, WAR and mean negative log-likelihood of the videos; a video is scored by the mean of its clips' logarithms.

    The network's training flag is put back. Every rank has to call it, and gets the same.
    """
    positions = np.sort(batches.plan.rows_of(clips))
    targets_NK = assembler.targets(positions)
    log_probability_NK = torch.zeros(targets_NK.shape, device=ranks.device)
    was_training = network.training
    network.eval()
    with torch.inference_mode(), torch.autocast(ranks.device.type, dtype, enabled=dtype != torch.float32):
        for raw in batches.epoch(0):
            if len(raw.positions):
                readout = network(assembler.batch(raw, device=ranks.device).batch)
                places = torch.from_numpy(np.searchsorted(positions, raw.positions)).to(ranks.device)
                log_probability_NK[places] = functional.log_softmax(readout.logits_BK.float(), dim=-1)
    network.train(was_training)
    scores_NK = ranks.sum(log_probability_NK).double().cpu().numpy()
    videos = np.array(clips.table["video_id"].to_pylist(), dtype=object)[positions]
    _, first, number = np.unique(videos, return_index=True, return_inverse=True)
    scores = np.zeros((len(first), scores_NK.shape[1]))
    np.add.at(scores, number, scores_NK)
    scores = functional.log_softmax(torch.from_numpy(scores / np.bincount(number)[:, None]), dim=-1).numpy()
    truth = targets_NK.argmax(-1).numpy()[first]
    table = confusion_of(truth, scores.argmax(-1), scores.shape[1])
    hits, asked = table.diagonal(), table.sum(1)
    nll = -scores[np.arange(len(truth)), truth].mean()
    return {"uar": float(uar_of(hits, asked)), "war": float(war_of(hits, asked)), "nll": float(nll)}
