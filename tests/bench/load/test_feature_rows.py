"""Feature rows as the live job publishes them."""

from bench.load import feature_rows
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.online.store import encode_row

START_US = 1_800_000_000_000_000


def test_feature_rows_are_accepted_by_the_writer():
    rows = list(feature_rows.stream(feature_rows.symbols(3), 60, START_US // 1000))
    assert len(rows) == 3 * (60 + 6 + 1)
    assert [encode_row(row).view for row in rows] == [row["view"] for row in rows]
    for level in LEVELS:
        row = next(row for row in rows if row["view"] == level.view)
        assert {column.name for column in columns(level)} < set(row)
