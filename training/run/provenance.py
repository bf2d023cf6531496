"""Where training data came from, as runs and answers say it: a planted signal is named wherever its
numbers are shown.
"""

from datetime import UTC, datetime

SYNTHETIC_VENUE = "SYNTH"
PLANTED = "planted signal: no impact, no capacity; such Sharpes do not exist in a market"


def planted(symbols: list[str]) -> bool:
    """Whether all of VENUE:SYMBOL come from the synthetic exchange."""
    return all(symbol.startswith(f"{SYNTHETIC_VENUE}:") for symbol in symbols)


def source(symbols: list[str]) -> str:
    """What a model was trained on, as its answers say it: `synthetic`, or the venues."""
    return (
        "synthetic"
        if planted(symbols)
        else ",".join(sorted({symbol.partition(":")[0] for symbol in symbols}))
    )


def warning(symbols: list[str]) -> str:
    """What the title of a picture must add."""
    return " (planted signal: not a market)" if planted(symbols) else ""


def iso(time_us: int) -> str:
    """µs UTC as ISO 8601."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
