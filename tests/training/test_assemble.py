"""Clips joined with their words: by track, once per text, and with chance that hangs on the clip alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.model.text import TextFeatures
from pipeline.training.assemble import GREY, Assembler, Draw
from pipeline.training.batches import ClipReader, RawBatch
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.config import AugmentConfig, TrainConfigError
from pipeline.training.loss import NO_TEXT
from pipeline.training.votes import read_votes
from tests.training_corpus import LABELS, TEXTS, write_training_corpus

torch.set_num_threads(1)

STILL = AugmentConfig(flip=0, shift=0, zoom=0, brightness=0, contrast=0, saturation=0)


class LetterTower:
    """Reads a text letter by letter, and counts how often it is asked."""

    width, key = 2, "letters"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[TextFeatures]:
        self.asked += texts
        return [
            TextFeatures(
                tokens_LE=torch.tensor([[float(ord(letter)), 1.0] for letter in text]),
                is_word_L=torch.tensor([letter.isalpha() for letter in text]),
                spans=tuple((place, place + 1) for place in range(len(text))),
                pooled_E=torch.tensor([1.0, 0.0]),
            )
            for text in texts
        ]


def spelt(text_LE: torch.Tensor) -> str:
    return "".join(chr(int(code)) for code, there in text_LE.tolist() if there)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipList:
    root = tmp_path_factory.mktemp("assemble") / "corpus"
    write_training_corpus(root, people=("ann", "ben"), clips_of_each=2, without_text=["ben/surprise.mp4"])
    return list_clips(root)


def raw(clips: ClipList, positions: Sequence[int] | NDArray[np.int64]) -> RawBatch:
    with ClipReader(clips, 28) as reader:
        arrays = reader.room(len(positions))
        reader.read(positions, arrays)
    frames, motion, known, padding = (torch.from_numpy(array) for array in arrays)
    return RawBatch(0, np.asarray(positions, np.int64), frames, motion, known, padding, len(positions))


def every(clips: ClipList) -> NDArray[np.int64]:
    return np.arange(len(clips), dtype=np.int64)


def test_a_clip_gets_the_text_of_its_own_track_and_the_target_of_its_label(clips: ClipList) -> None:
    made = Assembler(clips, LetterTower(), LABELS).batch(raw(clips, every(clips)))
    for row, clip in enumerate(clips.table.to_pylist()):
        assert made.target_BK[row].tolist() == [float(label == clip["label"]) for label in LABELS]
        has_text = clip["path"] != "ben/surprise.mp4"
        assert bool(made.batch.has_text_B[row]) == has_text == bool(made.text_key_B[row] != NO_TEXT)
        assert spelt(made.batch.text_BLE[row]) == (TEXTS[clip["label"]] if has_text else "")
    keys = {int(key) for key in made.text_key_B} - {NO_TEXT}
    assert len(keys) == 3, "the same text has the same key"


def test_each_distinct_text_is_read_once_and_kept(clips: ClipList) -> None:
    tower = LetterTower()
    assembler = Assembler(clips, tower, LABELS)
    assembler.read_texts(every(clips).tolist(), mirrored=True)
    draw = Draw(0, 0, AugmentConfig(flip=0.5))
    for epoch in range(3):
        assembler.batch(raw(clips, every(clips)), draw=Draw(0, epoch, draw.augment))
    assert max(Counter(tower.asked).values()) == 1
    assert assembler.num_texts == len(tower.asked) == 5, "surprise has no side, so its mirror image is itself"


def test_a_mirrored_clip_has_the_mirrored_text(clips: ClipList) -> None:
    made = Assembler(clips, LetterTower(), LABELS).batch(
        raw(clips, every(clips)), draw=Draw(0, 0, STILL.model_copy(update={"flip": 1.0}))
    )
    texts = {spelt(row) for row in made.batch.text_BLE} - {""}
    assert texts == {
        "The right lip corner rises, right after the cheeks lift.",
        "The left lip corner turns down at the end.",
        TEXTS["surprise"],
    }


def test_the_draft_is_read_where_it_is_asked_for_and_nothing_where_no_text_is(clips: ClipList) -> None:
    drafts = Assembler(clips, LetterTower(), LABELS, text="draft").batch(raw(clips, [0]))
    assert spelt(drafts.batch.text_BLE[0]).startswith("Draft. ")
    tower = LetterTower()
    without = Assembler(clips, tower, LABELS, text=None).batch(raw(clips, every(clips)))
    assert not without.batch.has_text_B.any() and not tower.asked
    assert without.batch.text_BLE.shape[-1] == tower.width
    dropped = Assembler(clips, tower, LABELS).batch(raw(clips, every(clips)), drops_text=True)
    assert not dropped.batch.has_text_B.any() and (dropped.text_key_B == NO_TEXT).all()


def test_chance_is_the_same_whatever_is_beside_a_clip_and_another_in_each_epoch(clips: ClipList) -> None:
    assembler = Assembler(clips, LetterTower(), LABELS)
    draw = Draw(5, 1, AugmentConfig(), text_dropout=0.5, shuffles_frames=True)
    together = assembler.batch(raw(clips, every(clips)), draw=draw)
    for position in every(clips).tolist():
        alone = assembler.batch(raw(clips, [position]), draw=draw)
        assert torch.equal(alone.batch.frames_BTSS3[0], together.batch.frames_BTSS3[position])
        assert torch.equal(alone.batch.motion_BTGG[0], together.batch.motion_BTGG[position])
        assert alone.text_key_B[0] == together.text_key_B[position]
    later = assembler.batch(raw(clips, every(clips)), draw=Draw(5, 2, AugmentConfig(), 0.5))
    assert not torch.equal(later.batch.frames_BTSS3, together.batch.frames_BTSS3)


def test_text_dropout_takes_about_as_many_texts_as_it_says(clips: ClipList) -> None:
    assembler = Assembler(clips, LetterTower(), LABELS)
    batch = raw(clips, every(clips))
    kept = [
        assembler.batch(batch, draw=Draw(0, epoch, STILL, text_dropout=0.25)).batch.has_text_B for epoch in range(60)
    ]
    share = torch.stack(kept)[:, [place for place, t in enumerate(clips.table["text"].to_pylist()) if t]].float().mean()
    assert 0.69 < share < 0.81


def test_shuffled_frames_keep_each_frame_with_its_motion_and_padding_behind(clips: ClipList) -> None:
    batch = raw(clips, [0])
    batch.is_padding_BT[0, 12:] = True
    batch.frames_BTSS3[0] = torch.arange(16)[:, None, None, None]
    batch.motion_BTGG[0] = torch.arange(16)[:, None, None] / 16
    assembler = Assembler(clips, LetterTower(), LABELS)
    made = assembler.batch(batch, shuffles_frames=0).batch
    order = made.frames_BTSS3[0, :, 0, 0, 0].tolist()
    assert sorted(order[:12]) == list(range(12)) and order[:12] != list(range(12))
    assert order[12:] == [order[11]] * 4
    assert torch.allclose(made.motion_BTGG[0, :, 0, 0] * 16, made.frames_BTSS3[0, :, 0, 0, 0].float())
    assert not (made.is_motion_known_BT & made.is_padding_BT).any()
    again = assembler.batch(batch, shuffles_frames=0).batch
    assert torch.equal(again.frames_BTSS3, made.frames_BTSS3)


def test_blanked_frames_show_nothing_and_do_not_move(clips: ClipList) -> None:
    made = Assembler(clips, LetterTower(), LABELS).batch(raw(clips, [0, 1]), blanks_frames=True).batch
    assert (made.frames_BTSS3 == GREY).all() and (made.motion_BTGG == 0).all() and not made.is_motion_known_BT.any()
    assert made.has_text_B.any()


def test_shuffled_captions_come_from_another_video_and_stay_as_frequent(clips: ClipList) -> None:
    assembler = Assembler(clips, LetterTower(), LABELS)
    positions = np.flatnonzero([text is not None for text in clips.table["text"].to_pylist()])
    batch = raw(clips, positions)
    plain = assembler.batch(batch).text_key_B
    shuffled = assembler.with_shuffled_captions(positions, seed=1).batch(batch).text_key_B
    assert Counter(shuffled.tolist()) == Counter(plain.tolist())
    assert not torch.equal(shuffled, plain)
    assert torch.equal(assembler.batch(batch).text_key_B, plain), "the one it was made from stays as it is"
    assert not torch.equal(assembler.with_shuffled_captions(positions, seed=2).batch(batch).text_key_B, shuffled)


def test_shuffled_labels_are_one_per_video_and_of_the_named_clips_alone(clips: ClipList) -> None:
    named = every(clips)[:8]
    assembler = Assembler(clips, LetterTower(), LABELS)
    before, after = assembler.targets(every(clips)), assembler.with_shuffled_labels(named, 3).targets(every(clips))
    assert torch.equal(before[8:], after[8:]) and not torch.equal(before, after)
    videos = clips.table["video_id"].to_pylist()
    for video in set(videos):
        rows = [row for row in range(8) if videos[row] == video]
        assert len({tuple(after[row].tolist()) for row in rows}) <= 1


def test_votes_are_distributions_and_name_videos_by_path(clips: ClipList, tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("path,happiness,sadness,surprise,other\nann/happiness.mp4,3,1,0,9\nnobody.mp4,1,1,1,0\n")
    votes = read_votes(path, clips, LABELS)
    targets = Assembler(clips, LetterTower(), LABELS, votes=votes).targets(every(clips))
    for row, clip in enumerate(clips.table.to_pylist()):
        if clip["path"] == "ann/happiness.mp4":
            assert targets[row].tolist() == [0.75, 0.25, 0.0]
        else:
            assert targets[row].max() == 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("path,happiness,sadness\n", "has no column 'surprise'"),
        ("happiness,sadness,surprise\n", "has no column 'path'"),
        (
            "path,happiness,sadness,surprise\na.mp4,0,0,0\n",
            "has no vote, a negative one, or one that is no number, for 'a.mp4'",
        ),
    ],
)
def test_votes_that_cannot_be_used_are_refused_in_words(
    clips: ClipList, tmp_path: Path, written: str, said: str
) -> None:
    path = tmp_path / "votes.csv"
    path.write_text(written)
    with pytest.raises(TrainConfigError, match=said):
        read_votes(path, clips, LABELS)
