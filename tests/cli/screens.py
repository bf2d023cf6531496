"""Screens of a given width in memory, to read what a newcomer sees."""

import io
from collections.abc import Iterator

import typer
from click import Command
from rich.console import Console, RenderableType

COLUMNS = 80


def screen(width: int = COLUMNS, *, terminal: bool = False, colours: bool = True) -> Console:
    """A console that keeps what is printed; `text` returns it. Only a terminal has colours."""
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system="truecolor" if terminal and colours else None,
        highlight=False,
        emoji=False,
    )


def text(console: Console) -> str:
    return console.file.getvalue()


def lines(console: Console) -> list[str]:
    """What was printed, without the padding at the end of lines."""
    return [line.rstrip() for line in text(console).splitlines()]


def render(renderable: RenderableType, width: int = COLUMNS) -> list[str]:
    """The lines of a table or text on a screen of this width."""
    console = screen(width)
    console.print(renderable)
    return lines(console)


def cells(line: str) -> list[str]:
    """The cells of a row of a table without lines, which two spaces separate."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Command]]:
    """A command and all those below it, by their full names; the first is the empty one."""
    yield " ".join(path), command
    for name, child in (getattr(command, "commands", None) or {}).items():
        yield from commands(child, (*path, name))


def every_command() -> dict[str, Command]:
    """All commands and groups of `tick` by their full names."""
    from cli.main import app

    return dict(commands(typer.main.get_command(app)))
