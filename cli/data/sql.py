"""`tick sql`: query the lakehouse in SQL; the result is shown as a table or written to a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.tables import build_table

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table

COUNTED_MAX = 1_000_000  # stop counting the rows that are not shown: a table may have billions
FILE = "FILE, or - for standard output"


def register(app: typer.Typer) -> None:
    """Add `sql` to the command line."""
    app.command("sql", rich_help_panel="The data")(sql)


def sql(
    query: Annotated[
        str,
        typer.Argument(
            help="SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN, in DuckDB's SQL"
        ),
    ],
    csv: Annotated[Path | None, typer.Option(help=f"write CSV to {FILE}")] = None,
    json: Annotated[
        Path | None, typer.Option(help=f"write a JSON object per line to {FILE}")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="write Parquet to FILE")] = None,
    limit: Annotated[int, typer.Option(min=1, help="rows to show; a file gets all rows")] = 50,
    as_of: Annotated[
        int | None, typer.Option(help="a snapshot: read its table as of that snapshot")
    ] = None,
) -> None:
    """Query the Iceberg tables: silver.tick_data, silver.ticks (each trade once),
    gold.tick_features and the others. Read only.

    Times are UTC. A condition on event_time skips the files of other days.
    """
    from contracts.config.settings import settings
    from lakehouse.query import open_session
    from lakehouse.tables import Lakehouse

    target = _choose_file({"csv": csv, "json": json, "parquet": parquet})
    with open_session(Lakehouse(settings()), query, as_of) as lake:
        result = lake.execute(query)
        if target is None:
            _print_result(result, limit)
        else:
            _write_result(result, *target)


def _choose_file(files: dict[str, Path | None]) -> tuple[str, Path] | None:
    """The format and the file to write; None without one. Raises DatasetError for several."""
    from contracts.errors import DatasetError

    given = [(kind, file) for kind, file in files.items() if file is not None]
    if len(given) > 1:
        names = ", ".join(f"--{kind}" for kind, _ in given)
        raise DatasetError(
            f"{names}: only one file at a time", "use one of --csv, --json and --parquet"
        )
    return next(iter(given), None)


def _write_result(result: "pa.RecordBatchReader", kind: str, file: Path) -> None:
    from cli.reports import result_writers

    if str(file) == "-" and kind != "parquet":
        result_writers.write_result(result, kind, typer.get_binary_stream("stdout"))
    else:
        _write_file(result, kind, file)


def _write_file(result: "pa.RecordBatchReader", kind: str, file: Path) -> None:
    from cli.reports import result_writers
    from contracts.errors import DatasetError
    from contracts.files import replace_atomically

    if not file.parent.is_dir():
        raise DatasetError(
            f"{file} cannot be written: there is no folder {file.parent}",
            f"create it with `mkdir -p {file.parent}`",
        )
    try:
        with replace_atomically(file, durable=False) as partial, partial.open("wb") as out:
            rows = result_writers.write_result(result, kind, out)
    except OSError as error:
        raise DatasetError(
            f"{file} cannot be written: {error}", "check its folder with `ls -ld`"
        ) from error
    typer.echo(f"{rows:,} rows in {file}", err=True)


def _print_result(result: "pa.RecordBatchReader", limit: int) -> None:
    from rich.console import Console

    rows, hidden = _take_rows(result, limit)
    console = Console(emoji=False)  # `:v:` in a value is not a picture
    if result.schema.names == ["explain_key", "explain_value"]:
        plan = "\n".join(row["explain_value"] for row in rows)
        console.print(plan, markup=False, highlight=False)
        return
    _print_rows(console, result.schema, [list(map(_format_value, row.values())) for row in rows])
    console.print(f"{len(rows):,} rows{_describe_hidden(hidden)}", soft_wrap=True)


def _take_rows(result: "pa.RecordBatchReader", limit: int) -> tuple[list[dict[str, Any]], int]:
    """The first rows, and the number of the others, which is counted until COUNTED_MAX."""
    rows: list[dict[str, Any]] = []
    hidden = 0
    for batch in result:
        shown = batch.slice(0, limit - len(rows)).to_pylist()
        rows += shown
        hidden += batch.num_rows - len(shown)
        if hidden > COUNTED_MAX:
            break
    return rows, hidden


def _describe_hidden(hidden: int) -> str:
    if not hidden:
        return ""
    count = f"more than {COUNTED_MAX:,}" if hidden > COUNTED_MAX else f"{hidden:,}"
    return f", {count} more: --limit shows them, --csv, --json and --parquet write them"


def _print_rows(console: "Console", schema: "pa.Schema", rows: list[list[str]]) -> None:
    """Print a table: at its full width unless on a terminal; on a terminal that is too narrow, each
    row as a separate table.
    """
    from rich.console import Console

    columns = zip(schema.names, *rows, strict=True)
    width = sum(max(map(len, column)) + 2 for column in columns)
    if not console.is_terminal:
        console = Console(width=max(width, 1), file=console.file, emoji=False)
    if width <= console.width:
        console.print(_rows_table(schema, rows))
        return
    for number, row in enumerate(rows, 1):
        console.print(_row_table(schema, number, row))


def _rows_table(schema: "pa.Schema", rows: list[list[str]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    for field in schema:
        numeric = str(field.type).startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(escape(field.name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _row_table(schema: "pa.Schema", number: int, row: list[str]) -> "Table":
    from rich.markup import escape

    cells = zip(map(escape, schema.names), map(escape, row), strict=True)
    title = f"row {number}"
    return build_table(("column", "value"), cells, box=None, title=title, title_justify="left")


def _format_value(value: Any) -> str:
    """A value as text; bytes and control characters of unknown senders are escaped."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]
