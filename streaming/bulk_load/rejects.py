"""Rejected rows of loaded files in silver.dead_letter, each stored once, however often loaded."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain, groupby

import pyarrow as pa
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.tick import MESSAGE_BYTES_MAX
from lakehouse import tables
from lakehouse.schemas import DEAD_LETTER
from lakehouse.tables import Lakehouse
from streaming.feeds import FeedReject

FIELDS = ("row_number", "reason", "raw")


def append_rejects(settings: LakehouseSettings, rejects: Sequence[FeedReject], now_us: int) -> int:
    """Append rejects that are not stored yet (by file, row, reason and bytes); returns their count.

    Rows longer than MESSAGE_BYTES_MAX are truncated.
    """
    table = Lakehouse(settings).table(DEAD_LETTER)
    by_source = groupby(rejects, lambda reject: reject.origin)
    new = [_not_stored(table, source, list(group)) for source, group in by_source]
    rows = [_row(reject, now_us) for reject in chain.from_iterable(new)]
    if rows:
        tables.append(table, pa.Table.from_pylist(rows, schema=_schema(table)))
    return len(rows)


def _not_stored(table: Table, source: str, rejects: list[FeedReject]) -> list[FeedReject]:
    rows = [reject.row for reject in rejects]
    in_range = And(
        GreaterThanOrEqual("row_number", min(rows)), LessThanOrEqual("row_number", max(rows))
    )
    scan = table.scan(row_filter=And(EqualTo("source", source), in_range), selected_fields=FIELDS)
    stored = {(row["row_number"], row["reason"], row["raw"]) for row in scan.to_arrow().to_pylist()}
    return [
        reject
        for reject in rejects
        if (reject.row, reject.rejected.reason.value, _raw(reject)) not in stored
    ]


def _raw(reject: FeedReject) -> bytes:
    return reject.rejected.raw[:MESSAGE_BYTES_MAX]


def _row(reject: FeedReject, now_us: int) -> dict[str, object]:
    return {
        "source": reject.origin,
        "row_number": reject.row,
        "reason": reject.rejected.reason.value,
        "detail": reject.rejected.detail,
        "raw": _raw(reject),
        "loaded_at": datetime.fromtimestamp(now_us / 1e6, UTC),
    }


def _schema(table: Table) -> pa.Schema:
    return schema_to_pyarrow(table.schema(), include_field_ids=False)
