"""From a format's chunk to a batch: defaults filled in, unknown sides inferred, every row judged by
the contract's rules.
"""

from collections import Counter

import polars as pl

from contracts.tick import Reason, Rejected
from streaming.feeds.tick_frame import REQUIRED, SCHEMA, conform, verdicts
from streaming.feeds.types import ROW, Batch, Chunk, FeedReject

KEY = ["venue", "symbol"]


class Judge:
    """Judges the chunks of one file in order; remembers each symbol's last price for the tick
    rule."""

    def __init__(self, origin: str, received_us: int, infer_sides: bool = False) -> None:
        self.origin, self.received_us, self.infer_sides = origin, received_us, infer_sides
        self._last: pl.DataFrame | None = None

    def batch(self, chunk: Chunk) -> Batch:
        """Accepted ticks and rejects of a chunk; nothing is lost between the two."""
        if chunk.damage:
            lost = Rejected(Reason.INVALID_FIELD, b"", chunk.damage)
            return Batch(
                conform(chunk.frame.clear()),
                chunk.frame[ROW].clear(),
                [FeedReject(self.origin, chunk.frame[ROW][0], lost)],
            )
        ticks = conform(_with_defaults(chunk.frame))
        inferred = 0
        if self.infer_sides and ticks.height:
            ticks, inferred = self._with_sides(ticks)
        reasons = verdicts(ticks, self.received_us)
        good = reasons.is_null()
        rejected = self._rejects(chunk, ticks, reasons) if not good.all() else []
        return Batch(
            ticks.filter(good),
            chunk.frame[ROW].filter(good),
            rejected,
            Counter(chunk.skipped),
            inferred,
        )

    def _rejects(self, chunk: Chunk, ticks: pl.DataFrame, reasons: pl.Series) -> list[FeedReject]:
        bad = reasons.is_not_null()
        rows = chunk.frame[ROW].filter(bad).to_list()
        fields = ticks.filter(bad).iter_rows(named=True)
        return [
            FeedReject(
                self.origin, row, Rejected(Reason(reason), raw, _detail(Reason(reason), values))
            )
            for row, raw, reason, values in zip(
                rows, chunk.raw(rows), reasons.filter(bad), fields, strict=True
            )
        ]

    def _with_sides(self, ticks: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Lee–Ready where the side is unknown: against the mid quote, else the last change of
        price; 0 if neither speaks.
        """
        seen = ticks.select(
            *KEY, "price", "bid", "ask", "side", moved=pl.lit(None, dtype=pl.Float64)
        )
        if self._last is not None:
            seen = pl.concat([self._last, seen])
        change = pl.col("price").diff().over(KEY).sign()
        moved = pl.when(change != 0).then(change)
        seen = seen.with_columns(moved=pl.coalesce("moved", moved).forward_fill().over(KEY))
        self._last = (
            seen.filter(pl.col("price").is_not_null()).group_by(KEY, maintain_order=True).last()
        )
        quoted = (2 * pl.col("price") - pl.col("bid") - pl.col("ask")).sign()
        guess = pl.coalesce(pl.when(quoted != 0).then(quoted), "moved").fill_null(0).cast(pl.Int32)
        guessed = seen.tail(ticks.height).select(guess.alias("guess"))["guess"]
        unknown = (ticks["side"] == 0).fill_null(False)
        sides = (
            pl.select(pl.when(unknown).then(guessed).otherwise(ticks["side"]))
            .to_series()
            .rename("side")
        )
        return ticks.with_columns(sides), int((unknown & (guessed != 0)).sum())


def _with_defaults(frame: pl.DataFrame) -> pl.DataFrame:
    """Sequence from the trade id where that is a number, else the row; arrival is never before the
    event (clocks lag).
    """
    numeric = pl.col("trade_id").str.strip_prefix("a").cast(pl.Int64, strict=False)
    event = pl.col("event_time_us")
    arrival = (
        pl.max_horizontal("ingest_time_us", event) if "ingest_time_us" in frame.columns else event
    )
    made = frame.with_columns(ingest_time_us=arrival)
    if "seq" in frame.columns:
        return made.with_columns(seq=pl.coalesce("seq", ROW))
    return made.with_columns(seq=pl.when(numeric >= 0).then(numeric).otherwise(pl.col(ROW)))


def _detail(reason: Reason, values: dict[str, object]) -> str:
    if reason is not Reason.INVALID_FIELD:
        return ""
    broken = [name for name in REQUIRED if values[name] is None]
    return (
        f"unreadable: {', '.join(broken)}"
        if broken
        else f"not finite, empty or too long: one of {', '.join(SCHEMA)}"
    )
