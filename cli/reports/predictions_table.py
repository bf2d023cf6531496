"""Predictions of the API as a table."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cli.tables import NONE, build_table, format_optional

if TYPE_CHECKING:
    from rich.console import Console


def print_predictions(console: "Console", results: list[dict[str, Any]]) -> None:
    """Print a row per symbol: the forecast, or the reason why there is none; then the features."""
    columns = ("symbol", "forecast (bps)", "horizon", "model", "age", "remark")
    console.print(build_table(columns, map(_cells, results), box=None))
    for result in results:
        for name, value in result.get("features", {}).items():
            console.print(f"  {result['symbol']}  {name} = {value}", highlight=False, markup=False)


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    symbol = escape(result["symbol"])
    age = format_optional(result.get("age_s"), "{:.1f} s")
    if result["status"] != "ok":
        reason = escape(f"{result['status']}: {result['reason']}")
        return symbol, NONE, NONE, NONE, age, reason
    remarks = ("stale" if result.get("stale") else None, result.get("note"))
    return (
        symbol,
        f"{result['prediction_bps']:+.3f}",
        f"{result['horizon_s']} s",
        f"{result['model_name']} v{result['model_version']}",
        age,
        escape("; ".join(filter(None, remarks))),
    )
