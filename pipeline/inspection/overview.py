"""Figures of a whole corpus at one snapshot: how much, of what, how good, how it is told, and what is new in it.

Whole columns are counted, by DuckDB and in Arrow's own memory; no row becomes a Python object but the words of some
texts, so that a hundred thousand tracks take seconds.

Shape letters: N = tracks of a file, T = frames of all of them together, A = actions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.audit.diversity import NGRAMS, distinct_ngrams, words_of
from pipeline.audit.figures import Share, share
from pipeline.descriptions.tokens import CLIP_CONTEXT_TOKENS
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.histogram import Histogram, histogram
from pipeline.snapshot import DatasetFacts
from pipeline.walk import LIST_SOURCES, WALK
from schemas.actions import INTENSITIES, REGIONS, TOLD_ACTIONS
from schemas.corpus import TABLES
from schemas.descriptions import FALLBACK_REASONS, STATUSES
from schemas.rejects import REASONS
from schemas.reviews import DECISIONS
from schemas.tracks import FACE_REGIONS

if TYPE_CHECKING:
    import duckdb

COUNTED_TEXTS = 20_000
"""Texts whose words are counted, chosen by hash where there are more."""

PHRASE_WORDS = (3, 4, 5, 6)
"""Lengths of the phrases that are looked for."""

NUM_PHRASES = 12

NO_END = frozenset(
    ("a", "an", "and", "are", "as", "at", "for", "in", "is", "of", "on", "or", "the", "then", "to", "with")
)
"""Words that no phrase ends with: it would be cut in the middle."""

NO_START = frozenset(("and", "or", "then"))
"""Words that no phrase begins with."""

NUM_REPEATED = 5
"""Texts that are told because they come most often."""

COVERED_BELOW = 0.5
"""Visibility under which a region of the face is covered (schemas/tracks.py)."""

FRONTAL_DEG = 15.0
"""Yaw and pitch within which a face is called frontal here."""

YAW_EDGES_DEG = tuple(float(edge) for edge in range(-90, 91, 6))
PITCH_EDGES_DEG = tuple(float(edge) for edge in range(-60, 61, 6))


class OverviewError(Exception):
    """A table of the snapshot cannot be counted."""


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class TableSize(_Figures):
    """What one table holds."""

    table: str
    meaning: str
    num_rows: int
    num_files: int
    num_bytes: int


class Step(_Figures):
    """What became of the units that one stage was asked for."""

    stage: str
    num_units: int
    num_done: int
    num_refused: int
    """For good."""
    num_waiting: int
    """Refused for a reason that passes by itself: the next run tries them again."""


class Refusal(_Figures):
    """Units of one stage that were refused for one reason."""

    stage: str
    reason: str
    meaning: str
    num_units: int
    is_transient: bool


class ClassCount(_Figures):
    """Videos of one label, or without one (None), by split, and what their texts came to."""

    label: str | None
    num_videos: int
    by_split: dict[str, int]
    """The empty name stands for no split."""
    num_texts: int
    num_drafts: int
    """Of these, texts that are the draft."""


class PoseMap(_Figures):
    """How many tracks look where: mean yaw and pitch of each, in cells."""

    yaw_edges_deg: list[float]
    pitch_edges_deg: list[float]
    counts: list[list[int]]
    """[pitch][yaw]; what lies beyond the last edge is in the last cell."""
    frontal: Share


class RegionVisibility(_Figures):
    """How well one region of the face is seen."""

    region: str
    mean: float
    """Over all frames of all tracks, 0 to 1."""
    covered: Share
    """Frames in which it is covered."""


class ActionCount(_Figures):
    """In how many tracks one action was measured, and how strongly."""

    action: str
    region: str
    action_unit: str
    num_tracks: int
    num_events: int
    by_intensity: dict[str, int]


class Together(_Figures):
    """Tracks in which two actions were measured; both matrices are symmetric, the diagonal counts the action alone."""

    actions: list[str]
    at_once: list[list[int]]
    """Tracks in which the two overlap in time."""
    in_track: list[list[int]]
    """Tracks that have both at any time."""


class StatusCount(_Figures):
    """Texts of one status and, where it is the draft, one reason."""

    status: str
    reason: str | None
    meaning: str
    num_texts: int
    mean_requests: float | None
    """To a language model, for each of them."""


class Phrase(_Figures):
    """A run of words, and the texts that have it."""

    words: str
    texts: Share


class Repeated(_Figures):
    """A text that comes more than once."""

    text: str
    num_texts: int


class TextFigures(_Figures):
    """How long the newest texts are, and how much they repeat one another."""

    num_texts: int
    num_counted: int
    """Texts whose words were counted; lengths in tokens are of all."""
    words: Histogram | None
    tokens: Histogram | None
    token_budget: int
    num_over_budget: int
    num_words: int
    vocabulary: int
    """Different words."""
    distinct_texts: Share
    distinct_ngrams: dict[int, Share]
    phrases: list[Phrase]
    repeated: list[Repeated]
    num_edited: int
    num_saw_label: int


class Ground(_Figures):
    """Videos of one licence and one consent; None where nothing is stated."""

    licence: str | None
    consent: str | None
    num_videos: int


class PartCount(_Figures):
    """Videos in one part of one fold of a data set's protocol."""

    dataset: str | None
    protocol: str
    fold: str
    part: str
    num_videos: int
    num_labels: int


