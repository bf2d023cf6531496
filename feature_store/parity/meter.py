"""The parity meter: live against backfilled features, a reference sample, and served features.

1. Find where each side has rows at all.
2. Per slice and view: pair, compare, explain.
3. Compare the records served in that slice.
4. Compare a sample with the reference implementation.
5. Save the totals to a small file for monitoring.
"""

from collections.abc import Iterator, Sequence

import orjson
import polars as pl

from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import Settings
from contracts.durations import HOUR_US
from contracts.errors import DatasetError
from contracts.features import columns
from contracts.files import replace_atomically
from contracts.progress import Progress, silent
from contracts.redis_keys import PARITY_KEY
from contracts.windows import LEVELS, Level
from feature_store.backfill.chunks import Chunk
from feature_store.online import signals
from feature_store.parity import reference_check, served, stored_rows
from feature_store.parity.added_columns import AddedColumnsTracker
from feature_store.parity.column_diff import KEYS, pair
from feature_store.parity.coverage import NO_LIVE_JOB, NOT_BACKFILLED, CoverageGaps
from feature_store.parity.explain import explain_differences, late_rows
from feature_store.parity.report import Example, ParityReport, Rows
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse

FILE = "parity.json"
# What to do when a side has no row in the range.
HINTS = {
    GOLD_LIVE: "was the live job running? `tick job status`",
    GOLD: "compute it with `tick backfill`",
}


def measure(
    settings: Settings,
    from_us: int,
    to_us: int,
    taken_us: int,
    symbols: Sequence[str] | None = None,
    sample: int = 0,
    progress: Progress = silent,
) -> ParityReport:
    """Compare all rows with their end in [from, to) µs.

    `sample` rows per view are compared with the reference implementation (0: none). `taken_us` is
    now. Raises DatasetError for an impossible range, an unknown symbol, or a side without any row.
    """
    if from_us >= to_us:
        raise DatasetError(
            "the range is empty: --from is not before --to", "pass the earlier time as --from"
        )
    lake = Lakehouse(settings)
    lake.create()
    comparison = _Comparison(lake, ParityReport(from_us, to_us, taken_us), symbols)
    parts = [Chunk(first, last) for first, last in stored_rows.slices(lake, from_us, to_us)]
    for part in _with_progress(parts, "finding rows", progress):
        comparison.scan(part)
    comparison.finish_scan()
    for part in _with_progress(parts, "comparing", progress):
        comparison.compare(part)
    progress("comparing", len(parts), len(parts))
    if sample:
        comparison.check_sample(sample, settings.seed)
    return comparison.report


def _with_progress(parts: Sequence[Chunk], step: str, progress: Progress) -> Iterator[Chunk]:
    for done, part in enumerate(parts):
        progress(step, done, len(parts))
        yield part


def save(settings: RedisSettings, report: ParityReport) -> None:
    """Save the totals to TICK_HOME/parity.json, replaced atomically, and publish them."""
    file, totals = settings.root / FILE, report.totals()
    with replace_atomically(file) as partial:
        partial.write_bytes(orjson.dumps(totals, option=orjson.OPT_INDENT_2))
    signals.publish(settings, PARITY_KEY, orjson.dumps(totals))


