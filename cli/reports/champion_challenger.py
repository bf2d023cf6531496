"""Champion against challenger for people: a table, a picture of both curves, all numbers as
JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from training.monitoring.champion_challenger import VersionComparison

LINES = (
    ("version", "v{0.version}"),
    ("rmse, bps", "{0.rmse_bps:.3f}"),
    ("rank IC", "{0.ic:+.4f}"),
    ("right signs", "{0.hits:.1%}"),
    ("net a trade, bps", "{0.net_bps:+.3f}"),
    ("trades", "{0.trades:,}"),
)


def show(console: "Console", duel: "VersionComparison") -> None:
    """Both sides, and whether the difference is more than chance."""
    table = Table("", "champion", "challenger", box=None)
    sides = (duel.champion, duel.challenger)
    for name, text in LINES:
        table.add_row(name, *(text.format(side) for side in sides))
    console.print(table)
    interval = f"{duel.low_bps:+.3f} to {duel.high_bps:+.3f}"
    told = (
        f"the challenger earns {duel.gain_bps:+.3f} bps a moment more ({interval} at 95 %, p ="
        f" {duel.p_value:.3g})"
    )
    console.print(f"{duel.moments:,} moments that both answered")
    console.print(f"{told}: [bold]{duel.verdict}[/]")


def write(folder: Path, duel: "VersionComparison") -> None:
    """duel.png and duel.json."""
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
        title=f"net return of both on the same {duel.moments:,} moments: {duel.verdict}",
        ylabel="sum, bps",
        xlabel="UTC",
    )
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(folder / "duel.png", dpi=110)
