"""`tick replay`: send files or the synthetic market to Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.data import options
from cli.data.options import SYNTHETIC
from cli.tables import list_counts
from cli.times import format_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.config.settings import Settings
    from streaming.replay.other_senders import OtherSender
    from streaming.replay.replay import ReplayProgress, TickSource

INCOMPLETE_COVERAGE = {  # by rejections.Coverage
    "no job": (
        "no live job runs that could validate these ticks: `tick job resume`, or `tick job submit`"
    ),
    "behind": (
        "the live job has not validated all ticks yet: `tick job status`, `tick dead-letters list`"
    ),
}


def register(app: typer.Typer) -> None:
    """Add `replay` to the command line."""
    app.command("replay", rich_help_panel="The data")(replay)


def replay(
    files: options.FilesOrSynthetic,
    format: options.Format = None,
    venue: options.Venue = None,
    symbol: options.Symbol = None,
    speed: options.Speed = 1.0,
    as_live: options.AsLive = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    minutes: options.SyntheticMinutes = 60.0,
    history: options.SyntheticHistory = 65.0,
    preset: options.SyntheticPreset = "demo",
) -> None:
    """Send trades to Kafka in the order in which they happened, at any speed. Ctrl-C stops cleanly;
    --resume continues without a gap.

    An invalid row goes to the dead letters with its reason: see `tick dead-letters list`.

    After the last trade it waits until the live job, if one runs, has validated everything.

    Exit code 1: ticks were not delivered, or the live job rejected some.
    """
    from cli.data.feed_report import print_result, progress_line
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.online import writer_stats
    from streaming import dead_letters
    from streaming.feeds import open_feed
    from streaming.replay import other_senders
    from streaming.replay import replay as sender

    if files == [SYNTHETIC]:
        feed: TickSource = _synthetic_feed(preset, history, minutes)
        position_file: Path | None = None  # each run is another market: there is nothing to resume
    else:
        feed = open_feed(files, format, venue, symbol)
        position_file = settings().root / "replay" / f"{feed.fingerprint}.json"
    _require_choice(position_file, resume, restart)
    processed_to_us = writer_stats.processed_to_us(settings())
    letter_offsets = dead_letters.ends(settings())
    others = other_senders.find(settings(), now_us())
    with progress_line(settings().kafka) as show:
        warn = _warner(settings(), others, processed_to_us, show)
        result = sender.replay(feed, settings(), speed, as_live, position_file, resume, warn)
    print_result(result, feed)
    if result.sent:
        _require_no_rejections(settings(), result, letter_offsets)


def _synthetic_feed(preset: str, history_min: float, minutes: float) -> "TickSource":
    from contracts.clock import now_us
    from streaming.synthetic.feed import SyntheticFeed
    from streaming.synthetic.market import preset_with

    start_us = now_us() - int(history_min * 60e6)
    return SyntheticFeed(preset_with(preset), start_us, (history_min + minutes) * 60)


def _require_choice(position_file: Path | None, resume: bool, restart: bool) -> None:
    """Raises FeedError when an interrupted replay would be repeated by accident; says so when there
    is nothing to continue.
    """
    from rich.console import Console

    from contracts.errors import FeedError
    from streaming.replay import position

    saved = None if restart or position_file is None else position.load(position_file)
    if saved is not None and not saved.finished and not resume:
        raise FeedError(
            f"a replay of these files stopped after {saved.items:,} rows",
            "add --resume to continue, or --restart to begin again",
        )
    if saved is None and resume:
        Console(stderr=True).print(
            "[yellow]![/] there is no replay of these files, as they are now, to continue:"
            " it begins with the first row"
        )


def _warner(
    settings: "Settings",
    others: "list[OtherSender]",
    processed_to_us: int,
    show: "Callable[[ReplayProgress], None]",
) -> "Callable[[ReplayProgress], None]":
    """A callback that shows the progress, and warns once, as soon as the first tick is sent."""
    warned = False

    def warn(progress: "ReplayProgress") -> None:
        nonlocal warned
        if progress.first_us and not warned:
            warned = True
            _warn_of_late_ticks(progress.first_us, processed_to_us)
            warn_of_other_senders(settings, others, progress.first_us - progress.began_us)
        show(progress)

    return warn


def warn_of_other_senders(settings: "Settings", others: "list[OtherSender]", ahead_us: int) -> None:
    """Event time is one for all senders: ticks of the one that is behind are late."""
    from rich.console import Console

    for other in others:
        if other.differs(settings, ahead_us):
            apart_s = (other.ahead_us - ahead_us) / 1e6
            behind = "this sender" if apart_s > 0 else "the other"
            Console(stderr=True, highlight=False).print(
                f"[yellow]![/] another sender has sent in the last seconds (run {other.run_id}),"
                f" {abs(apart_s):,.1f} s of event time apart: ticks of {behind} are late. Stop one"
                " of them."
            )


def _warn_of_late_ticks(first_us: int, processed_to_us: int) -> None:
    """Event time never goes back: ticks behind the watermark of the live job are stored, but are
    not part of any live window.
    """
    from rich.console import Console

    if 0 < first_us < processed_to_us:
        Console(stderr=True).print(
            f"[yellow]![/] this feed began at {format_us(first_us)}, but the live job had already"
            f" reached {format_us(processed_to_us)}: ticks before that are late. Compute their"
            " features with `tick backfill`.",
            highlight=False,
        )


def _require_no_rejections(
    settings: "Settings", result: "ReplayProgress", letter_offsets: dict[int, int]
) -> None:
    """Raises FeedError when the live job rejected ticks of this replay."""
    from rich.console import Console

    from contracts.errors import FeedError
    from streaming.replay import rejections
    from streaming.replay.rejections import Coverage

    console = Console(stderr=True, highlight=False)
    limit_s = rejections.wait_s_max(settings)
    with console.status(f"waiting until the live job has validated it ({limit_s:.0f} s at most)"):
        rejected = rejections.count(settings, result.sent_offsets, letter_offsets)
    if rejected.coverage is not Coverage.COMPLETE:
        console.print(f"[yellow]![/] {INCOMPLETE_COVERAGE[rejected.coverage]}")
    if rejected.reasons:
        [(reason, _)] = rejected.reasons.most_common(1)
        share = f"{rejected.reasons.total():,} of {result.sent:,} ticks"
        raise FeedError(
            f"the live job rejected {share}: {list_counts(rejected.reasons)}",
            f"see `tick dead-letters list --reason {reason}`",
        )
