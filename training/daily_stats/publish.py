"""Publishes plots of daily statistics as artifacts of an MLflow run, and optionally as files."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_CORRELATION, DAILY_PROFILE, DAILY_VOLATILITY
from lakehouse.tables import Lakehouse
from training.daily_stats import plots
from training.daily_stats.compute import DailyStatsReport, iso_date
from training.run import mlflow_run

EXPERIMENT = "tick-daily-statistics"


def draw_plots(
    settings: LakehouseSettings, report: DailyStatsReport, symbols: Sequence[str] | None = None
) -> dict[str, Figure]:
    """Plots of the tables by file name; empty if no day had ticks. The volume profile is of the
    last day.
    """
    if not report.days:
        return {}
    day_range = (report.from_us, report.to_us)
    title = report.days[0]
    if len(report.days) > 1:
        title = f"{report.days[0]} to {report.days[-1]}, {len(report.days)} days"
    lake = Lakehouse(settings)
    headline = daily.read(lake, DAILY, *day_range, symbols)
    volatility = daily.read(lake, DAILY_VOLATILITY, *day_range, symbols)
    correlation = daily.read(lake, DAILY_CORRELATION, *day_range, symbols)
    last_us = int(headline["event_time"].dt.epoch("us").max())  # type: ignore[arg-type]
    profile = daily.read(lake, DAILY_PROFILE, last_us, last_us + DAY_US, symbols)
    return {
        "volatility_curve.png": plots.plot_volatility(
            volatility, f"volatility over the day, {title}"
        ),
        "volume_profile.png": plots.plot_volume_profile(
            profile, f"volume by price, {iso_date(last_us)}"
        ),
        "correlation.png": plots.plot_correlation(correlation, f"correlation, {title}"),
    }


def publish_report(
    settings: Settings,
    report: DailyStatsReport,
    at_us: int,
    symbols: Sequence[str] | None = None,
    out: Path | None = None,
) -> str:
    """Log the report and its plots to MLflow, and write the plots to folder `out` if given.

    Returns the id of the MLflow run, whose metrics have the timestamp `at_us`.
    """
    run = mlflow_run.start(settings, "daily-statistics", at_us, EXPERIMENT)
    with run.closing():
        counts = {
            "days": len(report.days),
            "holes": len(report.holes),
            "unfinished": len(report.unfinished),
        }
        row_counts = {f"rows.{table}": float(count) for table, count in report.rows.items()}
        run.log_metrics({**counts, **row_counts})
        run.set_tags(
            {
                "from": iso_date(report.from_us),
                "to": iso_date(report.to_us),
                "symbols": ",".join(symbols) if symbols else "all",
            }
        )
        run.log_json(
            {
                "days": report.days,
                "holes": report.holes,
                "unfinished": report.unfinished,
                "missing": report.missing,
            },
            "days.json",
        )
        for name, figure in draw_plots(settings, report, symbols).items():
            run.log_figure(figure, name)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                figure.savefig(out / name)
    return run.run_id
