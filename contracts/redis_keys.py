"""Every Redis key that is not Feast's, whose keys `feature_store.online.redis_layout` encodes.

The signals tell other processes of a change. They are best effort: every reader also polls the
source.
"""

HEARTBEAT_REDIS_KEY = "tick:heartbeat_ms"  # newest event time of the whole pipeline
STATS_REDIS_KEY = "tick:writer_stats"  # counters of the online writer, a hash
FRESHNESS_REDIS_KEY = "tick:freshness"  # ages of the rows it wrote last, in ms, a list

# Signals.
RETIRED = "none"  # in place of a version: Production was retired
PARITY_KEY = "tick:parity"  # totals of the last `tick parity`, JSON
DRIFT_KEY = "tick:drift"  # findings of the last `tick drift`, JSON
DUEL_KEY = "tick:duel"  # numbers of the last `tick model compare` (Production, challenger), JSON


def model_key(name: str) -> str:
    """The key of a model's newest Production change; its value is `<version or none>@<µs UTC>`."""
    return f"tick:model:{name}"
