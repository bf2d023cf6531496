"""`tick sql`: questions to the lakehouse in SQL, shown as a table or written to a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

COUNTED_MAX = 1_000_000  # rows beyond those shown are counted up to here: a table may have billions
FILE = "FILE, or - for standard output"


def register(app: typer.Typer) -> None:
    """Add `sql` to the command line."""
    app.command("sql", rich_help_panel="The data")(sql)


def sql(
    question: Annotated[
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
    limit: Annotated[int, typer.Option(min=1, help="rows to show; files get all of them")] = 50,
    as_of: Annotated[
        int | None, typer.Option(help="read the table that has this snapshot as it was then")
    ] = None,
) -> None:
    """Ask the Iceberg tables: silver.tick_data, silver.ticks (each trade once), gold.tick_features
    and the others. Read only.

    Times are UTC. A condition on event_time spares the files of other days.
    """
    from contracts.config.settings import settings
    from contracts.errors import DatasetError
    from lakehouse.query import open_session
    from lakehouse.tables import Lakehouse

    targets = [
        (kind, file)
        for kind, file in (("csv", csv), ("json", json), ("parquet", parquet))
        if file is not None
    ]
    if len(targets) > 1:
        raise DatasetError("one file at a time", "give only one of --csv, --json and --parquet")
    with open_session(Lakehouse(settings()), question, as_of) as lake:
        answer = lake.execute(question)
        if targets:
            _write(answer, *targets[0])
        else:
            _show(answer, limit)


def _write(answer: "pa.RecordBatchReader", kind: str, file: Path) -> None:
    from cli.reports import result_writers

    if str(file) == "-" and kind != "parquet":
        result_writers.write(answer, kind, typer.get_binary_stream("stdout"))
        return
    with _whole(file) as partial, partial.open("wb") as out:
        rows = result_writers.write(answer, kind, out)
    typer.echo(f"{rows:,} rows in {file}", err=True)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A file alongside the one asked for that takes its place when all went well."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    except OSError as error:
        from contracts.errors import DatasetError

        raise DatasetError(f"{file} cannot be written: {error}", "is its folder there?") from error
    finally:
        partial.unlink(missing_ok=True)


def _show(answer: "pa.RecordBatchReader", limit: int) -> None:
    from rich.console import Console

    rows: list[dict[str, Any]] = []
    more = 0
    for batch in answer:
        shown = batch.slice(0, limit - len(rows)).to_pylist()
        rows += shown
        more += batch.num_rows - len(shown)
        if more > COUNTED_MAX:
            break
    console = Console()
    if answer.schema.names == ["explain_key", "explain_value"]:
        console.print(
            "\n".join(row["explain_value"] for row in rows), markup=False, highlight=False
        )
        return
    _tables(console, answer.schema, [[_text(value) for value in row.values()] for row in rows])
    left = f"more than {COUNTED_MAX:,}" if more > COUNTED_MAX else f"{more:,}"
    note = (
        f", {left} more: --limit shows them, --csv, --json and --parquet write them" if more else ""
    )
    console.print(f"{len(rows):,} rows{note}", soft_wrap=True)


def _tables(console: "Console", schema: "pa.Schema", rows: list[list[str]]) -> None:
    """Rows below each other, however wide where no one looks; on a screen that is too narrow each
    row as a separate table.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    widths = [
        max(len(cell) for cell in (name, *cells))
        for name, *cells in zip(schema.names, *rows, strict=True)
    ]
    needed = sum(widths) + 2 * len(widths)
    if console.is_terminal and needed > console.width:
        for number, row in enumerate(rows, 1):
            table = Table("column", "value", box=None, title=f"row {number}", title_justify="left")
            for name, value in zip(schema.names, row, strict=True):
                table.add_row(escape(name), escape(value))
            console.print(table)
        return
    table = Table(box=None)
    for field in schema:
        numeric = str(field.type).startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(escape(field.name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    (console if console.is_terminal else Console(width=max(needed, 1), file=console.file)).print(
        table
    )


def _text(value: Any) -> str:
    """A value for people; bytes and control characters of strangers escaped."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]
