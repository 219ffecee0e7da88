"""Tracks dealt out to reviewers: every track to somebody, a share to all, and the same with the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reviews.assigning import AssignError, assign, draw, write_assignment

TRACKS = [f"track-{number}" for number in range(50)]


@given(
    st.sets(st.text("abc0", min_size=1, max_size=6), min_size=1, max_size=60),
    st.integers(1, 4),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_every_track_is_seen_and_a_share_by_all(tracks: set[str], num: int, share: float, seed: int) -> None:
    names = ["anna", "ben", "cem", "dua"][:num]
    assigned = assign(tracks, names, share, seed)
    seen = Counter(track for listed in assigned.tracks.values() for track in listed)
    assert set(seen) == tracks
    num_shared = round(share * len(tracks))
    if num > 1:
        assert sorted(seen.values()) == [1] * (len(tracks) - num_shared) + [num] * num_shared
    assert assigned.num_shared == num_shared
    sizes = [len(listed) for listed in assigned.tracks.values()]
    assert max(sizes) - min(sizes) <= 1
    assert assign(sorted(tracks), names, share, seed) == assigned


def test_another_seed_deals_otherwise_and_the_order_does_not_tell_what_is_shared() -> None:
    one, other = (assign(TRACKS, ["anna", "ben"], 0.2, seed) for seed in (1, 2))
    shared, of_other = (set(a.tracks["anna"]) & set(a.tracks["ben"]) for a in (one, other))
    assert len(shared) == len(of_other) == 10 and shared != of_other
    places = [place for place, track in enumerate(one.tracks["anna"]) if track in shared]
    assert min(places) < 10 and max(places) > 20
    assert [t for t in one.tracks["anna"] if t in shared] != [t for t in one.tracks["ben"] if t in shared]


def test_a_higher_limit_draws_the_same_tracks_and_more() -> None:
    assert draw(TRACKS, 5, 1) == draw(TRACKS, 20, 1)[:5]
    assert sorted(draw(TRACKS * 2, None, 1)) == sorted(TRACKS)


@pytest.mark.parametrize(
    ("tracks", "names", "share", "words"),
    [
        (TRACKS, [], 0.2, "no reviewer"),
        (TRACKS, ["anna", "Anna"], 0.2, "named twice"),
        (TRACKS, ["../anna"], 0.2, "a file is called by the name"),
        (TRACKS, ["a" * 65], 0.2, "a file is called by the name"),
        (TRACKS, ["anna"], 1.5, "from 0 to 1"),
        (TRACKS, ["anna"], float("nan"), "from 0 to 1"),
        ([], ["anna"], 0.2, "no track"),
    ],
)
def test_what_cannot_be_dealt_is_told(tracks: list[str], names: list[str], share: float, words: str) -> None:
    with pytest.raises(AssignError, match=words):
        assign(tracks, names, share, 1)


def test_files_are_written_once_and_never_over_other_tracks(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    assigned = assign(TRACKS, ["anna", "ben"], 0.2, 1)
    paths = write_assignment(assigned, folder)
    assert paths["anna"].read_text().splitlines() == assigned.tracks["anna"]
    assert write_assignment(assigned, folder) == paths
    paths["anna"].write_text("track-1\n")
    with pytest.raises(AssignError, match=r"anna\.txt is there with other tracks"):
        write_assignment(assigned, folder)
    assert paths["anna"].read_text() == "track-1\n"
