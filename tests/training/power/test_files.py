"""Every usual form of the public file gives the same readings, and what is wrong with a file is
said with its row or name.
"""

import zipfile

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.durations import DAY_US
from contracts.errors import FeedError
from tests.support.power_data import T0, csv, readings, real, table
from training.power import files
from training.power.files import STEP_US


def write(folder, made, kind):
    file = folder / f"power.{kind}"
    if kind == "parquet":
        table(made).write_parquet(file)
    elif kind == "csv":
        file.write_text(csv(made))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("Readme.txt", "no table")
            packed.writestr("Tetuan City power consumption.csv", csv(made))
    return file


@pytest.mark.parametrize("kind", ["parquet", "csv", "zip"])
def test_every_form_gives_the_same_readings_in_time_order(tmp_path, kind):
    made = readings()
    assert_frame_equal(files.read_readings(write(tmp_path, made.reverse(), kind)), made)


def test_the_other_usual_names_and_times_are_understood(tmp_path):
    made = readings(days=1)
    named = table(made).rename(
        {"Date": "Datetime"} | {f"Zone{i}": f"PowerConsumption_Zone{i}" for i in (1, 2, 3)}
    )
    named.with_columns(pl.col("Datetime").dt.strftime("%Y-%m-%d %H:%M:%S")).write_csv(
        tmp_path / "other.csv"
    )
    assert_frame_equal(files.read_readings(tmp_path / "other.csv"), made)


def test_the_real_file_is_whole():
    made = files.read_readings(real())
    assert len(made) == 52_416
    assert (made["event_time_us"][0], made["event_time_us"][-1]) == (
        T0,
        T0 + 364 * DAY_US - STEP_US,
    )
    assert made["zone1"][0] == 34055.6962


def test_rows_for_the_lakehouse_are_known_when_their_ten_minutes_are_over():
    rows = files.to_silver(readings(days=1), "file")
    assert rows.columns == ["event_time_us", "series", "value_kw", "source", "known_at_us"]
    assert len(rows) == 3 * 144
    assert (rows["known_at_us"] - rows["event_time_us"]).unique().to_list() == [STEP_US]


def spoilt(change):
    return lambda made: change(table(made))


def value(row, column, what):
    return spoilt(
        lambda t: t.with_columns(
            pl.when(pl.int_range(pl.len()) == row)
            .then(what)
            .otherwise(pl.col(column))
            .alias(column)
        )
    )


WRONG = {
    "a missing column": (
        spoilt(lambda t: t.drop("Zone2")),
        "has no column zone2; it has Date, Zone1, Zone3",
    ),
    "no time": (spoilt(lambda t: t.drop("Date")), "has no column DateTime"),
    "megawatt": (
        spoilt(lambda t: t.with_columns(pl.col("Zone1") / 1000)),
        "the median of zone1 is 2[0-9.]*, not plausible as kW",
    ),
    "watt": (
        spoilt(lambda t: t.with_columns(pl.col("Zone3") * 1000)),
        "the median of zone3 is .*not plausible as kW",
    ),
    "an empty day": (
        spoilt(lambda t: t.filter(pl.col("Date").dt.day() != 2)),
        r"no readings on 2017-01-02 \(1 days\)",
    ),
    "no rows": (spoilt(lambda t: t.clear()), "has no readings"),
    "not a number": (value(4, "Zone1", float("nan")), "row 5 has no power in zone1"),
    "null": (value(4, "Zone2", None), "row 5 has no power in zone2"),
    "negative": (value(4, "Zone3", -1.0), "row 5 has no power in zone3"),
    "an hour twice": (
        spoilt(lambda t: pl.concat([t, t.slice(10, 6)])),
        r"row 11 has a repeated time \(12 such rows\)",
    ),
    "another clock": (
        spoilt(lambda t: t.with_columns(pl.col("Date").dt.offset_by("3m"))),
        "row 1 has no time on the ten-minute grid",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path, name):
    change, said = WRONG[name]
    change(readings()).write_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(FeedError, match=said):
        files.read_readings(tmp_path / "wrong.parquet")


def test_text_that_is_not_a_number_or_time_is_said_by_its_row(tmp_path):
    lines = csv(readings(days=1)).splitlines()
    for row, (old, new), said in [
        (3, (",6.5", " noon,6.5"), "row 3 has no time"),
        (9, (lines[9].split(",")[6], "n/a"), "row 9 has no power in zone1"),
    ]:
        changed = [*lines[:row], lines[row].replace(old, new), *lines[row + 1 :]]
        (tmp_path / "wrong.csv").write_text("\n".join(changed))
        with pytest.raises(FeedError, match=said):
            files.read_readings(tmp_path / "wrong.csv")


@pytest.mark.parametrize("kind", ["parquet", "zip"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_damaged(tmp_path, kind, share):
    file = write(tmp_path, readings(), kind)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FeedError, match="cannot be read"):
        files.read_readings(file)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe nothing", b"PAR1", b"PK\x03\x04"])
def test_what_is_not_a_table_at_all_is_said(tmp_path, content):
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(FeedError):
        files.read_readings(tmp_path / "odd")


def test_no_file_is_said(tmp_path):
    with pytest.raises(FeedError, match="there is no file") as refused:
        files.read_readings(tmp_path / "none.csv")
    assert "--download" in refused.value.hint
