"""Write a corpus as pages to look at: film, motion, curves and texts of its tracks, and what was refused.

Up to ONE_FILE tracks are one HTML file. More of them are an index, a light row each, and beside it a folder of files
with PER_FILE tracks each, which the index shows in a frame. Either way nothing is asked of a network: pictures are
part of the pages, and their own policy forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery_rows import QUALITIES, Row, choose_rows, index_of
from pipeline.inspection.gallery_track import track_facts
from pipeline.inspection.page import html_environment, whole_file
from pipeline.progress import report
from pipeline.walk import WALK
from schemas.rejects import REASONS

ONE_FILE = 200
"""Most tracks in a single file: some 100 kB each."""

PER_FILE = 20
"""Tracks in each file of a folder: 2 MB, which a browser opens at once."""

REJECTS_SHOWN = 1000

THUMB_PX = 48
THUMB_QUALITY = 60

STATUSES_SHOWN = ("refined", "edited", "fallback", "none")

SINGLE_SCRIPTS = ("gallery_rows.js", "gallery_review.js", "gallery.js")
INDEX_SCRIPTS = ("gallery_rows.js", "gallery_review.js", "gallery_index.js")


def write_gallery(
    corpus: Corpus,
    path: Path,
    *,
    limit: int | None = None,
    tracks: Sequence[str] | None = None,
    where: str | None = None,
    one_file: int = ONE_FILE,
    per_file: int = PER_FILE,
    is_blurred: bool = False,
) -> Path:
    """Write tracks, by video path and start, as a page at `path`: whole or not at all.

    limit: only the first so many. tracks: only these, in this order. where: only those that fit an SQL condition over
    tracks, videos and descriptions (the newest of each). More than `one_file` of them need a folder beside the page,
    named as it is with `_pages`. is_blurred: no picture shows whose face it is (`blurring.py`).

    Raises:
        ChoiceError: a ValueError; a track that is not there, a condition that is no SQL, a negative limit.
        OSError: a file cannot be written.
    """
    rows, total = choose_rows(corpus, tracks, where, limit)
    rejects = _rejects(corpus)
    facts = _page_facts(corpus, rows, total, rejects) | {"is_limited": limit is not None and len(rows) == limit}
    facts["is_blurred"] = is_blurred
    environment = html_environment(Path(__file__).parent)
    articles = _each_reported(corpus, rows, rejects, is_blurred=is_blurred)
    pages = path.with_name(f"{path.stem}_pages")
    if len(rows) <= one_file:
        with whole_file(path) as file:
            page = facts | _scripts(SINGLE_SCRIPTS) | {"tracks": articles, "index": _json(index_of(rows, {}, {}))}
            _write(environment.get_template("gallery.html.j2"), page | {"index_url": None}, file)
        _forget_pages(pages)
        return path
    page_of = {row.track_id: f"{pages.name}/{place // per_file + 1:04}.html" for place, row in enumerate(rows)}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{pages.name}.{uuid.uuid4().hex[:8]}")
    beside.mkdir()
    try:
        thumbs: dict[str, str] = {}
        template = environment.get_template("gallery.html.j2")
        for first in range(0, len(rows), per_file):
            part = rows[first : first + per_file]
            shown = [next(articles) for _ in part]
            thumbs |= {article["row"].track_id: _thumb(article["film"]) for article in shown if article["film"]}
            page = facts | _scripts(SINGLE_SCRIPTS) | {"tracks": shown, "index": _json(index_of(part, {}, {}))}
            page |= {"index_url": f"../{path.name}", "rejects": [], "num_shown": len(part)}
            with whole_file(beside / f"{first // per_file + 1:04}.html") as file:
                _write(template, page, file)
        next(articles, None)  # tells that the last one is done
        with whole_file(path) as file:
            page = facts | _scripts(INDEX_SCRIPTS) | {"index": _json(index_of(rows, thumbs, page_of))}
            _write(environment.get_template("gallery_index.html.j2"), page, file)
            _forget_pages(pages)
            beside.replace(pages)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def _write(template: jinja2.Template, facts: Mapping[str, Any], file: TextIO) -> None:
    for piece in template.generate(**facts):
        file.write(piece)


def _forget_pages(folder: Path) -> None:
    """Remove a folder of an earlier gallery, if it is one."""
    if folder.is_dir() and all(page.suffix == ".html" and page.stem.isdecimal() for page in folder.iterdir()):
        shutil.rmtree(folder)


def _inline(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _scripts(names: Sequence[str]) -> dict[str, Any]:
    """Style and script of a page, with the hash by which its policy allows this script and no other."""
    script = '"use strict";\n(() => {\n' + "\n".join(_inline(name) for name in names) + "})();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(_inline("gallery.css")), "script": Markup(script), "script_sha256": digest}


def _json(value: Any) -> Markup:
    """JSON that can stand in an HTML page: no character in it ends a script or begins a tag."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _thumb(film: Sequence[Any]) -> str:
    """The middle picture of a film, small."""
    _, _, data = film[len(film) // 2].picture.partition(",")
    picture: Any = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(picture, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, THUMB_QUALITY])
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}" if done else ""


