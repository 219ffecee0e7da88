"""What the tests of descriptions may ask for: the default language model, converted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def language_model_folder(assets: Callable[[str], Path]) -> Path:
    """The default model as `vllm serve` loads it; converted the first time, by a process of its own."""
    folder = platformdirs.user_cache_path("facescribe") / "tests" / "SmolLM2-135M-Instruct"
    command = [sys.executable, "-m", "pipeline.descriptions.model", str(assets(WEIGHTS)), str(folder)]
    subprocess.run(command, check=True)
    return folder
