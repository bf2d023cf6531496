"""Compares the rows of the live job with those of its shadow, by the rules of the parity meter.

Rows are paired as they arrive, and pairs that are equal are dropped. Pairs that differ are kept
until silver has the ticks of the stretch, which may explain a difference.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from contracts.features import Column, columns
from contracts.windows import LEVELS, Level
from feature_store.parity import reference_check
from feature_store.parity.causes import NOTHING_LATE
from feature_store.parity.column_diff import ColumnDiffs, compare, pair
from feature_store.parity.explain import explain_differences, late_rows
from feature_store.parity.report import Rows
from lakehouse.tables import Lakehouse
from streaming.upgrade.feature_rows import Row

Key = tuple[str, str, int]  # view, symbol, row end (ms)
LIVE, SHADOW = "live", "shadow"
NEVER_US = 2**62
SLICE_PAIRS = 20_000
SAMPLE_ROWS = 10  # per view, compared with the reference implementation
KEPT_FRAMES_MAX = 4  # frames with differences; further ones are judged without a search for causes


@dataclass
class Result:
    """What was compared in event time (from, to] µs. Expected: live; got: shadow.

    `diffs` are of columns that both jobs have; `changed` of those whose meaning changes on purpose.
    `added` counts the values of columns that only the shadow has, and `reference` compares a sample
    of the added and the changed ones with the reference implementation.
    """

    from_us: int
    to_us: int
    rows: dict[str, Rows] = field(default_factory=lambda: {lv.view: Rows(lv.view) for lv in LEVELS})
    diffs: ColumnDiffs = field(default_factory=ColumnDiffs)
    changed: ColumnDiffs = field(default_factory=ColumnDiffs)
    added: Counter[str] = field(default_factory=Counter)
    removed: set[str] = field(default_factory=set)
    reference: ColumnDiffs = field(default_factory=ColumnDiffs)
    sampled: int = 0

    @property
    def compared(self) -> int:
        """Rows that both jobs have published."""
        return sum(rows.compared for rows in self.rows.values())

    @property
    def unexplained(self) -> int:
        """Rows of one job alone, and values that differ, without a cause."""
        rows = sum(rows.unexplained for rows in self.rows.values())
        return rows + self.diffs.unexplained + self.reference.unexplained

    @property
    def passed(self) -> bool:
        """Whether rows were compared, and no difference is unexplained."""
        return self.compared > 0 and self.unexplained == 0


class Comparison:
    """Pairs the rows that both jobs publish; `result` counts them.

    `changed` are the names of columns that may differ. Until `begin`, rows are only collected.
    """

    def __init__(self, lake: Lakehouse, changed: frozenset[str], stretch_us: int) -> None:
        self._lake, self._changed, self._stretch_us = lake, changed, stretch_us
        self.result = Result(0, NEVER_US)
        self._waiting: dict[str, dict[Key, Row]] = {LIVE: {}, SHADOW: {}}
        self._paired: set[Key] = set()
        self._pairs: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
        self._kept: list[tuple[Level, pl.DataFrame, list[Column]]] = []
        self._sample: dict[str, list[Row]] = defaultdict(list)
        self._new: dict[str, list[Column]] = {}

    def begin(self, us: int) -> None:
        """Compare the stretch that begins at this event time."""
        self.ignore_until(us)
        self.result.to_us = us + self._stretch_us

    def ignore_until(self, us: int) -> None:
        """Ignore rows that end until this event time, also those that have arrived."""
        self.result.from_us = us
        for side, waiting in self._waiting.items():
            self._waiting[side] = {k: row for k, row in waiting.items() if k[2] * 1000 > us}
        for view, pairs in self._pairs.items():
            self._pairs[view] = [p for p in pairs if p[0]["event_time_ms"] * 1000 > us]

    @property
    def waiting(self) -> int:
        """Rows of the stretch that the other job has not published yet."""
        return sum(self._is_inside(key) for rows in self._waiting.values() for key in rows)

    def _is_inside(self, key: Key) -> bool:
        return key[2] * 1000 <= self.result.to_us

    def add(self, side: str, rows: Sequence[Row]) -> None:
        """Take in rows of one side; a row that was published again counts as repeated."""
        other = self._waiting[SHADOW if side == LIVE else LIVE]
        for row in rows:
            key = row["view"], row["symbol"], row["event_time_ms"]
            if not self.result.from_us < key[2] * 1000 <= self.result.to_us:
                continue
            if key in self._paired or key in self._waiting[side]:
                self.result.rows[key[0]].repeated += 1
            elif (match := other.pop(key, None)) is not None:
                self._paired.add(key)
                self._pairs[key[0]].append((row, match) if side == LIVE else (match, row))
            else:
                self._waiting[side][key] = row
        if sum(map(len, self._pairs.values())) >= SLICE_PAIRS:
            self._compare_pairs()

    def finish(self) -> Result:
        """Compare what is left, and explain differences by the ticks in silver."""
        self._compare_pairs()
        for level, pairs, shared in self._kept:
            self._count(explain_differences(self._lake, level, pairs, shared))
        for level in LEVELS:
            self._count_lonely(level)
        self._check_sample()
        return self.result

    def _compare_pairs(self) -> None:
        for level in LEVELS:
            if pairs := self._pairs.pop(level.view, []):
                self._compare_view(level, pairs)

    def _compare_view(self, level: Level, pairs: list[tuple[Row, Row]]) -> None:
        live, shadow = ([p[side] for p in pairs] for side in (0, 1))
        names = live[0].keys()
        shared = [column for column in columns(level) if column.name in names]
        new = [column for column in columns(level) if column.name not in names]
        self._note_columns(level, live[0], shadow, new)
        self.result.rows[level.view].compared += len(pairs)
        frame = pair(_frame(live, shared), _frame(shadow, shared))
        diffs = compare(frame, shared, NOTHING_LATE)
        differ = any(diff.unexplained and diff.name not in self._changed for diff in diffs)
        if differ and len(self._kept) < KEPT_FRAMES_MAX:
            self._kept.append((level, frame, shared))
        else:
            self._count(diffs)

    def _note_columns(self, level: Level, live: Row, shadow: list[Row], new: list[Column]) -> None:
        """Count the values of added columns, and keep some rows for the reference."""
        known = shadow[0].keys()
        self.result.removed |= {name for name in live if name not in known}
        for column in new:
            self.result.added[column.name] += sum(row[column.name] is not None for row in shadow)
        changed = [column for column in columns(level) if column.name in self._changed]
        self._new[level.view] = list(dict.fromkeys([*new, *changed]))
        if self._new[level.view]:
            self._sample[level.view] += shadow[-SAMPLE_ROWS:]

    def _count(self, diffs: Sequence[Any]) -> None:
        self.result.changed.add([diff for diff in diffs if diff.name in self._changed])
        self.result.diffs.add([diff for diff in diffs if diff.name not in self._changed])

    def _count_lonely(self, level: Level) -> None:
        """Rows of one side: one that the live job dropped because its ticks were late is
        explained.
        """
        rows = self.result.rows[level.view]
        missing, extra = (self._lonely(side, level) for side in (LIVE, SHADOW))
        late = late_rows(self._lake, level, extra)
        rows.live, rows.batch = rows.compared + len(missing), rows.compared + len(extra)
        rows.late += int(late.sum())
        rows.missing += len(missing)
        rows.extra += len(extra) - int(late.sum())

    def _lonely(self, side: str, level: Level) -> pl.DataFrame:
        keys = [key[1:] for key in self._waiting[side] if key[0] == level.view]
        schema = {"symbol": pl.String(), "ms": pl.Int64()}
        frame = pl.DataFrame(keys, schema=schema, orient="row")
        return frame.select("symbol", event_time_us=pl.col("ms") * 1000).sort("event_time_us")

    def _check_sample(self) -> None:
        """Compare the last rows of added and changed columns with the reference implementation."""
        for level in LEVELS:
            got, checked = self._sample[level.view][-SAMPLE_ROWS:], self._new.get(level.view)
            if not got or not checked:
                continue
            frame = _frame(got, checked)
            expected = reference_check.evaluate(self._lake, {level.view: frame})[level.view]
            pairs = pair(expected, frame)
            self.result.sampled += len(pairs)
            self.result.reference.add(explain_differences(self._lake, level, pairs, checked))


def _frame(rows: Sequence[Row], shared: Sequence[Column]) -> pl.DataFrame:
    """symbol, event_time_us, warm_s and these columns of some rows."""
    data = {
        "symbol": [row["symbol"] for row in rows],
        "event_time_us": [row["event_time_ms"] * 1000 for row in rows],
        "warm_s": [row["warm_s"] for row in rows],
    } | {column.name: [row[column.name] for row in rows] for column in shared}
    schema = {"symbol": pl.String(), "event_time_us": pl.Int64(), "warm_s": pl.Int64()}
    return pl.DataFrame(data, schema | dict.fromkeys([c.name for c in shared], pl.Float64()))