def _page_facts(
    corpus: Corpus, shown: Sequence[Row], total: int, rejects: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    snapshot = corpus.snapshot
    statuses = Counter(_statuses(corpus))
    statuses["none"] = total - statuses.total()
    return {
        "name": corpus.store.name,
        "snapshot": snapshot,
        "counts": snapshot.counts,
        "status_names": STATUSES_SHOWN,
        "statuses": statuses,
        "shown_statuses": Counter(row.status for row in shown),
        "qualities": QUALITIES,
        "num_tracks": total,
        "num_shown": len(shown),
        "reject_reasons": sorted(snapshot.rejects.items(), key=lambda item: (-item[1], item[0])),
        "num_rejects": sum(snapshot.rejects.values()),
        "rejects": rejects[:REJECTS_SHOWN],
        "meanings": {name: reason.meaning for name, reason in REASONS.items()},
    }


def _statuses(corpus: Corpus) -> list[str]:
    """The status of each track's newest text."""
    texts = corpus.arrow("descriptions", ["track_id", "text_version", "status"]).to_pylist()
    return list({text["track_id"]: text["status"] for text in texts}.values())


def _rejects(corpus: Corpus) -> list[dict[str, Any]]:
    """Every reject in the order of the walk."""
    order = {stage.name: number for number, stage in enumerate(WALK)}
    frame = corpus.rejects().astype(object)
    rejects: list[Any] = frame.where(frame.notna(), None).to_dict(orient="records")
    return sorted(rejects, key=lambda reject: (order.get(reject["stage"], len(WALK)), reject["path"] or ""))


def _each_reported(
    corpus: Corpus, rows: Sequence[Row], listed: Sequence[Mapping[str, Any]], *, is_blurred: bool
) -> Iterator[dict[str, Any]]:
    """What the template needs of each track, read one track at a time."""
    rejects: dict[str, dict[str, Mapping[str, Any]]] = {}
    for reject in listed:
        rejects.setdefault(reject["unit_id"], {})[reject["stage"]] = reject
    reviews: dict[str, list[dict[str, Any]]] = {}
    columns = ["track_id", "text_version", "decision", "reason", "reviewer", "reviewed_at"]
    for review in corpus.arrow("reviews", columns).to_pylist():
        reviews.setdefault(review["track_id"], []).append(review)
    report("write_gallery", 0, done=0, total=len(rows))
    for done, row in enumerate(rows, start=1):
        refused, reviewed = rejects.get(row.track_id, {}), reviews.get(row.track_id, [])
        yield track_facts(corpus, row, refused, reviewed, is_blurred=is_blurred)
        report("write_gallery", 0, done=done, total=len(rows))
