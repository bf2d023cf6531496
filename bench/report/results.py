"""The results as a table on the terminal and as a JSON file in TICK_HOME/bench."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.report.figures import Figure, Result, format_number
from bench.report.machine import Machine

MARKS = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def heading(machine: Machine) -> str:
    """One line that describes the machine."""
    return (
        f"{machine.cores} cores, {machine.model}, {machine.memory_gib:g} GiB, {machine.system},"
        f" Python {machine.python}"
    )


def table(result: Result) -> Table:
    """The figures of one bench as a table."""
    conditions = f"load {result.load_before:g} → {result.load_after:g}, {result.elapsed_s:.0f} s"
    rows = Table(
        "what",
        "value",
        "unit",
        "aim",
        "met",
        title=f"{result.bench} ({conditions})",
        title_justify="left",
        expand=True,
    )
    rows.columns[1].justify = "right"
    for figure in result.figures:
        note = f"\n[dim]{escape(figure.note)}[/]" if figure.note else ""
        rows.add_row(
            figure.what + note,
            format_number(figure.value),
            figure.unit,
            figure.aim,
            MARKS[figure.met],
        )
    if result.failure:
        rows.add_row(f"[red]failed[/]: {escape(result.failure)}", "", "", "", "")
    return rows


def save(folder: Path, machine: Machine, results: list[Result], now_us: int) -> Path:
    """Write all results to `<UTC time>.json` in `folder`; returns the file."""
    taken_at = datetime.fromtimestamp(now_us / 1e6, UTC)
    file = folder / f"{taken_at:%Y%m%dT%H%M%SZ}.json"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "taken_at": taken_at.isoformat(),
        "machine": asdict(machine),
        "results": [_plain(result) for result in results],
    }
    file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return file


def _plain(result: Result) -> dict[str, object]:
    return asdict(result) | {"figures": [_figure(figure) for figure in result.figures]}


def _figure(figure: Figure) -> dict[str, object]:
    return asdict(figure) | {"met": figure.met}


def show(console: Console, result: Result) -> None:
    """Print the results of one bench."""
    console.print(table(result))
