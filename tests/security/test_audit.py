"""An audit that could ask nobody does not say that all is well."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "environment" / "audit.py")
assert spec and spec.loader
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

FINE = [{"name": f"p{number}", "version": "1", "vulns": []} for number in range(20)]
SKIPPED = {"name": "q", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        (None, 3, "NOT AUDITED"),
        ([], 3, "NOT AUDITED"),
        ([*FINE[:3], *[SKIPPED] * 17], 3, "of 17 of 20 packages it knows nothing"),
        (FINE, 0, "no known vulnerability in 20 packages"),
        ([*FINE, SKIPPED], 0, "1 of them not asked about"),
        ([*FINE, {"name": "r", "version": "2", "vulns": [{"id": "CVE-1"}]}], 1, "r 2: CVE-1"),
    ],
)
def test_what_an_audit_says(packages: list[dict[str, Any]] | None, status: int, words: str) -> None:
    got, said = audit.verdict(packages)
    assert got == status and words in said
