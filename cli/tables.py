"""Tables and counts, as every command prints them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

NONE = "–"


def build_table(columns: Sequence[str], rows: Iterable[Sequence[str]], **options: Any) -> Table:
    """A table with these titles and rows; `options` are those of rich's Table."""
    table = Table(*columns, **options)
    for cells in rows:
        table.add_row(*cells)
    return table


def build_list(lines: Mapping[str, str], **options: Any) -> Table:
    """A line per label and its value."""
    return build_table(("", ""), lines.items(), show_header=False, **options)


def format_optional(value: float | None, template: str) -> str:
    """A number by a template of `str.format`; a dash for None."""
    return NONE if value is None else template.format(value)


def list_counts(counts: Mapping[str, int]) -> str:
    """Counts by name as text, the largest first."""
    return ", ".join(f"{name} {count:,}" for name, count in Counter(counts).most_common())
