"""Texts held against what people wrote of the same clip: `videos.captions`, which no writer is ever shown.

People who caption a clip tell who is seen, what happens and what is felt, and knew the emotion when they wrote; a text
of this corpus tells what moves in a face, and when. So the two agree in few words even where both are right, and a
score alone says nothing. It is told beside the same score with captions of other clips, of the same label and of
others: only what lies between is owed to the clip.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.audit.diversity import words_of
from pipeline.audit.texts import Captions, Text

TEXT_LANGUAGE = "en"
"""What the texts are written in: the prompts ask for English, and the check reads no other."""

MEASURES = {
    "chrF": "shared sequences of characters, recall counting twice",
    "BLEU": "shared sequences of one to four words, in a text not shorter than the caption",
    "ROUGE-L": "words in common in the same order",
    "similarity": "cosine of the two sentences as all-MiniLM-L6-v2 reads them",
}
"""From 0 to 1, but for the similarity, which may fall below.

Sources: M. Popović 2015 (chrF), K. Papineni et al. 2002 (BLEU; of single sentences, with smoothing), both by
sacrebleu; C.-Y. Lin 2004 (ROUGE-L, its F1 over words in lower case); W. Wang et al. 2020 (MiniLM)."""

SAME_LABEL, OTHER_LABEL, ANY = "other clips of the same label", "clips of other labels", "other clips"
"""Whose captions stand as a baseline. ANY: where no clip has a label."""

NUM_OTHERS = 10
"""Clips of each baseline that a text is held against, those with the smallest hash of both names."""

MOST_TEXTS = 1000
"""Texts that are scored; of more, those with the smallest hash of their track's id."""

NUM_DRAWS = 2000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Mean(_Frozen):
    """A mean over texts with its 95 % interval, from a bootstrap that draws persons or films, or else videos."""

    value: float | None = None
    interval: tuple[float, float] | None = None
    num_texts: int = 0

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        within = "" if self.interval is None else f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        return f"{self.value:.3f}{within}"


class Against(_Frozen):
    """A measure of the captions of other clips, and how those of the own clip stand to it."""

    baseline: str
    """SAME_LABEL, OTHER_LABEL or ANY."""
    score: Mean
    own_less: Mean
    """Own captions less these, text by text."""
    prefers_own: Mean
    """How often the own caption scores above that of another clip, ties counting half: 0.5 is chance."""


class Measured(_Frozen):
    """One measure of the texts."""

    measure: str
    missing: str | None = None
    own: Mean = Mean()
    """With the captions of the own clip; of several captions the mean."""
    against: list[Against] = []
    people: Mean = Mean()
    """A person's caption with the other captions of its clip, where there are several: what people reach."""
    num_unread: int = 0
    """Texts and captions that the measure could not read: left out of it."""


class References(_Frozen):
    """The texts held against the captions of one language."""

    language: str
    num_captions: int
    num_clips: int
    """Videos with a caption of it."""
    num_undescribed: int
    """Videos among these of which no text was written."""
    num_other_tracks: int
    """Texts of further faces: a caption is held against the face that is seen longest."""
    num_left_out: int
    """Texts beyond MOST_TEXTS."""
    drawn_by: str = ""
    missing: str | None = None
    """Why nothing was scored."""
    measures: list[Measured] = []


Score = Callable[[str, str], float | None]
"""Of a text and a caption; None where one of them cannot be read."""


def references(texts: Sequence[Text], captions: Captions) -> list[References]:
    """Score the texts against the captions of each language, the most frequent first.

    Args:
        texts: the newest text of every track.
        captions: by video_id, what people wrote: structs of language and text.
    """
    said: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    for video, listed in captions.items():
        for one in listed:
            if one["text"].strip():
                said[one["language"]].setdefault(video, []).append(one["text"].strip())
    order = sorted(said, key=lambda language: (-len(said[language]), language))
    return [_of_language(language, texts, said[language]) for language in order]


def _of_language(language: str, texts: Sequence[Text], captions: Mapping[str, Sequence[str]]) -> References:
    longest: dict[str, Text] = {}
    for text in sorted(texts, key=lambda one: (-one.evidence.duration_s, one.track_id)):
        if text.video_id in captions:
            longest.setdefault(text.video_id, text)
    found = sorted(longest.values(), key=lambda text: _hash(text.track_id))
    asked = found[:MOST_TEXTS]
    facts: dict[str, Any] = {
        "language": language,
        "num_captions": sum(len(listed) for listed in captions.values()),
        "num_clips": len(captions),
        "num_undescribed": len(captions) - len(longest),
        "num_other_tracks": sum(text.video_id in captions for text in texts) - len(longest),
        "num_left_out": len(found) - len(asked),
    }
    why = None
    if language == "und":
        why = (
            "the language of these captions is not known: name it in the annotations, with a column such as "
            f"caption_{TEXT_LANGUAGE} in place of caption"
        )
    elif language.lower().partition("-")[0] != TEXT_LANGUAGE:
        why = (
            f"the texts are in {TEXT_LANGUAGE}: none of these measures says anything across languages, and the encoder "
            "at hand reads English alone"
        )
    elif len(longest) < 2:
        why = f"{len(longest)} described videos have a caption: without those of other clips there is no baseline"
    if why is not None:
        return References(**facts, missing=why)
    labels = {text.video_id: text.label for text in asked}
    others = {text.video_id: _others(text, labels) for text in asked}
    is_known = any(text.group is not None for text in asked)
    drawn_by = "person or film where it is known, else video" if is_known else "video"
    return References(
        **facts, drawn_by=drawn_by, measures=[_measured(name, asked, captions, others) for name in MEASURES]
    )