class _Comparison:
    """The state of one run: the coverage of each side, and the report so far."""

    def __init__(
        self, lake: Lakehouse, report: ParityReport, symbols: Sequence[str] | None
    ) -> None:
        self.lake, self.report, self.symbols = lake, report, symbols
        self.no_live_job = CoverageGaps(NO_LIVE_JOB, report.from_us)
        self.not_backfilled = CoverageGaps(NOT_BACKFILLED, report.from_us)
        self.hours: set[int] = set()
        self._added_columns = AddedColumnsTracker(lake)
        self._seen: dict[str, set[str]] = {GOLD: set(), GOLD_LIVE: set()}
        report.rows = {level.view: Rows(level.view) for level in LEVELS}

    def scan(self, part: Chunk) -> None:
        """Note when and for which symbols each side has rows of the finest view."""
        times = {}
        for table, seen in self._seen.items():
            keys = stored_rows.keys(self.lake, table, LEVELS[0].view, part.from_us, part.to_us)
            seen |= set(keys["symbol"].unique())
            times[table] = keys.select("event_time_us").unique()
        self.hours |= set((times[GOLD]["event_time_us"] // HOUR_US).unique())
        every = pl.concat(times.values()).unique().sort("event_time_us")
        for side, table in ((self.no_live_job, GOLD_LIVE), (self.not_backfilled, GOLD)):
            side.take(
                every.with_columns(
                    present=pl.col("event_time_us").is_in(times[table]["event_time_us"].implode())
                )
            )

    def finish_scan(self) -> None:
        """Close the coverage gaps. Raises DatasetError for an empty side or an unknown symbol."""
        for table, hint in HINTS.items():
            if not self._seen[table]:
                raise DatasetError(f"{table} has no rows in this range", hint)
        live, batch = self._seen[GOLD_LIVE], self._seen[GOLD]
        selected = self._select_symbols(live | batch)
        self.report.never_backfilled = sorted((live - batch) & selected)
        self.report.never_live = sorted((batch - live) & selected)
        no_live_job = self.no_live_job.end(self.report.to_us)
        not_backfilled = self.not_backfilled.end(self.report.to_us)
        self.report.coverage_gaps = no_live_job.gaps + not_backfilled.gaps

    def _select_symbols(self, available: set[str]) -> set[str]:
        """The symbols to compare. Raises DatasetError when one has no row on either side."""
        if self.symbols is None:
            return available
        if unknown := set(self.symbols) - available:
            hint = f"--symbols can be: {', '.join(sorted(available)[:10])}"
            raise DatasetError(f"no row of {', '.join(sorted(unknown))} in this range", hint)
        return set(self.symbols)

    def compare(self, part: Chunk) -> None:
        """Compare one slice of every view, and the records served in it."""
        for level in LEVELS:
            self._compare_view(level, part)
        served.compare_served(
            self.lake,
            self.report.served,
            part,
            Chunk(self.report.from_us, self.report.to_us),
            self.symbols,
            self.not_backfilled,
        )

    def check_sample(self, rows: int, seed: int) -> None:
        """Compare about `rows` rows of each view with the reference implementation."""
        span = Chunk(self.report.from_us, self.report.to_us)
        self.report.reference = reference_check.check_sample(
            self.lake, span, self.hours, rows, seed, self.symbols
        )

    def _compare_view(self, level: Level, part: Chunk) -> None:
        rows = self.report.rows[level.view]
        batch = self.lake.read_features(level.view, part.from_us, part.to_us, self.symbols)
        live, repeated = stored_rows.live_rows(
            self.lake, level.view, part.from_us, part.to_us, self.symbols
        )
        doubled = len(batch) - batch.select(pl.struct(KEYS).n_unique()).item()
        rows.live += len(live) + repeated
        rows.batch += len(batch)
        rows.repeated += repeated
        rows.doubled += doubled
        pairs = pair(batch, live)
        rows.compared += len(pairs)
        if len(pairs):
            added = self._added_columns.update(columns(level), live, batch)
            self.report.diffs.add(
                explain_differences(self.lake, level, pairs, columns(level), self.symbols, added)
            )
        if len(pairs) < len(batch):
            self._missing(level, batch.select(KEYS).join(live, on=KEYS, how="anti"))
        if len(pairs) < len(live):
            self._extra(level, live.select(KEYS).join(batch, on=KEYS, how="anti"))

    def _missing(self, level: Level, absent: pl.DataFrame) -> None:
        rows = self.report.rows[level.view]
        never_live = absent["symbol"].is_in(self.report.never_live)
        without_job = never_live | self.no_live_job.inside(absent["event_time_us"])
        open_rows = absent.filter(~without_job)
        late = late_rows(self.lake, level, open_rows, self.symbols)
        rows.no_live_job += int(without_job.sum())
        rows.late += int(late.sum())
        rows.missing += self._add_examples("missing", level, open_rows.filter(~late))

    def _extra(self, level: Level, absent: pl.DataFrame) -> None:
        rows = self.report.rows[level.view]
        never_backfilled = absent["symbol"].is_in(self.report.never_backfilled)
        open_rows = absent.filter(~never_backfilled)
        in_gap = self.not_backfilled.inside(open_rows["event_time_us"])
        rows.not_backfilled += int(never_backfilled.sum()) + int(in_gap.sum())
        rows.extra += self._add_examples("extra", level, open_rows.filter(~in_gap))

    def _add_examples(self, what: str, level: Level, rows: pl.DataFrame) -> int:
        """Add the first rows to the report; returns how many rows there are."""
        for symbol, time_us in rows.sort("event_time_us").head(5).iter_rows():
            self.report.add_example(Example(what, level.view, symbol, time_us))
        return len(rows)
