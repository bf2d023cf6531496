"""Redis keys that signal a change to other processes.

Signals are best effort: every reader of them also polls the source.
"""

RETIRED = "none"  # in place of a version: Production was retired
PARITY_KEY = "tick:parity"  # totals of the last `tick parity`, JSON
DRIFT_KEY = "tick:drift"  # findings of the last `tick drift`, JSON
DUEL_KEY = "tick:duel"  # numbers of the last `tick model compare` (Production, challenger), JSON


def model_key(name: str) -> str:
    """The key of a model's newest Production change; its value is `<version or none>@<µs UTC>`."""
    return f"tick:model:{name}"
