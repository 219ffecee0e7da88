"""The command `facescribe show`: tables, views and queries in the terminal, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json as json_module
import os
import pydoc
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.building import DEFAULT_ROOT, Root

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.inspection.corpus import Corpus

SHOWN = {
    "videos": ("path", "video_id", "duration_s", "num_frames", "width_px", "height_px", "codec", "decoder", "label"),
    "tracks": (
        "track_id", "video_id", "start_s", "end_s", "num_frames", "median_face_px", "start_reason", "end_reason",
    ),
    "actions": ("track_id", "events"),
    "descriptions": ("path", "status", "draft", "text", "fallback_reason"),
    "motion": ("clip_id", "track_id", "start_s", "end_s"),
    "rejects": ("stage", "path", "reason", "is_transient", "detail"),
    "claims": (
        "path", "label", "action", "side", "polarity", "intensity", "start_s", "end_s", "verdict", "why",
        "measured_side", "measured_intensity", "measured_onset_s", "measured_offset_s",
    ),
    "contradicted": ("path", "label", "status", "num_contradicted", "num_claims", "num_refused_answers", "why", "text"),
    "fallbacks": ("path", "label", "fallback_reason", "fallback_detail", "num_answers", "text"),
}  # fmt: skip
"""Columns that are shown where none are named. Of others, all but cells of bytes."""

ORDER = {
    "contradicted": None,
    "fallbacks": None,
    "texts": "track_id, text_version",
    "claims": "track_id, text_version, claim",
}
"""How views are ordered; None: as they come."""


def show(
    table: Annotated[
        str | None,
        typer.Argument(help="videos, tracks, actions, descriptions, …; or claims, contradicted, fallbacks."),
    ] = None,
    root: Root = DEFAULT_ROOT,
    sql: Annotated[str | None, typer.Option(help="A DuckDB query over the tables by their names, instead.")] = None,
    where: Annotated[str | None, typer.Option(help="Only rows for which this SQL condition is true.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only texts with any of these words, the best first; of descriptions.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns to show, with commas between.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="Columns to sort by, with commas between; -NAME: the largest first.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line, nothing cut.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV that a spreadsheet may open: no cell is a formula; lists are JSON.")
    ] = False,
    snapshot: Annotated[int | None, typer.Option(help="An older snapshot.")] = None,
    pager: Annotated[bool, typer.Option("--pager/--no-pager", help="Page what a terminal cannot hold.")] = True,
) -> None:
    """Show a table, a view, or the answer to an SQL query, in the terminal.

    facescribe show descriptions --where "label = 'fear' and status = 'fallback'"

    facescribe show contradicted --where "label = 'fear'" --limit 10

    facescribe show claims --where "verdict = 'contradicted'" --sort -start_s --csv > claims.csv

    facescribe show descriptions --search "brows rise"

    facescribe show --sql "select reason, count(*) from rejects group by reason"

    Colours follow NO_COLOR, the pager is PAGER or less.
    """
    import duckdb

    from pipeline.inspection.corpus import Corpus

    if (table is None) == (sql is None):
        raise typer.BadParameter("give either a TABLE or --sql", param_hint="TABLE")
    if json and as_csv:
        raise typer.BadParameter("give either --json or --csv", param_hint="--csv")
    if search is not None and (table != "descriptions" or where or sort):
        raise typer.BadParameter("of descriptions, without --where and --sort", param_hint="--search")
    corpus = Corpus(root, snapshot)
    source = f"(\n{sql}\n)" if sql is not None else _relation(str(table))
    hint = "--sql" if sql is not None else "--where" if where is not None else "TABLE"
    try:
        if search is not None:
            rows, total = _found(corpus, search, limit, columns)
        else:
            rows, total = _asked(corpus, table, source, where, columns, sort, limit, is_raw=json or as_csv)
    except duckdb.Error as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error
    if json:
        from pipeline.inspection.showing_terminal import json_lines

        print("".join(f"{line}\n" for line in json_lines(rows)), end="")
    elif as_csv:
        print(csv_of(rows), end="")
    else:
        _print(rows, total, is_paged=pager)


def _relation(table: str) -> str:
    """What a table is read from: of descriptions the texts with draft and path, of rejects those with the path."""
    from pipeline.inspection.frames_sql import views
    from schemas.corpus import TABLES

    names = [*TABLES, *views()]
    if table not in names:
        raise typer.BadParameter(f"no table {table!r}; the tables are: {', '.join(names)}", param_hint="TABLE")
    if table == "descriptions":
        return "texts"
    if table == "rejects":
        path = "coalesce(r.path, v.path) as path"
        return f"(select r.* replace ({path}) from rejects r left join videos v on v.video_id = r.video_id)"
    return table


def _asked(
    corpus: Corpus,
    table: str | None,
    source: str,
    where: str | None,
    columns: str | None,
    sort: str | None,
    limit: int,
    *,
    is_raw: bool,
) -> tuple[pa.Table, int]:
    """The rows that are shown, and how many there are. Only their columns are read."""
    import pyarrow as pa

    from pipeline.inspection.corpus import LONG_COLUMNS
    from pipeline.inspection.showing_terminal import columns_filled
    from schemas.corpus import TABLES

    connection = corpus.connect(source)
    filtered = "" if where is None else f"where (\n{where}\n)"
    relation = f"(select * from {source} {filtered})"
    fields = connection.sql(f"select * from {relation} limit 0").to_arrow_table().schema
    names = [name for name in fields.names if name not in LONG_COLUMNS]
    shown = list(SHOWN.get(str(table), ())) or [n for n in names if not pa.types.is_binary(fields.field(n).type)]
    chosen = _named(columns, fields.names, "--columns") if columns is not None else names if is_raw else shown
    order = ORDER.get(str(table), ", ".join(TABLES[table].primary_key) if table in TABLES else None)
    if sort is not None:
        signs = [part.strip() for part in sort.split(",")]
        sorted_by = _named(",".join(sign.removeprefix("-") for sign in signs), fields.names, "--sort")
        listed = zip(sorted_by, signs, strict=True)
        order = ", ".join(f"{_quoted(name)}{' desc' if s.startswith('-') else ''} nulls last" for name, s in listed)
    ordered = "" if order is None else f"order by {order}"
    query = f"select {', '.join(map(_quoted, chosen))} from {relation} {ordered} limit {limit}"
    rows = connection.sql(query).to_arrow_table()
    ((total,),) = connection.execute(f"select count(*) from {relation}").fetchall()
    if columns is None and not is_raw and table is not None:
        rows = rows.select(columns_filled(rows, chosen))
    return rows, int(total)


def _found(corpus: Corpus, search: str, limit: int, columns: str | None) -> tuple[pa.Table, int]:
    """The texts that a search finds."""
    import pyarrow as pa

    frame = corpus.search(search, limit=limit)
    wanted = ["score", "path", "status", "text", "label"]
    names = _named(columns, list(frame.columns), "--columns") if columns is not None else wanted
    return pa.Table.from_pandas(frame[names], preserve_index=False).replace_schema_metadata(None), len(frame)


def _named(listed: str, known: list[str], hint: str) -> list[str]:
    names = [name.strip() for name in listed.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"no column {unknown[0]!r}; there are: {', '.join(known)}", param_hint=hint)
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _print(rows: pa.Table, total: int, *, is_paged: bool) -> None:
    """Print the table, through a pager where a terminal is lower than it is."""
    from flows.console import console
    from pipeline.inspection.showing_terminal import table_of

    table = table_of(rows)
    more = f"{rows.num_rows} of {total} rows; --limit shows more" if total > rows.num_rows else ""
    with console.capture() as captured:
        console.print(table)
        if more:
            console.print(more, highlight=False)
    text = captured.get()
    is_seen = sys.stdout.isatty() and sys.stdin.isatty()
    if is_paged and is_seen and text.count("\n") >= console.height:
        os.environ.setdefault("LESS", "RFX")  # colours through, no page for what fits, and what was read stays
        pydoc.pager(text)
    else:
        sys.stdout.write(text)


def csv_of(rows: pa.Table) -> str:
    """The rows as CSV: UTF-8, CR LF, no cell that a spreadsheet would compute; lists and records as JSON."""
    from pipeline.csv_cells import QUOTED, defused

    written = io.StringIO()
    writer = csv.writer(written, quoting=QUOTED)
    writer.writerow([defused(name) for name in rows.column_names])
    for row in rows.to_pylist():
        writer.writerow([_csv_cell(value) for value in row.values()])
    text = written.getvalue()
    if sys.stdout.isatty():  # a file holds what was said; a terminal must not obey it
        from pipeline.inspection.showing_terminal import plain

        return "\n".join(plain(line) for line in text.split("\r\n"))
    return text


def _csv_cell(value: Any) -> str:
    from pipeline.csv_cells import defused
    from pipeline.inspection.showing_terminal import as_json

    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    plain_value = as_json(value)
    if isinstance(plain_value, list | dict):
        return json_module.dumps(plain_value, ensure_ascii=False)
    return defused(str(plain_value))
