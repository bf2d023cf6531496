"""`tick logs`: the end of the log files of the services, and new lines as they are written."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

POLL_S = 0.3


def logs(
    service: Annotated[
        str | None,
        typer.Argument(
            help="a service of `tick status`, such as kafka or airflow-scheduler; default: all"
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="print new lines until Ctrl-C")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="number of lines from the end")
    ] = 40,
) -> None:
    """Print the end of the logs."""
    from stack.process.log_files import log_tail

    files = _log_files(service)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for file in files:
        if len(files) > 1:
            console.print(f"==> {file} <==", style="bold")
        console.print(log_tail(file, lines))
    if follow:
        _follow(console, files)


def _log_files(service: str | None) -> list[Path]:
    from contracts.config import paths
    from contracts.config.settings import settings
    from stack import platform

    if service:
        return [platform.find_service(settings(), service).log]
    return sorted(paths.logs(settings()).glob("*.log"))


def _follow(console: Console, files: list[Path]) -> None:
    """Print what is appended to these files, indefinitely. A file that became smaller was rotated:
    print it from its beginning.
    """
    offsets = {file: _size(file) for file in files}
    while True:
        for file in files:
            offsets[file] = _print_appended(console, file, offsets[file])
        time.sleep(POLL_S)


def _print_appended(console: Console, file: Path, offset: int) -> int:
    """Print what follows the offset; returns the offset of what will be appended next."""
    size = _size(file)
    if size in (0, offset):
        return size
    with file.open("rb") as stream:
        stream.seek(offset if size > offset else 0)
        console.print(stream.read().decode(errors="replace"), end="")
        return stream.tell()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
