"""Every table of a corpus, by name."""

from __future__ import annotations

from schemas.actions import ACTIONS
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.ledger import LEDGER
from schemas.motion import MOTION
from schemas.rejects import REJECTS
from schemas.reviews import REVIEWS
from schemas.table import Table
from schemas.tracks import CROPS, TRACKS
from schemas.videos import SOURCES, VIDEOS

TABLES: dict[str, Table] = {
    table.name: table
    for table in (SOURCES, VIDEOS, TRACKS, CROPS, ACTIONS, DRAFTS, DESCRIPTIONS, MOTION, REVIEWS, REJECTS, LEDGER)
}
