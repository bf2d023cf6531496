"""Predictions of the API as a table."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_predictions(console: "Console", results: list[dict[str, Any]]) -> None:
    """Print a row per symbol: the forecast, or the reason why there is none; then the features."""
    from rich.table import Table

    table = Table("symbol", "forecast (bps)", "horizon", "model", "age", "remark", box=None)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)
    for result in results:
        for name, value in result.get("features", {}).items():
            console.print(f"  {result['symbol']}  {name} = {value}", highlight=False, markup=False)


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    age = f"{result['age_s']:.1f} s" if "age_s" in result else "–"
    if result["status"] != "ok":
        return result["symbol"], "–", "–", "–", age, f"{result['status']}: {result['reason']}"
    remarks = ["stale"] if result.get("stale") else []
    remarks += [result["note"]] if "note" in result else []
    return (
        result["symbol"],
        f"{result['prediction_bps']:+.3f}",
        f"{result['horizon_s']} s",
        f"{result['model_name']} v{result['model_version']}",
        age,
        "; ".join(remarks),
    )
