"""Comparison of Production and challenger: a table, a plot of both curves, all numbers as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.tables import build_table

if TYPE_CHECKING:
    from rich.console import Console

    from training.monitoring.champion_challenger import VersionComparison


ROWS = (
    ("version", "v{0.version}"),
    ("rmse, bps", "{0.rmse_bps:.3f}"),
    ("rank IC", "{0.rank_ic:+.4f}"),
    ("right signs", "{0.hits:.1%}"),
    ("net per trade, bps", "{0.net_bps:+.3f}"),
    ("trades", "{0.trades:,}"),
)


def print_comparison(console: "Console", comparison: "VersionComparison") -> None:
    """Print both models, and whether their difference is significant."""
    rows = (
        (name, template.format(comparison.production), template.format(comparison.challenger))
        for name, template in ROWS
    )
    console.print(build_table(("", "Production", "challenger"), rows, box=None))
    interval = f"{comparison.low_bps:+.3f} to {comparison.high_bps:+.3f}"
    console.print(f"{comparison.moments:,} rows with a prediction of both")
    console.print(
        f"challenger minus Production: {comparison.gain_bps:+.3f} bps per row ({interval} at 95 %,"
        f" p = {comparison.p_value:.3g}): [bold]{comparison.verdict}[/]"
    )


def write_comparison(folder: Path, comparison: "VersionComparison") -> None:
    """Write comparison.png and comparison.json."""
    import orjson
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    content = orjson.dumps(comparison.as_dict(), option=orjson.OPT_INDENT_2)
    (folder / "comparison.json").write_bytes(content)
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scores = (comparison.production, comparison.challenger)
    for score, curve in zip(scores, comparison.curves_bps, strict=True):
        axes.plot(
            comparison.curve_us.astype("datetime64[us]"),
            curve,
            label=f"version {score.version}",
            linewidth=1,
        )
    axes.set(
        title=f"net return of both on the same {comparison.moments:,} rows: {comparison.verdict}",
        ylabel="sum, bps",
        xlabel="UTC",
    )
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(folder / "comparison.png", dpi=110)
