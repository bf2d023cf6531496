"""From a format's chunk to a batch: fill defaults, infer unknown sides, validate every row."""

from collections import Counter

import polars as pl

from contracts.tick import KEY, REQUIRED, Reason, Rejected
from streaming.feeds.tick_frame import SCHEMA, conform, reject_reasons
from streaming.feeds.types import ROW, Batch, Chunk, FeedReject


class Validator:
    """Validates the chunks of one file in order; the tick rule (side = direction of the last price
    change) needs each symbol's last price.
    """

    def __init__(self, origin: str, received_us: int, infer_sides: bool = False) -> None:
        self.origin, self.received_us, self.infer_sides = origin, received_us, infer_sides
        self._last: pl.DataFrame | None = None

    def batch(self, chunk: Chunk) -> Batch:
        """Accepted ticks and rejects of a chunk; every row is in exactly one of the two."""
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
        reasons = reject_reasons(ticks, self.received_us)
        is_valid = reasons.is_null()
        rejected = self._rejects(chunk, ticks, reasons) if not is_valid.all() else []
        return Batch(
            ticks.filter(is_valid),
            chunk.frame[ROW].filter(is_valid),
            rejected,
            Counter(chunk.skipped),
            inferred,
        )

    def _rejects(self, chunk: Chunk, ticks: pl.DataFrame, reasons: pl.Series) -> list[FeedReject]:
        is_rejected = reasons.is_not_null()
        rows = chunk.frame[ROW].filter(is_rejected).to_list()
        fields = ticks.filter(is_rejected).iter_rows(named=True)
        return [
            FeedReject(
                self.origin, row, Rejected(Reason(reason), raw, _detail(Reason(reason), values))
            )
            for row, raw, reason, values in zip(
                rows, chunk.raw(rows), reasons.filter(is_rejected), fields, strict=True
            )
        ]

    def _with_sides(self, ticks: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Lee–Ready for unknown sides: price against the mid quote, else the last price change.

        The side stays 0 if neither decides.
        """
        prices = ticks.select(
            *KEY, "price", "bid", "ask", "side", moved=pl.lit(None, dtype=pl.Float64)
        )
        if self._last is not None:
            prices = pl.concat([self._last, prices])
        change = pl.col("price").diff().over(KEY).sign()
        moved = pl.when(change != 0).then(change)
        prices = prices.with_columns(moved=pl.coalesce("moved", moved).forward_fill().over(KEY))
        self._last = (
            prices.filter(pl.col("price").is_not_null()).group_by(KEY, maintain_order=True).last()
        )
        from_mid = (2 * pl.col("price") - pl.col("bid") - pl.col("ask")).sign()
        side = pl.coalesce(pl.when(from_mid != 0).then(from_mid), "moved").fill_null(0)
        inferred = prices.tail(ticks.height).select(side.cast(pl.Int32).alias("side"))["side"]
        is_unknown = (ticks["side"] == 0).fill_null(False)
        sides = (
            pl.select(pl.when(is_unknown).then(inferred).otherwise(ticks["side"]))
            .to_series()
            .rename("side")
        )
        return ticks.with_columns(sides), int((is_unknown & (inferred != 0)).sum())


def _with_defaults(frame: pl.DataFrame) -> pl.DataFrame:
    """Fill the sequence: a null of the file (absent or unreadable) with the row; without a column
    with the trade id if it is a number, else with the row. "a" marks ids of aggregated trades.

    The time of arrival is at least the event time: a receiver's clock may be behind.
    """
    numeric = pl.col("trade_id").str.strip_prefix("a").cast(pl.Int64, strict=False)
    event = pl.col("event_time_us")
    arrival = (
        pl.max_horizontal("ingest_time_us", event) if "ingest_time_us" in frame.columns else event
    )
    filled = frame.with_columns(ingest_time_us=arrival)
    if "seq" in frame.columns:
        return filled.with_columns(seq=pl.coalesce("seq", ROW))
    return filled.with_columns(seq=pl.when(numeric >= 0).then(numeric).otherwise(pl.col(ROW)))


def _detail(reason: Reason, values: dict[str, object]) -> str:
    if reason is not Reason.INVALID_FIELD:
        return ""
    broken = [name for name in REQUIRED if values[name] is None]
    return (
        f"unreadable: {', '.join(broken)}"
        if broken
        else f"not finite, empty or too long: one of {', '.join(SCHEMA)}"
    )
