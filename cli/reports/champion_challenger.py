"""Comparison of champion and challenger: a table, a plot of both curves, all numbers as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.tables import build_table

if TYPE_CHECKING:
    from rich.console import Console

    from training.monitoring.champion_challenger import VersionComparison


ROWS = (
    ("version", "v{0.version}"),
    ("rmse, bps", "{0.rmse_bps:.3f}"),
    ("rank IC", "{0.ic:+.4f}"),
    ("right signs", "{0.hits:.1%}"),
    ("net per trade, bps", "{0.net_bps:+.3f}"),
    ("trades", "{0.trades:,}"),
)


def print_comparison(console: "Console", duel: "VersionComparison") -> None:
    """Print both models, and whether their difference is significant."""
    rows = (
        (name, template.format(duel.champion), template.format(duel.challenger))
        for name, template in ROWS
    )
    console.print(build_table(("", "champion", "challenger"), rows, box=None))
    interval = f"{duel.low_bps:+.3f} to {duel.high_bps:+.3f}"
    console.print(f"{duel.moments:,} rows with a prediction of both")
    console.print(
        f"challenger minus champion: {duel.gain_bps:+.3f} bps per row ({interval} at 95 %, p ="
        f" {duel.p_value:.3g}): [bold]{duel.verdict}[/]"
    )


def write_comparison(folder: Path, duel: "VersionComparison") -> None:
    """Write duel.png and duel.json."""
    import orjson
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "duel.json").write_bytes(orjson.dumps(duel.as_dict(), option=orjson.OPT_INDENT_2))
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for side, curve in zip((duel.champion, duel.challenger), duel.curves_bps, strict=True):
        axes.plot(
            duel.curve_us.astype("datetime64[us]"),
            curve,
            label=f"version {side.version}",
            linewidth=1,
        )
    axes.set(
        title=f"net return of both on the same {duel.moments:,} rows: {duel.verdict}",
        ylabel="sum, bps",
        xlabel="UTC",
    )
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(folder / "duel.png", dpi=110)
