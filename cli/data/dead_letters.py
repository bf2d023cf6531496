"""`tick dead-letters list | replay`: what was refused, why, and a second chance for it."""

from typing import Annotated

import typer

RAW_CHARS = 100

app = typer.Typer(help="See refused messages and send repaired ones again.", no_args_is_help=True)
OfReason = Annotated[str | None, typer.Option("--reason", help="only these, e.g. crossed_quote")]


def register(into: typer.Typer) -> None:
    """Add `dead-letters` to the command line."""
    into.add_typer(app, name="dead-letters", rich_help_panel="The data")


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=0, help="newest letters to show")] = 20,
    reason: OfReason = None,
) -> None:
    """Show the newest refused messages and how many there are of each reason."""
    from collections import Counter, deque
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from contracts.config.settings import settings
    from streaming import dead_letters

    newest: deque[dead_letters.DeadLetter] = deque(maxlen=limit)
    counts: Counter[str] = Counter()
    for letter in dead_letters.read(settings(), reason):
        counts[letter.reason] += 1
        newest.append(letter)
    console = Console()
    table = Table("refused (UTC)", "reason", "from", "bytes", "what", box=None)
    for letter in newest:
        refused = datetime.fromtimestamp(letter.refused_ms / 1000, UTC).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
        # repr: what a stranger sent must not move the cursor or colour the screen
        raw = escape(repr(letter.raw[:RAW_CHARS])[2:-1])
        table.add_row(refused, letter.reason, escape(letter.origin), f"{letter.true_bytes:,}", raw)
    if newest:
        console.print(table)
    console.print(
        ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "no dead letters"
    )


@app.command("replay")
def replay_letters(reason: OfReason = None) -> None:
    """Judge dead letters again by today's rules and send those that pass; one sent twice counts
    once.
    """
    from rich.console import Console

    from contracts.clock import now_us
    from contracts.config.settings import settings
    from contracts.tick import MESSAGE_BYTES_MAX
    from streaming import dead_letters

    done = dead_letters.replay(settings(), now_us(), reason)
    console = Console()
    refused = sum(done.refused.values())
    counts = f"sent again {done.sent:,}, still refused {refused:,}, rows of files {done.rows:,}"
    console.print(f"{counts}, cut {done.cut:,}")
    if done.rows:
        console.print("rows of files are read again by `tick replay FILE`, not from here")
    if done.cut:
        limit = f"{MESSAGE_BYTES_MAX:,}"
        console.print(f"of messages longer than {limit} bytes only the first {limit} are kept:")
        console.print("shorten them at their source and send them again from there")
