"""Make what the network is given of what the loader reads: clips with their words, targets, and chance.

Shape letters: B = clips, T = frames, S = side in pixels, G = side of the motion grid, K = classes, L = tokens,
E = width of a text feature.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.model.batch import ClipBatch
from pipeline.model.text import TextFeatures, TextTower, stack_texts
from pipeline.training.augment import change_clips, draw_changes, mirror_words
from pipeline.training.chance import generator, seed_of
from pipeline.training.config import AugmentConfig
from pipeline.training.loss import NO_TEXT

if TYPE_CHECKING:
    from pipeline.training.batches import RawBatch
    from pipeline.training.clips import ClipList

GREY = 128
"""What every pixel is where frames are blanked."""


@dataclass(frozen=True)
class Draw:
    """What a training epoch changes by chance. Each choice hangs on the seed, the epoch and the clip alone."""

    seed: int
    epoch: int
    augment: AugmentConfig
    text_dropout: float = 0.0
    shuffles_frames: bool = False


@dataclass(frozen=True)
class Assembled:
    """A batch with what it is to be learnt against."""

    batch: ClipBatch
    target_BK: Tensor
    """float32: the label, or the distribution of votes; zeros for a clip whose label is no class."""

    text_key_B: Tensor
    """int64: the same for the same text, NO_TEXT for a clip that comes without one."""


class Assembler:
    """Joins clips with texts and targets. Each distinct text is read once by its frozen tower, and kept.

    Texts and labels are those of the clip list, where they were joined by track id. With `text=None` no clip has one.
    """

    def __init__(
        self,
        clips: ClipList,
        text_tower: TextTower,
        labels: Sequence[str],
        *,
        text: Literal["description", "draft"] | None = "description",
        votes: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        table = clips.table
        self._clip_ids: list[str] = table["clip_id"].to_pylist()
        self._video_ids: list[str] = table["video_id"].to_pylist()
        self._texts: list[str | None] = [None] * table.num_rows
        if text is not None:
            self._texts = table["text" if text == "description" else "draft"].to_pylist()
        self._tower = text_tower
        self._features: dict[str, TextFeatures] = {}
        self._targets_NK = _targets(self._video_ids, table["label"].to_pylist(), labels, votes or {})

    @property
    def num_texts(self) -> int:
        """Distinct texts that were read so far."""
        return len(self._features)

    def targets(self, positions: NDArray[np.int64]) -> Tensor:
        """What these clips are learnt against, [N, K]."""
        return self._targets_NK[torch.from_numpy(positions)]

    def read_texts(self, positions: Iterable[int], *, mirrored: bool = False) -> None:
        """Read the texts of these clips now, and those of their mirror images. Else they are when they are needed."""
        texts = {text for position in positions if (text := self._texts[position])}
        self._read(texts | {mirror_words(text) for text in texts} if mirrored else texts)

    def with_shuffled_captions(self, positions: NDArray[np.int64], seed: int) -> Assembler:
        """The same, but each clip among `positions` has the text of a clip of another video among them.

        Every text stays as frequent as it was. Where nearly all clips are of one video, some keep their own.
        """
        other = copy.copy(self)
        other._texts = list(self._texts)
        for position, source in _partners(positions, self._texts, self._video_ids, seed).items():
            other._texts[position] = self._texts[source]
        return other

    def with_shuffled_labels(self, positions: NDArray[np.int64], seed: int) -> Assembler:
        """The same, but the videos among `positions` have each other's targets; a video's clips keep one target."""
        other = copy.copy(self)
        other._targets_NK = self._targets_NK.clone()
        first = {self._video_ids[position]: position for position in sorted(positions.tolist(), reverse=True)}
        videos = sorted(first)
        order = generator(seed, "shuffled labels").permutation(len(videos))
        source = {video: first[videos[place]] for video, place in zip(videos, order.tolist(), strict=True)}
        for position in positions.tolist():
            other._targets_NK[position] = self._targets_NK[source[self._video_ids[position]]]
        return other

    def batch(
        self,
        raw: RawBatch,
        *,
        device: torch.device | str = "cpu",
        draw: Draw | None = None,
        drops_text: bool = False,
        shuffles_frames: int | None = None,
        blanks_frames: bool = False,
    ) -> Assembled:
        """A batch on `device`.

        `draw` changes it by chance, for training; without it, it is as it is. The rest are controls: without texts; the
        frames in another order, by that seed; grey frames that do not move.
        """
        positions = np.asarray(raw.positions)
        ids = [self._clip_ids[position] for position in positions.tolist()]
        texts = [None if drops_text else self._texts[position] for position in positions.tolist()]
        frames, motion, known, padding = (
            part.to(device, non_blocking=True)
            for part in (raw.frames_BTSS3, raw.motion_BTGG, raw.is_motion_known_BT, raw.is_padding_BT)
        )
        if blanks_frames:
            frames, motion, known = torch.full_like(frames, GREY), torch.zeros_like(motion), torch.zeros_like(known)
        orders = None
        if shuffles_frames is not None:
            orders = [generator(shuffles_frames, "shuffled frames", clip) for clip in ids]
        elif draw is not None and draw.shuffles_frames:
            orders = [generator(draw.seed, "shuffled frames", draw.epoch, clip) for clip in ids]
        if orders is not None and ids:
            order_BT = _frame_orders(orders, raw.is_padding_BT).to(device)
            rows = torch.arange(len(ids), device=device)[:, None]
            frames, motion, known = frames[rows, order_BT], motion[rows, order_BT], known[rows, order_BT] & ~padding
        if draw is not None:
            change = draw_changes(draw.augment, draw.seed, draw.epoch, ids)
            frames, motion = change_clips(frames, motion, change)
            flips = change.is_flipped_B.tolist()
            texts = [text and mirror_words(text) if flip else text for text, flip in zip(texts, flips, strict=True)]
            texts = [None if _comes_without(draw, clip) else text for text, clip in zip(texts, ids, strict=True)]
        text_BLE, is_word_BL, has_text_B = self._stack(texts)
        keys = [
            _key_of(text) if text and has else NO_TEXT for text, has in zip(texts, has_text_B.tolist(), strict=True)
        ]
        made = ClipBatch(frames, motion, known, padding, text_BLE, is_word_BL, has_text_B)
        return Assembled(
            batch=made.to(device),
            target_BK=self._targets_NK[torch.from_numpy(positions)].to(device),
            text_key_B=torch.tensor(keys, dtype=torch.int64, device=device),
        )

    def _stack(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor, Tensor]:
        self._read({text for text in texts if text})
        return stack_texts([self._features[text] if text else None for text in texts], self._tower.width)

    def _read(self, texts: set[str]) -> None:
        # Of equal length side by side, so that little is padded; in an order that hangs on the texts alone.
        new = sorted(texts - self._features.keys(), key=lambda text: (len(text), text))
        for text, features in zip(new, self._tower.encode(new), strict=True):
            self._features[text] = features


def _targets(
    video_ids: Sequence[str],
    labels: Sequence[str | None],
    known: Sequence[str],
    votes: Mapping[str, Sequence[float]],
) -> Tensor:
    place = {label: number for number, label in enumerate(known)}
    targets_NK = torch.zeros(len(video_ids), len(known))
    for row, (video, label) in enumerate(zip(video_ids, labels, strict=True)):
        if video in votes:
            shares = torch.tensor(votes[video], dtype=torch.float32)
            targets_NK[row] = shares / shares.sum()
        elif label in place:
            targets_NK[row, place[label]] = 1.0
    return targets_NK


def _partners(
    positions: NDArray[np.int64], texts: Sequence[str | None], video_ids: Sequence[str], seed: int
) -> dict[int, int]:
    """Whose text each clip gets. Clips are put in a row, video by video, and the texts move on by the longest video."""
    by_video: dict[str, list[int]] = {}
    for position in sorted(positions.tolist()):
        if texts[position]:
            by_video.setdefault(video_ids[position], []).append(position)
    videos = sorted(by_video)
    order = generator(seed, "shuffled captions").permutation(len(videos)).tolist()
    row = [position for place in order for position in by_video[videos[place]]]
    longest = max(map(len, by_video.values()), default=0)
    return {position: row[(place + longest) % len(row)] for place, position in enumerate(row)}


def _frame_orders(streams: Sequence[np.random.Generator], is_padding_BT: Tensor) -> Tensor:
    """Orders [B, T] of frames; frames that only repeat the last one stay behind the others, repeating the new last."""
    orders = []
    for stream, is_padding_T in zip(streams, is_padding_BT.numpy(), strict=True):
        shown = np.flatnonzero(~is_padding_T)
        mixed = stream.permutation(shown)
        orders.append(np.concatenate([mixed, np.full(len(is_padding_T) - len(shown), mixed[-1] if len(mixed) else 0)]))
    return torch.from_numpy(np.stack(orders)).long()


def _comes_without(draw: Draw, clip_id: str) -> bool:
    chance: Any = generator(draw.seed, "text dropout", draw.epoch, clip_id).uniform()
    return bool(chance < draw.text_dropout)


def _key_of(text: str) -> int:
    return seed_of("text", text)
