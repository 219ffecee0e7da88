"""Which tracks a gallery shows: by id, by an SQL condition, up to a limit; and what it says of each row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.inspection.gallery_rows import ChoiceError, choose_rows, read_track_ids
from tests.inspection.conftest import FACE, HOSTILE_TEXT, LATER_FACE, SHORT_FACE
from tests.inspection.test_gallery import Seen


def ids(corpus: Corpus, **wanted: object) -> list[str]:
    rows, total = choose_rows(corpus, **wanted)  # type: ignore[arg-type]
    assert total == 3
    return [row.track_id for row in rows]


def test_tracks_come_by_path_or_in_the_order_asked_for(hostile_corpus: Corpus) -> None:
    assert ids(hostile_corpus) == [FACE, SHORT_FACE, LATER_FACE]
    assert ids(hostile_corpus, tracks=[LATER_FACE, FACE, LATER_FACE]) == [LATER_FACE, FACE]
    assert ids(hostile_corpus, tracks=[LATER_FACE, FACE], limit=1) == [LATER_FACE]
    with pytest.raises(ChoiceError, match="has no track 'x' and 1 more of those asked for"):
        ids(hostile_corpus, tracks=["x", FACE, "y"])


def test_a_condition_sees_tracks_videos_and_the_newest_text(hostile_corpus: Corpus) -> None:
    assert ids(hostile_corpus, where="status = 'fallback' and label = '<b>joy</b>'") == [FACE]
    assert ids(hostile_corpus, where="text = 'An older text.'") == [], "an older version is not the text in use"
    assert ids(hostile_corpus, where="status is null -- no text") == [SHORT_FACE]
    assert ids(hostile_corpus, where="tracks.start_s > 3 and videos.num_frames = 40") == [LATER_FACE]
    with pytest.raises(ChoiceError, match=r"expected an SQL condition .*DuckDB says:(.|\n)*statu"):
        ids(hostile_corpus, where="statu = 'x'")


def test_ids_are_read_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "tracks.csv"
    listed.write_text("track_id,score\nb,0.2\n\na 0.1\nb,0.3\n")
    assert read_track_ids(listed) == ["b", "a"]
    listed.write_text("\n , \n")
    with pytest.raises(ChoiceError, match="names no track"):
        read_track_ids(listed)
    with pytest.raises(ChoiceError, match="expected a text file"):
        read_track_ids(tmp_path / "nothing")


def test_a_review_is_of_the_text_as_it_is_stored(hostile_corpus: Corpus, tmp_path: Path) -> None:
    page = write_gallery(hostile_corpus, tmp_path / "gallery.html").read_text(encoding="utf-8")
    seen = Seen(page)
    digest = hashlib.sha256(HOSTILE_TEXT.encode()).hexdigest()
    article = next(tag for name, tag in seen.tags if name == "article" and tag["data-track"] == FACE)
    assert article["data-text-sha256"] == digest
    assert article["data-text-version"] == "2"
    assert HOSTILE_TEXT not in page, "what is shown differs from it, where a character is named"


def test_the_index_holds_what_filters_go_by_and_nothing_that_ends_a_script(
    hostile_corpus: Corpus, tmp_path: Path
) -> None:
    page = write_gallery(hostile_corpus, tmp_path / "gallery.html").read_text(encoding="utf-8")
    (block,) = Seen(page).json
    assert not set(block) & set("<>&\u202e\u2028")
    index = json.loads(block)
    assert index["id"] == [FACE, SHORT_FACE, LATER_FACE]
    assert index["status"] == ["fallback", "none", "refined"]
    assert index["reason"] == ["claim_contradicted", None, None]
    assert index["label"] == ["<b>joy</b>", None, None]
    assert index["verdicts"] == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert index["quality"] == ["good", "poor", "good"], "what was not measured at all is poor"
    assert [[index["actions"][a] for a in of_row] for of_row in index["action"]] == [
        ["jaw_drop", "lip_corner_raise"],
        [],
        ["jaw_drop", "lip_corner_raise"],
    ]
    assert "⟨U+202E⟩evil" in index["text"][0]
