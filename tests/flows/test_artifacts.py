"""Names and figures of what Prefect's pages show."""

from __future__ import annotations

import re
from pathlib import Path

from flows.artifacts import _Progress, corpus_name


def test_a_corpus_has_one_name_that_prefect_takes_as_a_key(tmp_path: Path) -> None:
    odd = tmp_path / "Köln, 2nd take"
    assert re.fullmatch(r"k-ln-2nd-take-[0-9a-f]{6}", corpus_name(odd))
    assert corpus_name(odd / ".." / odd.name) == corpus_name(odd)
    assert corpus_name(tmp_path / "other" / odd.name) != corpus_name(odd)
    assert re.fullmatch(r"corpus-[0-9a-f]{6}", corpus_name(tmp_path / "顔"))


def test_progress_is_the_mean_over_the_stages_and_those_that_had_nothing_to_do_are_done() -> None:
    progress = _Progress(["probe_videos", "extract_tracks", "measure_actions", "refine_descriptions"])
    assert progress.state() == (0.0, "begins")
    progress.note("start_language_model", 0, 0, 1)
    progress.note("extract_tracks", 3, 1, 2)
    progress.note("extract_tracks", 5, 0, 2)
    assert progress.state() == (31.2, "extract tracks 1 of 4, start language model 0 of 1")
    progress.note("refine_descriptions", 3, 0, 0)
    assert progress.state()[0] == 68.8  # one of its two shards
    progress.note("refine_descriptions", 5, 0, 0)
    assert progress.state()[0] == 81.2
