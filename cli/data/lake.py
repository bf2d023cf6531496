"""`tick history`, `tick maintenance`, `tick lake …`: load synthetic ticks, maintain the tables."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.tables import build_table
from cli.times import DAY_FORMAT, DAY_METAVAR, format_day, us_or_default

if TYPE_CHECKING:
    from lakehouse.maintenance.summary import Summary
    from streaming.maintenance import StepResult

app = typer.Typer(help="The Iceberg tables: their contents and maintenance.", no_args_is_help=True)
PANEL = "The data"


def register(into: typer.Typer) -> None:
    """Add these commands to the command line."""
    into.command("history", rich_help_panel=PANEL)(history)
    into.command("maintenance", rich_help_panel=PANEL)(maintenance)
    into.add_typer(app, name="lake", rich_help_panel=PANEL)


def history(
    days: Annotated[int, typer.Option(min=1, max=400, help="length in days")] = 16,
    start: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=[DAY_FORMAT],
            metavar=DAY_METAVAR,
            help="first day, UTC; default: so that it ends now",
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="demo or fixture")] = "demo",
    ic: Annotated[
        float | None, typer.Option(min=0.0, max=0.5, help="planted signal; 0 = none")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0001, max=1000, help="trades per second and symbol")
    ] = None,
) -> None:
    """Load synthetic history. Its planted signal ignores market impact and capacity: its Sharpe is
    not realistic.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.synthetic.history import load_synthetic
    from streaming.synthetic.market import preset_with

    length_us = days * 86_400_000_000
    start_us = us_or_default(start, now_us() - length_us)
    if start_us + length_us > now_us():
        raise typer.BadParameter(
            f"{days} days from {format_day(start_us)} end in the future", param_hint="--from"
        )
    with progress_bars() as report:
        load_synthetic(settings(), preset_with(preset, ic=ic, rate=rate), start_us, days, report)


@app.command("tables")
def tables() -> None:
    """Rows, files, size and number of snapshots of each table."""
    from rich.console import Console

    from contracts.config.settings import settings
    from lakehouse.maintenance.summary import summary
    from lakehouse.tables import Lakehouse

    columns = ("table", "rows", "files", "MiB", "snapshots")
    summaries = summary(Lakehouse(settings()))
    Console().print(build_table(columns, map(_summary_cells, summaries), box=None))


def _summary_cells(summary: "Summary") -> tuple[str, ...]:
    return (
        summary.table,
        f"{summary.rows:,}",
        f"{summary.files:,}",
        f"{summary.bytes / 2**20:,.1f}",
        str(summary.snapshots),
    )


@app.command("compact")
def compact(
    files: Annotated[
        int, typer.Option(min=2, help="only partitions with more files than this")
    ] = 8,
) -> None:
    """Merge the small files of each partition, those of today too; safe alongside the live job.

    The service `maintenance` does it for partitions of earlier days: see `tick maintenance --help`.
    """
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from lakehouse import leases
    from lakehouse.maintenance import compaction
    from lakehouse.tables import Lakehouse

    rule = compaction.CompactionRule(files, settings().compact_group_mb * 2**20)
    held = leases.lease(settings(), leases.MAINTENANCE, holder="`tick lake compact`")
    with held, progress_bars() as report:
        done = compaction.compact(Lakehouse(settings()), rule, report)
    skipped = (
        f"; {done.skipped_groups} groups of files skipped, because another writer changed them:"
        " repeat the command"
        if done.skipped_groups
        else ""
    )
    typer.echo(f"{done.partitions} partitions compacted{skipped}")


def maintenance(
    dry: Annotated[
        bool, typer.Option("--dry", help="print what would be done, change nothing")
    ] = False,
) -> None:
    """One pass of maintenance now: compact closed partitions, expire old snapshots, delete what
    ended backfills left behind.

    The service `maintenance`, which `tick up` starts, does it every TICK_MAINTENANCE_INTERVAL_S.
    Snapshots of training sets stay for TICK_TRAINING_PIN_DAYS, others for TICK_SNAPSHOT_KEEP_H.
    Exit code 1 when a step failed; the others are done.
    """
    from rich.console import Console

    from cli.exit_codes import FAILED, exit_if
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from streaming.maintenance import run_pass

    with progress_bars() as report:
        results = run_pass(settings(), now_us(), report, dry=dry)
    columns = ("step", "would do" if dry else "done")
    Console().print(build_table(columns, map(_step_cells, results), box=None))
    exit_if(any(result.error for result in results), FAILED)


def _step_cells(result: "StepResult") -> tuple[str, ...]:
    counts = (f"{name} {count:,}" for name, count in result.counts.items())
    return result.step, f"failed: {result.error}" if result.error else ", ".join(counts)


@app.command("expire")
def expire(
    hours: Annotated[float, typer.Option(min=0.0, help="keep snapshots younger than this")] = 24.0,
) -> None:
    """Expire old snapshots and delete the files that only they use; the current snapshot always
    stays, and those of training sets. Safe alongside the live job.

    The service `maintenance` does it every hour: see `tick maintenance --help`.
    """
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from lakehouse import leases
    from lakehouse.maintenance import expiry
    from lakehouse.tables import Lakehouse
    from streaming.job import states as job_states

    with leases.lease(settings(), leases.MAINTENANCE, holder="`tick lake expire`"):
        now = now_us()
        state_us = job_states.newest_state_us(settings())
        retention = expiry.Retention(now - int(hours * 3.6e9))
        expired = expiry.expire(Lakehouse(settings()), retention, now, state_us)
    typer.echo(
        f"{expired.snapshots} snapshots expired, {expired.files} files deleted"
        f" ({expired.bytes / 2**20:,.1f} MiB)"
    )
