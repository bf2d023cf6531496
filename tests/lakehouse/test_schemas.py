"""Schemas: every table can be partitioned by day, and its columns have what its writers send."""

import pytest
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import TimestamptzType

from contracts.config.settings import Settings
from lakehouse.schemas import (
    COLUMNS_OF,
    DAILY_COUNTS,
    DAILY_NUMBERS,
    DEAD_LETTER,
    GOLD,
    GOLD_LIVE,
    PREDICTIONS,
    PROPERTIES,
    TIME_OF,
    partitions,
    schema,
)
from lakehouse.tables import Lakehouse


@pytest.mark.parametrize("table", COLUMNS_OF)
def test_field_ids_follow_the_columns_and_nothing_is_required(table):
    """Flink writes nullable columns; a required one would refuse its rows."""
    fields = schema(table).fields
    assert [field.field_id for field in fields] == list(range(1, len(fields) + 1))
    assert [field.name for field in fields] == [name for name, _ in COLUMNS_OF[table]]
    assert len({field.name for field in fields}) == len(fields)
    assert not any(field.required for field in fields)


@pytest.mark.parametrize("table", COLUMNS_OF)
def test_the_first_partition_is_the_utc_day_of_a_time(table):
    day = partitions(table).fields[0]
    assert (day.name, day.field_id) == ("event_day", 1000)
    assert isinstance(day.transform, DayTransform)
    source = schema(table).find_field(day.source_id)
    assert source.name == TIME_OF.get(table, "event_time")
    assert source.field_type == TimestamptzType()


@pytest.mark.parametrize("table", COLUMNS_OF)
def test_features_are_partitioned_by_view_too_and_no_other_table(table):
    others = partitions(table).fields[1:]
    if table in (GOLD, GOLD_LIVE):
        (view,) = others
        assert (view.name, view.field_id) == ("view", 1001)
        assert isinstance(view.transform, IdentityTransform)
        assert schema(table).find_field(view.source_id).name == "view"
    else:
        assert others == ()


def test_names_have_a_namespace_and_a_table():
    assert {name.partition(".")[0] for name in COLUMNS_OF} == {"silver", "gold"}
    assert all(name.count(".") == 1 for name in COLUMNS_OF)


def test_times_other_than_event_time_are_those_of_loading_and_serving():
    assert TIME_OF == {DEAD_LETTER: "loaded_at", PREDICTIONS: "served_at"}


def test_daily_statistics_are_counted_or_measured_never_both():
    assert not set(DAILY_COUNTS) & set(DAILY_NUMBERS)


def test_properties_are_texts_that_no_table_takes_away(tmp_path):
    """PyIceberg removes the format version from the properties that it is given."""
    Lakehouse(Settings(home=tmp_path)).create()
    assert all(isinstance(value, str) for value in PROPERTIES.values())
    assert PROPERTIES["format-version"] == "2"
