"""Keys in Redis by which one part tells the others that something changed; who misses a notice
finds out by asking, later.
"""

RETIRED = "none"
PARITY_KEY = "tick:parity"  # totals of the last `tick parity`, JSON
DRIFT_KEY = "tick:drift"  # findings of the last `tick drift`, JSON
DUEL_KEY = (
    "tick:duel"  # numbers of the last `tick model compare` of Production and challenger, JSON
)


def model_key(name: str) -> str:
    """Where the newest change of Production of a registered model stands, as `<version or none>@<µs
    UTC>`.
    """
    return f"tick:model:{name}"
