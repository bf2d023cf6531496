"""The prediction contract: its JSON, and the fields that are stored."""

import orjson

from contracts.fields import names
from contracts.prediction import FIELDS, PredictionRecord, Source
from lakehouse.schemas import PREDICTION_NAMES
from streaming.job import tables

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
    assert list(fields) == list(PredictionRecord._fields)
    assert fields == RECORD._asdict()
    assert fields["source"] == "shadow"


def test_all_but_the_age_is_stored_and_read_by_the_job():
    fields = orjson.loads(RECORD.to_json())
    assert set(fields) - set(names(FIELDS)) == {"age_s", "stale"}
    assert set(names(tables.SERVED)) == set(names(FIELDS))
    assert set(PREDICTION_NAMES) == {*names(FIELDS), "served_at"}