def _others(text: Text, labels: Mapping[str, str | None]) -> dict[str, list[str]]:
    """The videos of each baseline of a text, by the name of the baseline."""
    rest = sorted((video for video in labels if video != text.video_id), key=lambda one: _hash(text.video_id, one))
    if not any(labels.values()):
        return {ANY: rest[:NUM_OTHERS]}
    if text.label is None:
        return {}
    is_same = {
        SAME_LABEL: (video for video in rest if labels[video] == text.label),
        OTHER_LABEL: (video for video in rest if labels[video] not in (None, text.label)),
    }
    return {name: list(islice(videos, NUM_OTHERS)) for name, videos in is_same.items()}


def _hash(*names: str) -> bytes:
    return hashlib.sha256("\n".join(names).encode()).digest()


def _measured(
    name: str,
    texts: Sequence[Text],
    captions: Mapping[str, Sequence[str]],
    others: Mapping[str, Mapping[str, Sequence[str]]],
) -> Measured:
    from pipeline.assets import AssetError

    prose = {text.video_id: text.prose for text in texts}
    try:
        score, num_unread = _score_of(name, [*prose.values(), *(one for video in prose for one in captions[video])])
    except (AssetError, OSError) as error:
        return Measured(measure=name, missing=f"the encoder is not at hand: {error}")

    @cache
    def between(video: str, other: str) -> float | None:
        """The score of the text of a video with the captions of another, or its own."""
        scores = [found for one in captions[other] if (found := score(prose[video], one)) is not None]
        return fmean(scores) if scores else None

    own = {
        text.track_id: (text, found) for text in texts if (found := between(text.video_id, text.video_id)) is not None
    }
    against = []
    for baseline in dict.fromkeys(name for found in others.values() for name in found):
        cases = [
            _Case(text, mine, [one for video in others[text.video_id].get(baseline, ())
                               if (one := between(text.video_id, video)) is not None])
            for text, mine in own.values()
        ]  # fmt: skip
        told = [case for case in cases if case.scores]
        against.append(
            Against(
                baseline=baseline,
                score=_mean((case.text, fmean(case.scores)) for case in told),
                own_less=_mean((case.text, case.own - fmean(case.scores)) for case in told),
                prefers_own=_mean((case.text, case.preferred) for case in told),
            )
        )
    return Measured(
        measure=name,
        own=_mean(own.values()),
        against=against,
        people=_mean(
            (text, found) for text in texts if (found := _of_people(captions[text.video_id], score)) is not None
        ),
        num_unread=num_unread,
    )


@dataclass(frozen=True)
class _Case:
    text: Text
    own: float
    scores: list[float]

    @property
    def preferred(self) -> float:
        return fmean(0.5 if self.own == other else float(self.own > other) for other in self.scores)


def _of_people(captions: Sequence[str], score: Score) -> float | None:
    """What the captions of one clip score with one another, or None where there is one alone."""
    scores = [
        found
        for place, one in enumerate(captions)
        for other_place, other in enumerate(captions)
        if place != other_place and (found := score(one, other)) is not None
    ]
    return fmean(scores) if scores else None


# --- measures


def _score_of(name: str, sentences: Sequence[str]) -> tuple[Score, int]:
    """The measure of that name, and how many of these sentences it cannot read.

    Raises:
        AssetError, OSError: the encoder's weights are not here and cannot be fetched.
    """
    if name == "similarity":
        return _similarity(sentences)
    if name == "ROUGE-L":
        return _rouge_l, 0
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    metric: Any = CHRF() if name == "chrF" else BLEU(effective_order=True, lowercase=True)
    return lambda text, caption: float(metric.sentence_score(text, [caption]).score) / 100, 0


def _rouge_l(text: str, caption: str) -> float:
    """F1 of the longest sequence of words that both have in the same order."""
    one, other = words_of(text), words_of(caption)
    if not one or not other:
        return 0.0
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, own in enumerate(other, start=1):
            before, row[place] = row[place], before + 1 if word == own else max(row[place], row[place - 1])
    return 2 * row[-1] / (len(one) + len(other))


def _similarity(sentences: Sequence[str]) -> tuple[Score, int]:
    from pipeline.model.config import ModelConfig
    from pipeline.model.text import TextTowerError, load_text_tower

    tower = load_text_tower(ModelConfig(text_tower="minilm"))
    listed = list(dict.fromkeys(sentences))
    read: dict[str, NDArray[np.float32]] = {}
    try:
        read = {one: found.pooled_E.numpy() for one, found in zip(listed, tower.encode(listed), strict=True)}
    except TextTowerError:  # one of them is longer than the encoder reads: find which
        for one in listed:
            try:
                read[one] = tower.encode([one])[0].pooled_E.numpy()
            except TextTowerError:
                continue

    def score(text: str, caption: str) -> float | None:
        return float(read[text] @ read[caption]) if text in read and caption in read else None

    return score, len(listed) - len(read)


def _mean(values: Iterable[tuple[Text, float]]) -> Mean:
    """The mean with its interval: whole clusters of texts are drawn, since those of one person score alike."""
    listed = list(values)
    if not listed:
        return Mean()
    sums: defaultdict[str, float] = defaultdict(float)
    sizes: Counter[str] = Counter()
    for text, value in listed:
        cluster = text.group or text.video_id
        sums[cluster] += value
        sizes[cluster] += 1
    interval = None
    if len(sizes) > 1:
        names = sorted(sizes)
        draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), NUM_DRAWS)
        means = (draws @ [sums[name] for name in names]) / (draws @ [sizes[name] for name in names])
        low, high = np.quantile(means, (0.025, 0.975))
        interval = float(low), float(high)
    return Mean(value=fmean(value for _, value in listed), interval=interval, num_texts=len(listed))