class ReviewFigures(_Figures):
    """What people decided."""

    num_reviews: int
    decisions: dict[str, int]
    by_reviewer: dict[str, dict[str, int]]
    reviewed: Share
    """Newest texts that somebody has judged in this version."""
    agreeing: Share
    """Text versions with two reviewers or more, on which all of them decided the same."""


class DriftFigures(_Figures):
    """What is new since an earlier snapshot."""

    before: int
    tables: dict[str, dict[str, int]]
    """By table: how many rows were added, removed, changed, recomputed or rewritten (pipeline/audit/changes.py)."""
    causes: dict[str, int]
    """Units that were computed or are gone, by what began it."""
    texts: dict[str, int]
    """Texts by what became of them."""
    num_rewritten: int


class Overview(_Figures):
    """A corpus in figures."""

    root: str
    snapshot: int
    created_at: str
    source: str
    dataset: DatasetFacts | None
    tables: list[TableSize]
    steps: list[Step]
    refusals: list[Refusal]
    splits: list[str]
    classes: list[ClassCount]
    video_durations: Histogram | None
    track_durations: Histogram | None
    num_seconds: float
    """Of all tracks together."""
    frame_rates: Histogram | None
    face_sizes: Histogram | None
    sharpness: Histogram | None
    poses: PoseMap | None
    visibility: list[RegionVisibility]
    track_starts: dict[str, int]
    track_ends: dict[str, int]
    num_measured: int
    """Tracks whose actions were measured."""
    actions: list[ActionCount]
    together: Together
    events: Histogram | None
    """Events of each measured track."""
    motion_shares: dict[str, float]
    """By region of the face: its mean share in what moved, over the tracks in which anything did."""
    statuses: list[StatusCount]
    verdicts: dict[str, dict[str, int]]
    """By status: how many claims came to which verdict."""
    texts: TextFigures
    grounds: list[Ground]
    parts: list[PartCount]
    captions: dict[str, int]
    """By language: videos that people wrote captions of."""
    reviews: ReviewFigures | None
    drift: DriftFigures | None

    def num_rows(self, table: str) -> int:
        """Rows of one table."""
        return next(one.num_rows for one in self.tables if one.table == table)

    @property
    def accepted(self) -> Share:
        """Texts that are more than the draft."""
        drafts = sum(one.num_texts for one in self.statuses if one.status == "fallback")
        return share(self.texts.num_texts - drafts, self.texts.num_texts, otherwise="no texts", is_sample=False)

    @property
    def mean_requests(self) -> float | None:
        """Requests to a language model for each text; None where there are no texts."""
        told = [(one.mean_requests, one.num_texts) for one in self.statuses if one.mean_requests is not None]
        num_texts = sum(count for _, count in told)
        return sum(mean * count for mean, count in told) / num_texts if num_texts else None


