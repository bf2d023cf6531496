"""What a measurement yields: figures with their unit, the aim they are held against, and what stood
beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.errors import TickError


class BenchError(TickError):
    """A measurement did not come to its end: something never arrived, or a process died under
    it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `at_least` or `at_most` is the aim, if there is one; `note` says how it was found
    and what stood beside it.
    """

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def aim(self) -> str:
        """The aim as text; empty without one."""
        if self.at_least is not None:
            return f"≥ {readable(self.at_least)}"
        return "" if self.at_most is None else f"≤ {readable(self.at_most)}"

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(frozen=True, slots=True)
class Result:
    """One bench: its figures, or why there are none; wall time and the load average (1 min) around
    it.
    """

    bench: str
    figures: list[Figure] = field(default_factory=list)
    failure: str = ""
    elapsed_s: float = 0.0
    load_before: float = 0.0
    load_after: float = 0.0


def readable(value: float) -> str:
    """Three digits that matter: 1,234,567 · 123 · 12.3 · 0.123."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, as `feature_store.online.writer_stats` counts
    it."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
