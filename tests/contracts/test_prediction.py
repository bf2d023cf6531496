"""The prediction contract: its JSON, and the fields that are stored."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.fields import names
from contracts.prediction import (
    FIELDS,
    PredictionRecord,
    Source,
    newest_event_time_us,
    read_event_times,
    read_features,
)
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


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_null_in_the_message(value):
    fields = orjson.loads(
        RECORD._replace(prediction_bps=value, features={"range_1m": value}).to_json()
    )
    assert fields["prediction_bps"] is None
    assert fields["features"] == {"range_1m": None}


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 5e-324, -1.7976931348623157e308, 0.1, 2**53 + 1.0, 1e-7]
)
def test_every_other_number_is_read_as_it_was_written(value):
    fields = orjson.loads(RECORD._replace(features={"x": value}).to_json())
    restored = read_features(orjson.dumps(fields["features"]).decode())["x"]
    assert (restored, math.copysign(1, restored)) == (value, math.copysign(1, value))


def test_a_prediction_from_the_request_has_no_times():
    record = RECORD._replace(source=Source.REQUEST, event_times_us=None, known_at_us=None)
    fields = orjson.loads(record.to_json())
    assert (fields["event_times_us"], fields["known_at_us"]) == (None, None)
    assert read_event_times(None) is None
    assert newest_event_time_us(None) is None


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("{}", {}),
        ('{"tick_1s": null}', {"tick_1s": None}),
        ('{"tick_1s": 0}', {"tick_1s": 0}),
        ('{"tick_1s": -1, "tick_1m": 9007199254740993}', {"tick_1s": -1, "tick_1m": 2**53 + 1}),
        ('{"tick_1s": 1.5}', None),
        ('{"tick_1s": 1e3}', None),
        ('{"tick_1s": [1]}', None),
        ('{"tick_1s": {}}', None),
        ('{"tick_1s": 1', None),
        ('{"tick_1s": NaN}', None),
        ("null", None),
        ('"{}"', None),
    ],
)
def test_times_are_whole_numbers_or_the_whole_map_is_malformed(text, times):
    assert read_event_times(text) == times


def test_the_newest_time_ignores_views_without_a_row():
    assert newest_event_time_us('{"a": null, "b": 3, "c": 5, "d": 0}') == 5
    assert newest_event_time_us('{"a": null}') is None
    assert newest_event_time_us("{}") is None
    assert newest_event_time_us('{"a": 0}') == 0


def test_a_whole_number_is_a_feature_and_becomes_a_float():
    values = read_features('{"trade_count_1m": 3}')
    assert values == {"trade_count_1m": 3.0}
    assert type(values["trade_count_1m"]) is float


@given(st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False)))
def test_any_features_come_back(features):
    fields = orjson.loads(RECORD._replace(features=features).to_json())
    assert read_features(orjson.dumps(fields["features"]).decode()) == features


@given(st.text(max_size=40))
def test_any_text_is_a_map_or_malformed(text):
    for read in (read_event_times, read_features):
        assert read(text) is None or isinstance(read(text), dict)


def test_the_three_sources_are_stored_by_these_words():
    """Rows of the table and readers of the topic compare with them."""
    assert [str(source) for source in Source] == ["online", "request", "shadow"]
