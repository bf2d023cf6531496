"""The meter: live gold against backfilled gold, a sample against the naive oracle, and what was
served, slice by slice.

1. where each side has rows at all  2. slice by slice and view by view: pair, compare, explain  3.
   the records served in that slice
4. a sample against the oracle  5. the totals into a small file that a monitor may read.
"""

from collections.abc import Callable, Sequence

import orjson
import polars as pl

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.features import columns
from contracts.files import replacing
from contracts.notices import PARITY_KEY
from contracts.windows import LEVELS, Level
from feature_store.backfill.chunks import Chunk
from feature_store.online import signals
from feature_store.parity import reference_check, served
from feature_store.parity import rows as stored
from feature_store.parity.added_columns import Youth
from feature_store.parity.column_diff import KEYS, pair
from feature_store.parity.coverage import NO_LIVE_JOB, NOT_BACKFILLED, Absences
from feature_store.parity.explain import explained, late_rows
from feature_store.parity.reference_check import HOUR_US
from feature_store.parity.report import Example, Report, Rows
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE

FILE = "parity.json"
Progress = Callable[[str, int, int], None]


def silent(_step: str, _done: int, _total: int) -> None:
    """No display."""


def measure(
    settings: Settings,
    from_us: int,
    to_us: int,
    taken_us: int,
    symbols: Sequence[str] | None = None,
    sample: int = 0,
    progress: Progress = silent,
) -> Report:
    """Compare all rows with their end in [from, to) µs; `sample` rows per view with the oracle (0:
    none). `taken_us` is now.

    Raises DatasetError for an impossible range, an unknown symbol, and where one of the sides has
    no row at all.
    """
    if from_us >= to_us:
        raise DatasetError(
            "the range is empty: --from is not before --to", "give the older moment first"
        )
    tables.create(settings)
    work = _Work(settings, Report(from_us, to_us, taken_us), symbols)
    parts = [Chunk(first, last) for first, last in stored.slices(settings, from_us, to_us)]
    for done, part in enumerate(parts):
        progress("looking where rows are", done, len(parts))
        work.look(part)
    work.looked()
    for done, part in enumerate(parts):
        progress("comparing", done, len(parts))
        work.compare(part)
    progress("comparing", len(parts), len(parts))
    if sample:
        span = Chunk(from_us, to_us)
        work.report.oracle = reference_check.check(
            settings, span, work.hours, sample, settings.seed, symbols
        )
    work.report.stretches = [stretch for side in (work.down, work.undone) for stretch in side.found]
    return work.report


def save(settings: Settings, report: Report) -> None:
    """Keep the totals in TICK_HOME/parity.json, replaced at once, for whoever shows them."""
    file, totals = settings.root / FILE, report.totals()
    with replacing(file) as partial:
        partial.write_bytes(orjson.dumps(totals, option=orjson.OPT_INDENT_2))
    signals.tell(settings, PARITY_KEY, orjson.dumps(totals))


