"""`tick replay`: files or the synthetic exchange into Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.config.settings import Settings
    from streaming.replay.replay import Replayable, ReplayProgress

SYNTHETIC = "synthetic"
UNCOUNTED = {  # by refusals.Coverage
    "no job": (
        "no live job runs that could validate these ticks: `tick job resume`, or `tick job submit`"
    ),
    "behind": (
        "the live job has not validated all of it yet: `tick job status`, `tick dead-letters list`"
    ),
}


def register(app: typer.Typer) -> None:
    """Add `replay` to the command line."""
    app.command("replay", rich_help_panel="The data")(replay)


def replay(
    files: Annotated[
        list[str], typer.Argument(help="files or quoted globs, or the word: synthetic")
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="name of the format, if it is not to be detected; a wrong name shows all"
        ),
    ] = None,
    venue: Annotated[str | None, typer.Option(help="venue, instead of what the file says")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="symbol, instead of what the file says")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="1 = as it happened, 60 = a minute a second, 0.5 = half as fast, 0 = at once",
        ),
    ] = 1.0,
    as_live: Annotated[
        bool,
        typer.Option(
            "--as-live",
            help="move times to now: the last trade happens when the replay ends; "
            + "below speed 1 it stretches the time between trades",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="go on where an interrupted replay of these files stopped"),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="forget where it stopped and send everything")
    ] = False,
    minutes: Annotated[
        float, typer.Option(min=0.0, help="synthetic only: minutes from now on")
    ] = 60.0,
    history: Annotated[
        float, typer.Option(min=0.0, help="synthetic only: minutes before now, sent first")
    ] = 65.0,
    preset: Annotated[str, typer.Option(help="synthetic only: demo or fixture")] = "demo",
) -> None:
    """Send trades to Kafka as if they happened, at any speed. Ctrl-C stops cleanly; --resume goes
    on without a gap.

    A row that cannot be used goes to the dead letters with its reason: see `tick dead-letters
    list`.

    When all is sent, it waits until the live job, if one runs, has validated it.

    Exit code 1: ticks were not delivered, or the live job refused some.
    """
    from contracts.config.settings import settings
    from feature_store.online import writer_stats
    from streaming import dead_letters
    from streaming.replay import replay as producer

    synthetic = files == [SYNTHETIC]
    feed = (
        _synthetic(preset, history, minutes) if synthetic else _files(files, format, venue, symbol)
    )
    # a synthetic market that begins now is another one each time: there is nothing to go on with
    position_file = None if synthetic else settings().root / "replay" / f"{feed.fingerprint}.json"
    _require_choice(position_file, resume, restart)
    reached_us, letters = writer_stats.reached_us(settings()), dead_letters.ends(settings())
    with display(settings().kafka) as show:
        done = producer.replay(feed, settings(), speed, as_live, position_file, resume, show)
    report(done, feed)
    _warn_of_the_past(done.first_us, reached_us)
    if done.sent:
        _report_refusals(settings(), done, letters)


def _files(
    files: list[str], format: str | None, venue: str | None, symbol: str | None
) -> "Replayable":
    from streaming.feeds import open_feed

    return open_feed(files, format, venue, symbol)


def _synthetic(preset: str, history_min: float, minutes: float) -> "Replayable":
    from contracts.clock import now_us
    from streaming.synthetic.feed import SyntheticFeed
    from streaming.synthetic.market import preset_with

    return SyntheticFeed(
        preset_with(preset), now_us() - int(history_min * 60e6), (history_min + minutes) * 60
    )


def _require_choice(position_file: Path | None, resume: bool, restart: bool) -> None:
    """An interrupted replay is neither repeated nor continued by accident."""
    from contracts.errors import FeedError
    from streaming.replay import position

    saved = None if restart or position_file is None else position.load(position_file)
    if saved is not None and not saved.finished and not resume:
        raise FeedError(
            f"a replay of these files stopped after {saved.items:,} rows",
            "say --resume to go on, --restart to begin again",
        )


@contextmanager
def display(where: str) -> "Iterator[Callable[[ReplayProgress], None]]":
    """A line that says how far it is."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"sending to {where}") as status:

        def show(progress: "ReplayProgress") -> None:
            left = "" if progress.eta_s is None else f", {progress.eta_s:,.0f} s left"
            status.update(
                f"{progress.sent:,} sent, {progress.acknowledged:,} acknowledged,"
                f" {progress.rejected:,} rejected, {progress.failed:,} failed,"
                f" {progress.rate:,.0f}/s, at {_utc(progress.event_time_us)}{left}"
            )

        yield show


def _warn_of_the_past(first_us: int, reached_us: int) -> None:
    """Event time never goes back: what is sent behind the live job's clock is stored, and counts in
    no live window.
    """
    from rich.console import Console

    if 0 < first_us < reached_us:
        told = (
            f"the live job had reached {_utc(reached_us)} already, this feed began at"
            f" {_utc(first_us)}: what lies before counts as late"
        )
        Console(stderr=True).print(
            f"[yellow]![/] {told}; its features come with `tick backfill`", highlight=False
        )


def _report_refusals(settings: "Settings", done: "ReplayProgress", letters: dict[int, int]) -> None:
    """Raises FeedError when the live job refused ticks of this replay."""
    from rich.console import Console

    from contracts.errors import FeedError
    from streaming.replay import refusals
    from streaming.replay.refusals import Coverage

    console = Console(stderr=True, highlight=False)
    limit_s = refusals.wait_s_max(settings)
    with console.status(f"waiting until the live job has validated it ({limit_s:.0f} s at most)"):
        refused = refusals.count(settings, done.written, letters)
    if refused.coverage is not Coverage.COMPLETE:
        console.print(f"[yellow]![/] {UNCOUNTED[refused.coverage]}")
    kinds = refused.reasons.most_common()
    if kinds:
        listed = ", ".join(f"{reason} {count:,}" for reason, count in kinds)
        share = f"{refused.reasons.total():,} of {done.sent:,} ticks"
        raise FeedError(
            f"the live job refused {share}: {listed}",
            f"look at them: `tick dead-letters list --reason {kinds[0][0]}`",
        )


def _utc(event_time_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(event_time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def report(done: "ReplayProgress", feed: "Replayable") -> None:
    """What was sent, and what was odd about it."""
    from rich.console import Console
    from rich.markup import escape

    console, formats = Console(highlight=False), getattr(feed, "formats", (SYNTHETIC,))
    console.print(
        f"{done.sent:,} ticks sent in {done.elapsed_s:,.1f} s ({done.rate:,.0f}/s) from"
        f" {', '.join(formats)}"
    )
    if done.resent_from:
        console.print(f"  resumed after row {done.resent_from:,}")
    if done.rejected:
        console.print(f"  {done.rejected:,} rows rejected: `tick dead-letters list` shows why")
    if done.skipped:
        console.print(
            escape(
                "  no trades: "
                + ", ".join(f"{kind} {count:,}" for kind, count in done.skipped.most_common())
            )
        )
    if done.sides_inferred:
        console.print(f"  {done.sides_inferred:,} unknown sides inferred by quote and tick rule")
    if done.offset_us:
        console.print(f"  event times moved by {done.offset_us / 1e6:+,.3f} s")
    if done.stretch > 1:
        console.print(f"  slow motion: the time between trades is {done.stretch:.2f} times as long")
