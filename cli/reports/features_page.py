"""Generates docs/features.md from the feature definitions; `tick features page` prints it, and a
test compares it with the file.
"""

import inspect
from collections.abc import Iterable, Sequence

from contracts.features import (
    AGGREGATES,
    CONTEXT,
    CORE,
    FEATURES,
    OVERFLOWS,
    Aggregate,
    Feature,
    columns,
)
from contracts.windows import LABELS, LEVELS, WARM_CAP_S, Level
from feature_store.sql.windows import SESSION_YEAR_S, YEAR_S

OVERFLOW_NAMES = ", ".join(f"`{name}`" for name in OVERFLOWS.values())
HEAD = f"""\
# Features

Written by `tick features page > docs/features.md` from `contracts/features.py`, which is the only
place where a feature is defined.

A column is called `<feature>_<window>`, for example `flow_imbalance_5m`. It is a formula over the
aggregates of its window, evaluated in double precision when a row ends; the sums inside it are
exact. Time is event time, windows are ranges of time (not numbers of rows), and a row appears only
for a tile or bar that holds at least one trade.

**NULL.** Every windowed feature is NULL until the symbol has history as long as its window
(`warm_s` of the row; capped at {WARM_CAP_S} s), where its own rule says so, and while its window
holds a summand too large for a sum of 64 bits: a wrapped number is never published.
{OVERFLOW_NAMES} count these summands in the longest window of
each view; `tick_writer_overflowed_rows_total` in `/metrics` counts the live rows that have any. A
feature is never NaN or infinite. `/predict` refuses a symbol with a NULL model feature and names
it; training drops such a row.

**Agreement.** The stream, the batch and the reference evaluation of the tests agree within
1e-9 · max(|x|, scale), counts exactly.
"""
VIEWS = (
    "## Views\n\nEach view is a level of the ladder: 1 s tiles, merged into 10 s bars, merged into"
    " 1 min bars.\n"
)
DEFINED = f"""\
## Features

The names in a formula are the aggregates below; `w` is the window in seconds, `year_s` is
{YEAR_S:,}, for CME {SESSION_YEAR_S:,} (252 sessions of 23 h). **●** marks the windows that
feed the model.
"""
PARTS = f"## Aggregates\n\n{inspect.cleandoc(Aggregate.__doc__ or '')}\n"
CONTEXT_TEXT = f"""\
## Context

{" and ".join(f"`{name}`" for name in CONTEXT)}: sine and cosine of the row's time within the UTC
day, on view `{LEVELS[0].view}`; never NULL, and both feed the model. The age of a row (`age_s` in
an answer) is computed when it is read.
"""


def features_page() -> str:
    """The whole page as Markdown."""
    sections = (
        HEAD,
        VIEWS,
        _views(),
        DEFINED,
        _features(),
        PARTS,
        _aggregates(),
        CONTEXT_TEXT,
        _core(),
    )
    return "\n".join(sections)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )


def _code(text: str) -> str:
    return f"`{text.replace('{', '').replace('}', '')}`" if text else "–"


def _views() -> str:
    def row(level: Level) -> tuple[str, ...]:
        windows = ", ".join(LABELS[w] for w in level.windows_s)
        return f"`{level.view}`", f"{level.tile_s} s", windows, str(len(columns(level)))

    return _table(("view", "a row every", "windows", "columns"), map(row, LEVELS))


def _features() -> str:
    def row(feature: Feature) -> tuple[str, ...]:
        windows = " ".join(
            f"{LABELS[w]}●" if w in feature.core else LABELS[w] for w in feature.windows_s
        )
        null = _code(feature.null_if)
        return (
            f"`{feature.name}`",
            _code(feature.formula),
            feature.unit,
            null,
            windows,
            f"{feature.scale:g}",
            feature.source or "–",
        )

    return _table(
        ("feature", "formula", "unit", "NULL where", "windows", "scale", "source"),
        map(row, FEATURES),
    )


def _aggregates() -> str:
    def row(part: Aggregate) -> tuple[str, ...]:
        return (
            f"`{part.name}`",
            part.verb,
            _code(part.of),
            "–" if part.step is None else f"{part.step:g}",
        )

    return _table(("aggregate", "verb", "of", "step"), map(row, AGGREGATES))


def _core() -> str:
    return (
        f"## The model's features\n\n{len(CORE)} columns, in this order:"
        f" {', '.join(f'`{name}`' for name in CORE)}.\n"
    )
