"""Pictures of computed daily statistics: artifacts of one MLflow run of a separate experiment,
and files where asked for.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from contracts.config.settings import Settings
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_CORRELATION, DAILY_PROFILE, DAILY_VOLATILITY
from lakehouse.tables import Lakehouse
from training.daily_stats import plots
from training.daily_stats.run import Report, iso
from training.daily_stats.trades import DAY_US
from training.run import mlflow_run

EXPERIMENT = "tick-daily-statistics"


def draw(
    settings: Settings, report: Report, symbols: Sequence[str] | None = None
) -> dict[str, Figure]:
    """The pictures of a report by file name, from the tables; none when no day had ticks. The
    profile is of the last day.
    """
    if not report.days:
        return {}
    days = (report.from_us, report.to_us)
    span = (
        report.days[0]
        if len(report.days) == 1
        else f"{report.days[0]} to {report.days[-1]}, {len(report.days)} days"
    )
    headline = daily.read(Lakehouse(settings), DAILY, *days, symbols)
    last_us = int(headline["event_time"].dt.epoch("us").max())  # type: ignore[arg-type]
    profile = daily.read(Lakehouse(settings), DAILY_PROFILE, last_us, last_us + DAY_US, symbols)
    return {
        "volatility_curve.png": plots.volatility_curve(
            daily.read(Lakehouse(settings), DAILY_VOLATILITY, *days, symbols),
            f"volatility over the day, {span}",
        ),
        "volume_profile.png": plots.volume_profile(profile, f"volume by price, {iso(last_us)}"),
        "correlation.png": plots.correlation_map(
            daily.read(Lakehouse(settings), DAILY_CORRELATION, *days, symbols),
            f"correlation, {span}",
        ),
    }


def publish(
    settings: Settings,
    report: Report,
    at_us: int,
    symbols: Sequence[str] | None = None,
    out: Path | None = None,
) -> str:
    """Log the report and its pictures to MLflow, write the pictures to the folder `out` too;
    returns the run id.
    """
    track = mlflow_run.start(
        settings.model_copy(update={"experiment": EXPERIMENT}), "daily-statistics", at_us
    )
    with track.ending():
        counts = {
            "days": len(report.days),
            "holes": len(report.holes),
            "unfinished": len(report.unfinished),
        }
        track.metrics(
            {**counts, **{f"rows.{table}": float(number) for table, number in report.rows.items()}}
        )
        track.tags(
            {
                "from": iso(report.from_us),
                "to": iso(report.to_us),
                "symbols": ",".join(symbols) if symbols else "all",
            }
        )
        track.document(
            {
                "days": report.days,
                "holes": report.holes,
                "unfinished": report.unfinished,
                "missing": report.missing,
            },
            "days.json",
        )
        for name, figure in draw(settings, report, symbols).items():
            track.picture(figure, name)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                figure.savefig(out / name)
    return track.run_id
