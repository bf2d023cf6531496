"""Our own Redis keys. Feast's keys are encoded by `feature_store.online.redis_layout`.

`model_key` signals a change of Production. It is best effort: its reader also polls the registry.
"""

HEARTBEAT_KEY = "tick:heartbeat_ms"  # newest event time of the whole pipeline
STATS_KEY = "tick:writer_stats"  # counters of the online writer, a hash
FRESHNESS_KEY = "tick:freshness"  # ms from the end of a row to Redis, of the rows that the
# writer wrote last, a list

# Results of the last command, for /metrics and the live page.
PARITY_KEY = "tick:parity"  # totals of the last `tick parity`, JSON
DRIFT_KEY = "tick:drift"  # results of the last `tick drift`, JSON
COMPARISON_KEY = "tick:duel"  # numbers of the last `tick model compare`, JSON

RETIRED = "none"  # in place of a version in `model_key`: Production was retired


def model_key(name: str) -> str:
    """The key that signals a change of a model's Production version or challenger.

    Its value is `<Production version or none>@<µs UTC of the change>`.
    """
    return f"tick:model:{name}"
