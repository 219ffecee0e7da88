"""What changed between two snapshots, by cause."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import diff


class SnapshotDrift(BaseModel):
    """Two snapshots compared."""

    model_config = ConfigDict(frozen=True)

    before: int
    after: int
    words: list[str]

    def in_words(self) -> list[str]:
        """The report in sentences."""
        return self.words

    def to_markdown(self) -> str:
        """The report as Markdown."""
        return "\n".join([f"# Snapshots {self.before} and {self.after}", "", *(f"- {line}" for line in self.words)])


def snapshot_drift(before: Corpus, after: Corpus) -> SnapshotDrift:
    """Compare two snapshots of one corpus."""
    words = [
        f"{one.table}: {len(one.added)} added, {len(one.removed)} removed, {len(one.changed)} changed"
        for one in diff(after.store, before.snapshot, after.snapshot)
    ]
    return SnapshotDrift(before=before.snapshot.number, after=after.snapshot.number, words=words)
