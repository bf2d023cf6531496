"""`tick dead-letters list | replay`: show rejected messages, and send them again."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.tables import build_table, list_counts
from cli.times import format_us

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from streaming.dead_letters import DeadLetter

RAW_CHARS = 100

app = typer.Typer(
    help="Show rejected messages, and send those again that are valid now.", no_args_is_help=True
)
Reason = Annotated[
    str | None, typer.Option("--reason", help="only this reason, e.g. crossed_quote")
]


def register(into: typer.Typer) -> None:
    """Add `dead-letters` to the command line."""
    into.add_typer(app, name="dead-letters", rich_help_panel="The data")


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=0, help="newest letters to show")] = 20,
    reason: Reason = None,
) -> None:
    """Show the newest rejected messages and the number of messages per reason."""
    from collections import Counter, deque

    from rich.console import Console

    from contracts.config.settings import settings
    from streaming import dead_letters

    newest: deque[dead_letters.DeadLetter] = deque(maxlen=limit)
    counts: Counter[str] = Counter()
    for letter in dead_letters.read(settings(), reason):
        counts[letter.reason] += 1
        newest.append(letter)
    console = Console(emoji=False)  # `:v:` in a message is not a picture
    if newest:
        console.print(_letters_table(newest))
    console.print(list_counts(counts) or "no dead letters", markup=False)


def _letters_table(letters: "Iterable[DeadLetter]") -> "Table":
    columns = ("rejected (UTC)", "reason", "from", "bytes", "message")
    return build_table(columns, map(_letter_cells, letters), box=None)


def _letter_cells(letter: "DeadLetter") -> tuple[str, ...]:
    from rich.markup import escape

    return (
        format_us(letter.rejected_ms * 1000),
        escape(letter.reason),
        escape(letter.origin),
        f"{letter.true_bytes:,}",
        # repr: bytes of unknown senders must not move the cursor or colour the screen
        escape(repr(letter.raw[:RAW_CHARS])[2:-1]),
    )


@app.command("replay")
def replay_letters(reason: Reason = None) -> None:
    """Validate dead letters again by the current rules and send those that pass. A tick that is
    sent twice counts once.
    """
    from rich.console import Console

    from contracts.clock import now_us
    from contracts.config.settings import settings
    from contracts.tick import MESSAGE_BYTES_MAX
    from streaming import dead_letters

    result = dead_letters.replay(settings(), now_us(), reason)
    console = Console()
    console.print(
        f"sent again {result.sent:,}, still rejected {sum(result.rejected.values()):,},"
        f" rows of files {result.rows:,}, truncated {result.truncated:,}"
    )
    if result.rows:
        console.print("rows of files are not sent from here: repair the file, then `tick replay`")
    if result.truncated:
        console.print(
            f"of messages longer than {MESSAGE_BYTES_MAX:,} bytes only the start is kept:"
        )
        console.print("shorten them at their source and send them again from there")
