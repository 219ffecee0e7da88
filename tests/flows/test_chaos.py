"""A minute in which everything falls: the corpus ends as one that was built in peace. bench/chaos.py does the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "bench" / "chaos.py"


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(900)
def test_after_a_minute_of_kills_and_faults_the_corpus_is_the_undisturbed_one(tmp_path: Path) -> None:
    asked = [sys.executable, str(CHAOS), "--minutes", "1", "--seed", "3", "--folder", str(tmp_path)]
    ended = subprocess.run([*asked, "--root", "s3", "--runner", "dask"], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "equal to the undisturbed corpus; no fault found" in ended.stdout
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert any(event["what"].startswith(("killed", "S3", "language model")) for event in events)
    assert events[-1]["what"] == "compared" and not events[-1]["problems"]
