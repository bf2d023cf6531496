"""The result of a query as a file: every type, no row, many batches."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.reports.result_writers import write_result

KINDS = ("csv", "json", "parquet")
HUGE = pa.decimal128(38, 0)
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


def written(kind: str, schema: pa.Schema, *batches: dict) -> tuple[int, bytes]:
    produced = [pa.RecordBatch.from_pydict(batch, schema=schema) for batch in batches]
    out = io.BytesIO()
    rows = write_result(pa.RecordBatchReader.from_batches(schema, produced), kind, out)
    return rows, out.getvalue()


def as_csv(schema: pa.Schema, *batches: dict) -> list[dict]:
    return list(csv.DictReader(io.StringIO(written("csv", schema, *batches)[1].decode())))


def as_json(schema: pa.Schema, *batches: dict) -> list[dict]:
    return [json.loads(line) for line in written("json", schema, *batches)[1].splitlines()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(), (0,), (3,), (2, 0, 3)])
def test_the_rows_of_all_batches_are_counted(kind, sizes):
    batches = [{"n": list(range(size)), "text": ["x"] * size} for size in sizes]
    assert written(kind, SCHEMA, *batches)[0] == sum(sizes)


def test_a_csv_file_has_one_header_however_many_batches():
    batch = {"n": [1], "text": ["x"]}
    assert written("csv", SCHEMA, batch, batch)[1] == b"n,text\n1,x\n1,x\n"
    assert written("csv", SCHEMA)[1] == b"n,text\n"


def test_text_that_csv_and_json_must_quote_survives():
    texts = ['say "hi"', "a,b", "two\nlines", "", None, "ü €", "\\"]
    batch = {"n": [0] * len(texts), "text": texts}
    assert [row["text"] for row in as_csv(SCHEMA, batch)] == [text or "" for text in texts]
    assert [row["text"] for row in as_json(SCHEMA, batch)] == texts


def test_a_sum_of_integers_is_a_number_in_json_if_it_fits():
    schema = pa.schema([("fits", HUGE), ("exceeds", HUGE)])
    batch = {"fits": [Decimal(2**63 - 1), None], "exceeds": [Decimal(2**63), Decimal(1)]}
    first, second = as_json(schema, batch)
    assert first["fits"] == 2**63 - 1 and second["fits"] is None
    assert str(first["exceeds"]) == str(2**63)


def test_a_decimal_with_digits_is_not_rounded():
    schema = pa.schema([("price", pa.decimal128(10, 2))])
    [row] = as_json(schema, {"price": [Decimal("1.25")]})
    assert float(row["price"]) == 1.25
    assert as_csv(schema, {"price": [Decimal("1.25")]}) == [{"price": "1.25"}]


def test_bytes_are_escaped_and_nested_values_are_json_in_csv():
    schema = pa.schema(
        [
            ("raw", pa.binary()),
            ("list", pa.list_(pa.int64())),
            ("map", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ]
    )
    batch = {
        "raw": [b"ok\xff\x00", None],
        "list": [[1, 2], None],
        "map": [{"a": 1, "b": "x"}, None],
    }
    first, second = as_csv(schema, batch)
    assert first == {"raw": "ok\\xff\x00", "list": "[1,2]", "map": '{"a":1,"b":"x"}'}
    assert second["raw"] == "" and second["list"] == ""
    assert as_json(schema, batch)[0]["list"] == [1, 2]


def test_times_keep_their_microseconds():
    schema = pa.schema([("at", pa.timestamp("us", tz="UTC"))])
    time = datetime(2026, 3, 1, 12, 0, 0, 123_456, UTC)
    for rows in (as_csv(schema, {"at": [time]}), as_json(schema, {"at": [time]})):
        assert "12:00:00.123456" in rows[0]["at"]


def test_a_parquet_file_keeps_every_type():
    schema = pa.schema([("raw", pa.binary()), ("huge", HUGE), ("list", pa.list_(pa.int64()))])
    batch = {"raw": [b"\xff"], "huge": [Decimal(2**100)], "list": [[1]]}
    table = pq.read_table(io.BytesIO(written("parquet", schema, batch)[1]))
    assert table.schema.equals(schema)
    assert table.to_pylist() == [{"raw": b"\xff", "huge": Decimal(2**100), "list": [1]}]