class _Work:
    """The state of one run: what each side has, and the report as it grows."""

    def __init__(self, settings: Settings, report: Report, symbols: Sequence[str] | None) -> None:
        self.settings, self.report, self.symbols = settings, report, symbols
        self.down, self.undone = (
            Absences(NO_LIVE_JOB, report.from_us),
            Absences(NOT_BACKFILLED, report.from_us),
        )
        self.hours, self._youth = set[int](), Youth(settings)
        self._seen: dict[str, set[str]] = {GOLD: set(), GOLD_LIVE: set()}
        report.rows = {level.view: Rows(level.view) for level in LEVELS}

    def look(self, part: Chunk) -> None:
        """Note when and for whom each side has rows of the finest view, whatever symbols are asked
        for.
        """
        times = {}
        for table, seen in self._seen.items():
            keys = stored.keys(self.settings, table, LEVELS[0].view, part.from_us, part.to_us)
            seen |= set(keys["symbol"].unique())
            times[table] = keys.select("event_time_us").unique()
        self.hours |= set((times[GOLD]["event_time_us"] // HOUR_US).unique())
        every = pl.concat(times.values()).unique().sort("event_time_us")
        for side, table in ((self.down, GOLD_LIVE), (self.undone, GOLD)):
            side.take(
                every.with_columns(
                    present=pl.col("event_time_us").is_in(times[table]["event_time_us"].implode())
                )
            )

    def looked(self) -> None:
        """Raises DatasetError when one side has nothing, or a symbol is unknown."""
        for table, hint in (
            (GOLD_LIVE, "was the live job running? `tick job status`"),
            (GOLD, "compute it with `tick backfill`"),
        ):
            if not self._seen[table]:
                raise DatasetError(f"{table} has no rows in this range", hint)
        known = self._seen[GOLD] | self._seen[GOLD_LIVE]
        if unknown := set(self.symbols or ()) - known:
            hint = f"known: {', '.join(sorted(known)[:10])}"
            raise DatasetError(f"no row of {', '.join(sorted(unknown))} in this range", hint)
        asked = set(self.symbols or known)
        self.report.never_backfilled = sorted((self._seen[GOLD_LIVE] - self._seen[GOLD]) & asked)
        self.report.never_live = sorted((self._seen[GOLD] - self._seen[GOLD_LIVE]) & asked)
        for side in (self.down, self.undone):
            side.end(self.report.to_us)

    def compare(self, part: Chunk) -> None:
        """One slice of every view, and the records served in it."""
        for level in LEVELS:
            self._view(level, part)
        served.check(
            self.settings,
            self.report.served,
            part,
            Chunk(self.report.from_us, self.report.to_us),
            self.symbols,
            self.undone,
        )

    def _view(self, level: Level, part: Chunk) -> None:
        rows = self.report.rows[level.view]
        batch = tables.read_features(
            self.settings, level.view, part.from_us, part.to_us, self.symbols
        )
        live, repeated = stored.live(
            self.settings, level.view, part.from_us, part.to_us, self.symbols
        )
        doubled = len(batch) - batch.select(pl.struct(KEYS).n_unique()).item()
        rows.live, rows.batch = rows.live + len(live) + repeated, rows.batch + len(batch)
        rows.repeated, rows.doubled = rows.repeated + repeated, rows.doubled + doubled
        pairs = pair(batch, live)
        rows.compared += len(pairs)
        if len(pairs):
            young = self._youth.of(columns(level), live, batch)
            self.report.lines.add(
                explained(self.settings, level, pairs, columns(level), self.symbols, young)
            )
        if len(pairs) < len(batch):
            self._missing(level, batch.select(KEYS).join(live, on=KEYS, how="anti"))
        if len(pairs) < len(live):
            self._extra(level, live.select(KEYS).join(batch, on=KEYS, how="anti"))

    def _missing(self, level: Level, absent: pl.DataFrame) -> None:
        rows, never = self.report.rows[level.view], absent["symbol"].is_in(self.report.never_live)
        down = never | self.down.inside(absent["event_time_us"])
        left = absent.filter(~down)
        late = late_rows(self.settings, level, left, self.symbols)
        rows.no_live_job, rows.late = (
            rows.no_live_job + int(down.sum()),
            rows.late + int(late.sum()),
        )
        rows.missing += self._noted("missing", level, left.filter(~late))

    def _extra(self, level: Level, absent: pl.DataFrame) -> None:
        rows, never = (
            self.report.rows[level.view],
            absent["symbol"].is_in(self.report.never_backfilled),
        )
        left = absent.filter(~never)
        undone = self.undone.inside(left["event_time_us"])
        rows.not_backfilled += int(never.sum()) + int(undone.sum())
        rows.extra += self._noted("extra", level, left.filter(~undone))

    def _noted(self, what: str, level: Level, rows: pl.DataFrame) -> int:
        for symbol, time_us in rows.sort("event_time_us").head(5).iter_rows():
            self.report.note(Example(what, level.view, symbol, time_us))
        return len(rows)