_NEWEST = """create view newest_texts as select * from descriptions
    qualify row_number() over (partition by track_id order by text_version desc) = 1"""


def overview_of(corpus: Corpus, before: Corpus | None = None) -> Overview:
    """Count a corpus; with `before`, also what is new in it since that snapshot.

    Raises:
        OverviewError: a table was written by another version of this program, or a file cannot be read.
    """
    import duckdb

    try:
        with corpus.connect() as connection:
            connection.execute(_NEWEST)
            return _counted(corpus, connection, None if before is None else _drift(before, corpus))
    except (duckdb.Error, pa.ArrowException) as error:
        why = str(error).splitlines()[0]
        raise OverviewError(
            f"snapshot {corpus.snapshot.number} of {corpus.place} cannot be counted ({why}): was it written by another "
            "version of this program? `facescribe check` says whether its files are whole"
        ) from error


def _counted(corpus: Corpus, connection: duckdb.DuckDBPyConnection, drift: DriftFigures | None) -> Overview:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    def column(query: str) -> NDArray[np.float64]:
        (values,) = connection.execute(query).fetchnumpy().values()
        numbers: NDArray[np.float64] = np.ma.filled(np.ma.array(values, dtype=np.float64), np.nan)  # type: ignore[no-untyped-call]
        return numbers

    snapshot = corpus.snapshot
    seen = _seen(corpus)
    splits = [name for (name,) in rows("select coalesce(split, '') as s from videos group by 1 order by count(*) desc")]
    return Overview(
        root=corpus.place,
        snapshot=snapshot.number,
        created_at=snapshot.created_at,
        source=snapshot.source,
        dataset=snapshot.dataset,
        tables=_tables(corpus),
        steps=_steps(corpus),
        refusals=[
            Refusal(stage=stage, reason=reason, meaning=_meaning(reason), num_units=count, is_transient=is_transient)
            for stage, reason, is_transient, count in rows(
                "select stage, reason, is_transient, count(*) from rejects group by all order by 4 desc, 1, 2"
            )
        ],
        splits=splits,
        classes=_classes(rows),
        video_durations=histogram(column("select duration_s from videos"), "second"),
        track_durations=histogram(seen.durations_s, "second"),
        num_seconds=float(np.nansum(seen.durations_s)),
        frame_rates=histogram(column("select mean_fps from videos"), "frame per second"),
        face_sizes=histogram(seen.face_px, "pixel"),
        sharpness=histogram(seen.sharpness, "grey level squared"),
        poses=_poses(seen.pose_deg),
        visibility=seen.visibility(),
        track_starts=dict(rows("select start_reason, count(*) from tracks group by 1 order by 2 desc, 1")),
        track_ends=dict(rows("select end_reason, count(*) from tracks group by 1 order by 2 desc, 1")),
        num_measured=snapshot.counts.get("actions", 0),
        actions=(actions := _actions(rows)),
        together=_together(rows, [one.action for one in actions]),
        events=histogram(column("select len(events) from actions"), "event", is_whole=True),
        motion_shares=_motion_shares(rows),
        statuses=[
            StatusCount(
                status=status,
                reason=reason,
                meaning=FALLBACK_REASONS.get(reason or "", STATUSES.get(status, "")),
                num_texts=count,
                mean_requests=requests,
            )
            for status, reason, count, requests in rows(
                """select status, fallback_reason, count(*), avg(len(asked)) from newest_texts
                group by status, fallback_reason order by status = 'fallback', 3 desc, 1, 2"""
            )
        ],
        verdicts=_nested(
            rows(
                """select status, c.verdict, count(*) from (select status, unnest(claims) as c from newest_texts)
                group by all order by 1 desc, 3 desc, 2"""
            )
        ),
        texts=_texts(rows, column),
        grounds=[
            Ground(licence=licence, consent=consent, num_videos=count)
            for licence, consent, count in rows(
                "select licence, consent, count(*) from videos group by all order by 3 desc, 1, 2"
            )
        ],
        parts=[
            PartCount(dataset=dataset, protocol=protocol, fold=fold, part=part, num_videos=videos, num_labels=labels)
            for dataset, protocol, fold, part, videos, labels in rows(
                """select dataset, f.protocol, f.fold, f.part, count(*), count(distinct coalesce(f.label, label))
                from (select dataset, label, unnest(folds) as f from videos) group by 1, 2, 3, 4 order by 1, 2,
                try_cast(f.fold as integer), 3, 4 desc"""
            )
        ],
        captions=dict(
            rows(
                """select c.language, count(distinct video_id) from (select video_id, unnest(captions) as c from videos)
                group by 1 order by 2 desc, 1"""
            )
        ),
        reviews=_reviews(rows),
        drift=drift,
    )


