"""The prediction contract: its JSON, and its agreement with the table and the Flink source."""

import orjson

from contracts.prediction import FIELDS, STORED_FIELDS, Kind, PredictionRecord, Source
from lakehouse.schemas import COLUMNS_OF, PREDICTIONS
from streaming.job.tables import SERVED

RECORD = PredictionRecord(
    request_id="r",
    symbol="V:A",
    served_at_us=9,
    source=Source.SHADOW,
    model_name="tick-model",
    model_version="7",
    prediction_bps=0.5,
    known_at_us=6,
    event_times_us={"tick_1s": 5, "tick_1m": None},
    features={"log_return_1m": 0.25, "volume_1m": None},
    age_s=1.5,
    stale=False,
)


def test_the_json_has_every_field_by_its_name():
    fields = orjson.loads(RECORD.to_json())
    assert tuple(fields) == tuple(field.name for field in FIELDS)
    assert fields == {field.name: getattr(RECORD, field.name) for field in FIELDS}
    assert fields["source"] == "shadow"


def test_the_stored_fields_are_the_columns_of_the_table():
    types = {Kind.TEXT: "string", Kind.MAP: "string", Kind.LONG: "long", Kind.REAL: "double"}
    columns = {name: str(kind) for name, kind in COLUMNS_OF[PREDICTIONS] if name != "served_at"}
    assert list(columns.items()) == [(field.name, types[field.kind]) for field in STORED_FIELDS]


def test_the_stored_fields_are_those_of_the_flink_source():
    types = {Kind.TEXT: "STRING", Kind.MAP: "STRING", Kind.LONG: "BIGINT", Kind.REAL: "DOUBLE"}
    assert {field.name: types[field.kind] for field in STORED_FIELDS} == SERVED
