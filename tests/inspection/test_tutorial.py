"""The tutorial runs from its first cell to its last on a small corpus, and shows what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from pipeline.inspection.corpus import Corpus
from tests.inspection.conftest import HOSTILE_TEXT, MakeCorpus, actions, crop, description, draft, track, video

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


@pytest.fixture
def corpus(make_corpus: MakeCorpus) -> Corpus:
    """Twelve tracks of fear and joy; of those of fear, each next one has one more contradicted claim."""
    claim = description("0" * 32, "0" * 32)["claims"]
    rows: dict[str, list[dict[str, Any]]] = {}
    for n in range(12):
        video_id, track_id = f"{n + 1:032x}", f"{n + 100:032x}"
        label = "fear" if n < 8 else "joy"
        told = [claim[0], *[claim[1]] * n] if label == "fear" else claim[:1]
        text = HOSTILE_TEXT if n == 7 else f"The left lip corner rises, scene {n}."
        rows.setdefault("probe_videos/videos", []).append(video(video_id, f"{label}/{n}.mp4", label=label))
        rows.setdefault("extract_tracks/tracks", []).append(track(track_id, video_id))
        rows.setdefault("extract_tracks/crops", []).extend(crop(track_id, video_id, position) for position in range(40))
        rows.setdefault("measure_actions/actions", []).append(actions(track_id, video_id))
        rows.setdefault("draft_descriptions/drafts", []).append(draft(track_id, video_id))
        rows.setdefault("refine_descriptions/descriptions", []).append(
            description(track_id, video_id, text=text, claims=told, status="refined")
        )
    return make_corpus(rows)


def test_the_tutorial_runs_on_a_small_corpus(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESCRIBE_ROOT", str(corpus.store.root))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    by_source = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    def shown(part: str, kind: str) -> str:
        (outputs,) = (found for source, found in by_source.items() if part in source)
        return "".join(output.data[kind] for output in outputs if kind in output.get("data", {}))

    worst = shown('where="label', "text/html")
    assert worst.index("fear/7.mp4") < worst.index("fear/6.mp4") and "fear/0.mp4" not in worst and "joy" not in worst
    film = shown("show(limit=2)", "text/html")
    assert film.count("data:image/jpeg") == 16 and "<script" not in film
    assert shown("facescribe.evidence()", "image/png")
    assert "no text changed" in shown("facescribe.diff", "text/html")
    assert (tmp_path / "worst.txt").read_text().split() == [f"{107:032x}", f"{106:032x}"]
    listed = [output for outputs in by_source.values() for output in outputs]
    html = "".join(output["data"].get("text/html", "") for output in listed if "data" in output)
    assert "&lt;img src=x onerror=alert(1)&gt;" in html and "<img src=x" not in html and "<script" not in html


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