def _nested(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for first, second, count in rows:
        nested.setdefault(first, {})[second] = count
    return nested


# --- tables, stages, refusals


def _tables(corpus: Corpus) -> list[TableSize]:
    files = {name: corpus.snapshot.files(name) for name in TABLES}
    return [
        TableSize(
            table=name,
            meaning=TABLES[name].meaning,
            num_rows=sum(file.rows for file in listed),
            num_files=len(listed),
            num_bytes=sum(file.bytes for file in listed),
        )
        for name, listed in files.items()
    ]


def _steps(corpus: Corpus) -> list[Step]:
    order = {stage.name: number for number, stage in enumerate(WALK)}
    counted: dict[str, Counter[str]] = {}
    for receipt in corpus.snapshot.receipts:
        counted.setdefault(receipt.stage, Counter()).update(
            units=receipt.num_units, rejected=receipt.num_rejected, waiting=receipt.num_transient
        )
    return [
        Step(
            stage=stage,
            num_units=counts["units"],
            num_done=counts["units"] - counts["rejected"],
            num_refused=counts["rejected"] - counts["waiting"],
            num_waiting=counts["waiting"],
        )
        for stage, counts in sorted(counted.items(), key=lambda one: order.get(one[0], len(order)))
        if stage != LIST_SOURCES
    ]


def _meaning(reason: str) -> str:
    return REASONS[reason].meaning if reason in REASONS else ""


# --- labels


def _classes(rows: Any) -> list[ClassCount]:
    by_split: dict[str | None, dict[str, int]] = {}
    for label, split, count in rows("select label, coalesce(split, ''), count(*) from videos group by all order by 2"):
        by_split.setdefault(label, {})[split] = count
    texts = {
        label: (count, drafts)
        for label, count, drafts in rows(
            """select label, count(*), count(*) filter (where status = 'fallback')
            from newest_texts join videos using (video_id) group by 1"""
        )
    }
    counted = [
        ClassCount(
            label=label,
            num_videos=sum(counts.values()),
            by_split=counts,
            num_texts=texts.get(label, (0, 0))[0],
            num_drafts=texts.get(label, (0, 0))[1],
        )
        for label, counts in by_split.items()
    ]
    return sorted(counted, key=lambda one: (one.label is None, -one.num_videos, one.label or ""))


# --- what is seen of the faces


class _Seen:
    """What the passports of all tracks say, a number or a few for each."""

    def __init__(self, parts: Sequence[Mapping[str, NDArray[np.float64]]]) -> None:
        def whole(name: str, *width: int) -> NDArray[np.float64]:
            return np.concatenate([np.empty((0, *width)), *(part[name] for part in parts)])

        self.durations_s = whole("durations_s")
        self.face_px = whole("face_px")
        self.sharpness = whole("sharpness")
        self.pose_deg = whole("pose_deg", 3)
        self._sums = np.sum([part["seen"] for part in parts], axis=0) if parts else np.zeros(len(FACE_REGIONS))
        self._covered = np.sum([part["covered"] for part in parts], axis=0) if parts else np.zeros(len(FACE_REGIONS))
        self._num_frames = int(sum(part["num_frames"][0] for part in parts))

    def visibility(self) -> list[RegionVisibility]:
        """Of each region over all frames; nothing where there are none."""
        if not self._num_frames:
            return []
        return [
            RegionVisibility(
                region=region,
                mean=float(self._sums[at] / self._num_frames),
                covered=share(int(self._covered[at]), self._num_frames, otherwise="no frames", is_sample=False),
            )
            for at, region in enumerate(FACE_REGIONS)
        ]


_PASSPORT = ["start_s", "end_s", "median_face_px", "sharpness", "visibility", "pose_deg"]


def _seen(corpus: Corpus) -> _Seen:
    return _Seen(
        [
            _seen_in(batch)
            for file in corpus.snapshot.files("tracks")
            for batch in corpus.store.read(file, _PASSPORT).to_batches()
        ]
    )


def _seen_in(batch: pa.RecordBatch) -> dict[str, NDArray[np.float64]]:
    start_s, end_s, face_px = (batch[name].to_numpy(zero_copy_only=False) for name in _PASSPORT[:3])
    sharpness, frames_of_sharpness = _values_of(batch["sharpness"], 1)
    seen, frames_of_seen = _values_of(batch["visibility"], len(FACE_REGIONS))
    pose_deg, frames_of_pose = _values_of(batch["pose_deg"], 3)
    return {
        "durations_s": end_s - start_s,
        "face_px": face_px.astype(np.float64),
        "sharpness": _means(sharpness, frames_of_sharpness)[:, 0],
        "pose_deg": _means(pose_deg, frames_of_pose),
        "seen": np.nansum(seen, axis=0, dtype=np.float64),
        "covered": np.sum(seen < COVERED_BELOW, axis=0),
        "num_frames": np.array([frames_of_seen[-1] - frames_of_seen[0]]),
    }


def _values_of(cells: pa.Array, width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All frames of a column of lists or of tensor cells as one array [T, width], and where each track begins [N + 1].

    No cell is copied: float32 lies in Arrow's memory as it is.
    """
    offsets = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1].astype(np.int64)
    if pa.types.is_list(cells.type):
        flat = cells.values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    else:
        data = cells.buffers()[2]
        flat = np.frombuffer(data, "<f4", data.size // 4) if data is not None else np.empty(0, np.float32)
        offsets //= 4
    values = flat[offsets[0] : offsets[-1]].reshape(-1, width)
    return values, (offsets - offsets[0]) // width


def _means(values: NDArray[np.float32], begins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each track's frames [N, width]; NaN for a track without any."""
    lengths = np.diff(begins)
    sums = np.zeros((len(lengths), values.shape[1]))
    there = lengths > 0
    if there.any():
        sums[there] = np.add.reduceat(values.astype(np.float64), begins[:-1][there], axis=0)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums / np.where(there, lengths, np.nan)[:, None]
    return means


def _poses(pose_deg: NDArray[np.float64]) -> PoseMap | None:
    known = pose_deg[np.isfinite(pose_deg).all(axis=1)]
    if not len(known):
        return None
    yaw = np.clip(known[:, 0], YAW_EDGES_DEG[0], YAW_EDGES_DEG[-1])
    pitch = np.clip(known[:, 1], PITCH_EDGES_DEG[0], PITCH_EDGES_DEG[-1])
    counts, _, _ = np.histogram2d(pitch, yaw, bins=(PITCH_EDGES_DEG, YAW_EDGES_DEG))
    is_frontal = (np.abs(known[:, :2]) <= FRONTAL_DEG).all(axis=1)
    return PoseMap(
        yaw_edges_deg=list(YAW_EDGES_DEG),
        pitch_edges_deg=list(PITCH_EDGES_DEG),
        counts=counts.astype(int).tolist(),
        frontal=share(int(is_frontal.sum()), len(known), otherwise="no tracks", is_sample=False),
    )


# --- actions


def _actions(rows: Any) -> list[ActionCount]:
    found = rows(
        f"""select e.action, count(distinct track_id), count(*),
            {", ".join(f"count(*) filter (where e.intensity = '{name}')" for name in INTENSITIES)}
        from (select track_id, unnest(events) as e from actions) group by 1 order by 2 desc, 1"""
    )
    return [
        ActionCount(
            action=action,
            region=told.region if (told := TOLD_ACTIONS.get(action)) else "",
            action_unit=told.action_unit if told else "",
            num_tracks=num_tracks,
            num_events=num_events,
            by_intensity=dict(zip(INTENSITIES, by_intensity, strict=True)),
        )
        for action, num_tracks, num_events, *by_intensity in found
    ]


def _together(rows: Any, actions: Sequence[str]) -> Together:
    """Every pair of events of each track; the actions region by region, as a face goes from the brow to the jaw."""
    order = {name: number for number, name in enumerate(TOLD_ACTIONS)}
    regions = {name: number for number, name in enumerate((*REGIONS, "head", "gaze"))}
    names = sorted(
        actions,
        key=lambda name: (
            regions.get(TOLD_ACTIONS[name].region if name in TOLD_ACTIONS else "", len(regions)),
            order.get(name, len(order)),
            name,
        ),
    )
    place = {name: number for number, name in enumerate(names)}
    at_once, in_track = np.zeros((2, len(names), len(names)), dtype=int)
    pairs = rows(
        """with e as (select track_id, unnest(events) as e from actions),
        p as (select track_id, a.e.action as one, b.e.action as other,
            bool_or(a.e.onset_s <= b.e.offset_s and b.e.onset_s <= a.e.offset_s) as at_once
            from e a join e b using (track_id) where a.e.action <= b.e.action group by all)
        select one, other, count(*) filter (where at_once), count(*) from p group by 1, 2"""
    )
    for one, other, num_at_once, num_tracks in pairs:
        for row, column in {(place[one], place[other]), (place[other], place[one])}:
            at_once[row, column], in_track[row, column] = num_at_once, num_tracks
    return Together(actions=names, at_once=at_once.tolist(), in_track=in_track.tolist())


def _motion_shares(rows: Any) -> dict[str, float]:
    means = rows(
        f"""select {", ".join(f"avg(motion_shares[{at + 1}])" for at in range(len(REGIONS)))}
        from actions where list_sum(motion_shares) > 0"""
    )[0]
    return {region: float(mean) for region, mean in zip(REGIONS, means, strict=True) if mean is not None}


# --- texts


def _texts(rows: Any, column: Any) -> TextFigures:
    num_texts, num_edited, num_saw_label = rows(
        """select count(*), count(*) filter (where status = 'edited'), count(*) filter (where saw_label)
        from newest_texts"""
    )[0]
    tokens = column("select num_text_tokens from newest_texts")
    words = [
        words_of(text)
        for (text,) in rows(f"select text from newest_texts order by md5(track_id) limit {COUNTED_TEXTS}")
    ]
    return TextFigures(
        num_texts=num_texts,
        num_counted=len(words),
        words=histogram(np.array([len(listed) for listed in words], np.float64), "word", is_whole=True),
        tokens=histogram(tokens, "token", is_whole=True),
        token_budget=CLIP_CONTEXT_TOKENS,
        num_over_budget=int((tokens > CLIP_CONTEXT_TOKENS).sum()),
        num_words=sum(map(len, words)),
        vocabulary=len({word for listed in words for word in listed}),
        distinct_texts=share(len(set(map(tuple, words))), len(words), otherwise="no texts", is_sample=False),
        distinct_ngrams={n: distinct_ngrams(words, n) for n in NGRAMS},
        phrases=_phrases(words),
        repeated=[
            Repeated(text=text, num_texts=count)
            for text, count in rows(
                f"""select text, count(*) from newest_texts group by 1 having count(*) > 1
                order by 2 desc, 1 limit {NUM_REPEATED}"""
            )
        ],
        num_edited=num_edited,
        num_saw_label=num_saw_label,
    )


def _phrases(words: Sequence[Sequence[str]]) -> list[Phrase]:
    """The phrases of most texts, long ones before short; none shares three words with one before it."""
    counts: Counter[tuple[str, ...]] = Counter()
    for listed in words:
        counts.update({tuple(listed[at : at + n]) for n in PHRASE_WORDS for at in range(len(listed) - n + 1)})
    chosen: list[tuple[str, ...]] = []
    taken: set[tuple[str, ...]] = set()
    fewest = PHRASE_WORDS[0]
    best = sorted(
        (
            (-count * (len(phrase) - 1), phrase)
            for phrase, count in counts.items()
            if count > 1 and phrase[0] not in NO_START and phrase[-1] not in NO_END
        )
    )
    for _, phrase in best:
        parts = {phrase[at : at + fewest] for at in range(len(phrase) - fewest + 1)}
        if len(chosen) < NUM_PHRASES and not parts & taken:
            chosen.append(phrase)
            taken |= parts
    told = [
        Phrase(
            words=" ".join(phrase),
            texts=share(counts[phrase], len(words), otherwise="no texts", is_sample=False),
        )
        for phrase in chosen
    ]
    return sorted(told, key=lambda one: -one.texts.hits)


# --- reviews


def _reviews(rows: Any) -> ReviewFigures | None:
    by_reviewer = _nested(
        rows("select reviewer, decision, count(*) from reviews group by all order by 1, 3 desc, 2")
    )  # fmt: skip
    if not by_reviewer:
        return None
    decisions: Counter[str] = Counter()
    for counts in by_reviewer.values():
        decisions.update(counts)
    named = sorted(decisions, key=lambda name: (DECISIONS.index(name) if name in DECISIONS else len(DECISIONS), name))
    num_texts, num_reviewed = rows(
        """select count(*), count(*) filter (where (track_id, text_version) in
        (select (track_id, text_version) from reviews)) from newest_texts"""
    )[0]
    asked, agreeing = rows(
        """select count(*), count(*) filter (where num_decisions = 1) from
        (select count(distinct decision) as num_decisions from reviews
        group by track_id, text_version having count(distinct reviewer) > 1)"""
    )[0]
    return ReviewFigures(
        num_reviews=sum(decisions.values()),
        decisions={name: decisions[name] for name in named},
        by_reviewer=by_reviewer,
        reviewed=share(num_reviewed, num_texts, otherwise="no texts", is_sample=False),
        agreeing=share(agreeing, asked, otherwise="no text has two reviewers"),
    )


# --- since the last snapshot


def _drift(before: Corpus, after: Corpus) -> DriftFigures:
    from pipeline.audit.changes import WHAT, changes

    found = changes(before, after)
    tables = _nested(
        [
            (str(table), str(what), int(count))
            for (table, what), count in Counter(zip(found.rows["table"], found.rows["what"], strict=True)).items()
        ]
    )
    told = found.units[found.units["root"].notna()]
    return DriftFigures(
        before=before.snapshot.number,
        tables={name: {what: tables[name].get(what, 0) for what in WHAT} for name in TABLES if name in tables},
        causes={str(root): int(count) for root, count in told["root"].value_counts().items()},
        texts=tables.get("descriptions", {}),
        num_rewritten=int((found.rows["what"] == "rewritten").sum()),
    )
