"""Origin of training data, as shown in MLflow tags, plots and answers of the API.

Results on synthetic data are labelled wherever their numbers appear: the planted signal yields
Sharpe ratios that no real market offers.
"""

from datetime import UTC, datetime

SYNTHETIC_VENUE = "SYNTH"
PLANTED = "planted signal: no impact, no capacity; such Sharpes do not exist in a market"


def all_synthetic(symbols: list[str]) -> bool:
    """Whether all VENUE:SYMBOL come from the synthetic exchange."""
    return all(symbol.startswith(f"{SYNTHETIC_VENUE}:") for symbol in symbols)


def data_source(symbols: list[str]) -> str:
    """`synthetic`, or the sorted venues separated by commas."""
    if all_synthetic(symbols):
        return "synthetic"
    return ",".join(sorted({symbol.partition(":")[0] for symbol in symbols}))


def title_suffix(symbols: list[str]) -> str:
    """Label to append to the title of a plot; empty for market data."""
    return " (planted signal: not a market)" if all_synthetic(symbols) else ""


def iso(time_us: int) -> str:
    """Format a time (µs UTC) as ISO 8601."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
