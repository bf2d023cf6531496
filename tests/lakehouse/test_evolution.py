"""Tables of an older contract: columns are added or widened in place, old rows stay readable.

What cannot follow is refused.
"""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse import tables
from lakehouse.schemas import COLUMNS_OF, DEAD_LETTER, POWER, PROPERTIES, partitions, schema
from lakehouse.tables import Lakehouse

NOON = datetime(2017, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    """A lakehouse without tables."""
    settings = Settings(home=tmp_path)
    Lakehouse(settings).catalog.create_namespace("silver")
    return settings


def older(settings: Settings, *columns: tuple[str, object]):
    """The power table of an older contract."""
    fields = (
        NestedField(i, name, kind, required=False)
        for i, (name, kind) in enumerate(columns, start=1)
    )
    return Lakehouse(settings).catalog.create_table(
        POWER, Schema(*fields), partition_spec=partitions(POWER), properties=dict(PROPERTIES)
    )


def stored(settings: Settings, name: str = POWER):
    return Lakehouse(settings).table(name)


def test_the_new_tables_are_partitioned_by_day_of_reading_and_of_loading(home):
    Lakehouse(home).create()
    for name, time in ((POWER, "event_time"), (DEAD_LETTER, "loaded_at")):
        table = stored(home, name)
        (field,) = table.spec().fields
        assert isinstance(field.transform, DayTransform)
        assert table.schema().find_column_name(field.source_id) == time
    assert [(field.name, field.field_type) for field in stored(home).schema().fields] == list(
        COLUMNS_OF[POWER]
    )


def test_old_rows_are_read_with_the_columns_they_never_had(home):
    table = older(home, ("event_time", TimestamptzType()), ("series", StringType()))
    time = pa.array([NOON], pa.timestamp("us", tz="UTC"))
    with tables.ignore_row_group_warning():
        table.append(pa.table({"event_time": time, "series": ["zone_1"]}))
    Lakehouse(home).create()
    with tables.ignore_row_group_warning():
        new = {
            "event_time": time,
            "series": ["zone_1"],
            "value_kw": [34055.7],
            "source": ["tetouan"],
            "known_at_us": [7],
        }
        stored(home).append(pa.table(new))
    rows = sorted(
        stored(home).scan().to_arrow().to_pylist(), key=lambda row: row["known_at_us"] or 0
    )
    assert [
        (row["series"], row["value_kw"], row["source"], row["known_at_us"]) for row in rows
    ] == [
        ("zone_1", None, None, None),
        ("zone_1", 34055.7, "tetouan", 7),
    ]


def test_int_becomes_long_and_float_double_with_their_old_rows(home):
    narrow = [
        ("event_time", TimestamptzType()),
        ("series", StringType()),
        ("value_kw", FloatType()),
        ("source", StringType()),
    ]
    table = older(home, *narrow, ("known_at_us", IntegerType()))
    time = pa.array([NOON], pa.timestamp("us", tz="UTC"))
    small = {
        "value_kw": pa.array([0.5], pa.float32()),
        "known_at_us": pa.array([2**31 - 1], pa.int32()),
    }
    with tables.ignore_row_group_warning():
        table.append(pa.table({"event_time": time, "series": ["a"], "source": ["s"], **small}))
    Lakehouse(home).create()
    assert stored(home).schema().find_type("value_kw") == DoubleType()
    assert stored(home).schema().find_type("known_at_us") == LongType()
    with tables.ignore_row_group_warning():
        big = {"value_kw": [0.1], "known_at_us": [2**40]}
        stored(home).append(pa.table({"event_time": time, "series": ["b"], "source": ["s"], **big}))
    result = stored(home).scan().to_arrow().sort_by("series").to_pylist()
    assert [(row["value_kw"], row["known_at_us"]) for row in result] == [
        (0.5, 2**31 - 1),
        (0.1, 2**40),
    ]
    before = stored(home).metadata_location
    Lakehouse(home).create()
    assert stored(home).metadata_location == before  # nothing left to do


@pytest.mark.parametrize("kind", [StringType(), TimestamptzType()])
def test_a_type_that_data_cannot_follow_is_refused_and_nothing_changes(home, kind):
    table = older(home, ("event_time", TimestamptzType()), ("value_kw", kind))
    with pytest.raises(DatasetError, match=f"value_kw is {kind}, not double") as caught:
        Lakehouse(home).create()
    assert "int → long" in caught.value.hint
    assert stored(home).schema() == table.schema()


def test_a_narrowed_column_is_refused(home):
    older(
        home,
        *(
            (name, DoubleType() if name == "known_at_us" else kind)
            for name, kind in COLUMNS_OF[POWER]
        ),
    )
    with pytest.raises(DatasetError, match="known_at_us is double, not long"):
        Lakehouse(home).create()


def test_a_column_of_a_later_contract_stays(home):
    older(home, *COLUMNS_OF[POWER], ("weather", StringType()))
    Lakehouse(home).create()
    assert stored(home).schema().column_names == [*schema(POWER).column_names, "weather"]
