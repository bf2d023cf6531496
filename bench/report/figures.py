"""Results of a measurement: figures with unit, aim and note."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `at_least` or `at_most` is its aim, if any; `note` adds how it was measured."""

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def aim(self) -> str:
        """The aim as text; empty if there is none."""
        if self.at_least is not None:
            return f"≥ {format_number(self.at_least)}"
        return "" if self.at_most is None else f"≤ {format_number(self.at_most)}"

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None if there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(frozen=True, slots=True)
class Result:
    """One bench: its figures or its failure, wall time, and the load average before and after."""

    bench: str
    figures: list[Figure] = field(default_factory=list)
    failure: str = ""
    elapsed_s: float = 0.0
    load_before: float = 0.0
    load_after: float = 0.0


def format_number(value: float) -> str:
    """Three significant digits, more only for large numbers: 1,234,567 · 123 · 12.3 · 0.123."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values are; same as in `online.writer_stats`."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
