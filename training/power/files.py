"""Reader of the public files of Tetouan's power consumption in 2017: CSV (also zipped) or Parquet.

Their clock has neither a gap nor a repeated hour at the changes of summer time, so it is taken as
UTC. The time of a reading is the start of its ten minutes.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from contracts.durations import DAY_US, MINUTE_US
from contracts.errors import FeedError

ZONES = ("zone1", "zone2", "zone3")
STEP_US = 10 * MINUTE_US
TIME_NAMES = ("datetime", "date", "timestamp")
TIME_FORMATS = ("%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M")
# A zone of this city consumes 6,000 to 52,000 kW; a median outside of these bounds is in another
# unit (34 MW, 3.4e7 W).
MEDIAN_KW_MIN, MEDIAN_KW_MAX = 500.0, 1_000_000.0
CSV_BYTES_MAX = 1 << 30
NAMES_CHARS_MAX = 300


def read_readings(file: Path) -> pl.DataFrame:
    """Readings of a file: event_time_us (Int64, UTC), zone1, zone2, zone3 (kW), sorted by time.

    Raises FeedError if the file does not exist or is corrupt, a column is missing, a value or time
    is invalid or repeated, the unit is not kW, or a day has no readings.
    """
    if not file.is_file():
        raise FeedError(
            f"there is no file {file}",
            "pass the CSV or ZIP of the public repository or a Parquet file, or use --download",
        )
    try:
        table = _read_table(file)
    except (
        pl.exceptions.PolarsError,
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        UnicodeDecodeError,
        EOFError,
    ) as error:
        raise FeedError(
            f"{file} cannot be read: {str(error).splitlines()[0][:200]}",
            "it is damaged, or not CSV, ZIP or Parquet: download it again",
        ) from error
    readings = _select_readings(table, file)
    _validate(readings, file)
    return readings.sort("event_time_us")


def to_silver(readings: pl.DataFrame, source: str) -> pl.DataFrame:
    """Rows of silver.power_consumption, one per time and zone.

    A reading is known when its ten minutes are over.
    """
    rows = readings.unpivot(
        index="event_time_us", on=list(ZONES), variable_name="series", value_name="value_kw"
    )
    return rows.with_columns(
        pl.lit(source).alias("source"), (pl.col("event_time_us") + STEP_US).alias("known_at_us")
    )


def _read_table(file: Path) -> pl.DataFrame:
    with file.open("rb") as content:
        magic = content.read(4)
    if magic == b"PAR1":
        return pl.read_parquet(file)
    if magic != b"PK\x03\x04":
        return pl.read_csv(file, infer_schema=False)
    with zipfile.ZipFile(file) as archive:
        members = (each for each in archive.infolist() if each.filename.lower().endswith(".csv"))
        member = next(members, None)
        if member is None or member.file_size > CSV_BYTES_MAX:
            raise zipfile.BadZipFile(f"no CSV of at most {CSV_BYTES_MAX:,} bytes in the archive")
        return pl.read_csv(archive.read(member), infer_schema=False)


def _select_readings(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Time and zones in their types, by normalised column names."""
    columns = {_normalise(name): name for name in table.columns}
    time = next((columns[name] for name in TIME_NAMES if name in columns), None)
    missing = [zone for zone in ZONES if zone not in columns] + ([] if time else ["DateTime"])
    if missing or time is None:
        names = ", ".join(table.columns)[:NAMES_CHARS_MAX]
        raise FeedError(
            f"{file} has no column {', '.join(missing)}; it has {names}",
            "check that it is the Tetouan file",
        )
    if table.is_empty():
        raise FeedError(f"{file} has no readings", "download it again")
    values = [pl.col(columns[zone]).cast(pl.Float64, strict=False).alias(zone) for zone in ZONES]
    return table.select(_parse_time(table, time).alias("event_time_us"), *values)


def _normalise(name: str) -> str:
    """`zone2` for `Zone 2  Power Consumption`, `PowerConsumption_Zone2` and `Zone2`."""
    return "".join(filter(str.isalnum, name.lower())).replace("powerconsumption", "")


def _parse_time(table: pl.DataFrame, name: str) -> pl.Expr:
    if table.schema[name] != pl.String:
        return pl.col(name).cast(pl.Datetime("us")).dt.epoch("us")
    return pl.coalesce(
        pl.col(name).str.to_datetime(form, time_unit="us", strict=False) for form in TIME_FORMATS
    ).dt.epoch("us")


def _validate(readings: pl.DataFrame, file: Path) -> None:
    """Raise FeedError for the first problem."""
    rows = readings.with_row_index("row", offset=1)
    time = pl.col("event_time_us")
    _raise_for_rows(
        rows.filter(time.is_null() | (time % STEP_US != 0)),
        file,
        "has no time on the ten-minute grid",
    )
    for zone in ZONES:
        value = pl.col(zone)
        invalid = value.is_null() | ~value.is_finite() | (value < 0)
        _raise_for_rows(rows.filter(invalid), file, f"has no power in {zone}")
        median = float(readings[zone].median())  # type: ignore[arg-type]
        if not MEDIAN_KW_MIN <= median <= MEDIAN_KW_MAX:
            raise FeedError(
                f"{file}: the median of {zone} is {median:g}, not plausible as kW of a city zone",
                "if it is in W or MW, convert it to kW",
            )
    _raise_for_rows(rows.filter(time.is_duplicated()), file, "has a repeated time")
    missing_days = empty_days(readings["event_time_us"])
    if missing_days:
        raise FeedError(
            f"{file} has no readings on {', '.join(missing_days[:5])} ({len(missing_days)} days)",
            "download it again, or pass a file without the gap",
        )


def _raise_for_rows(rows: pl.DataFrame, file: Path, problem: str) -> None:
    if len(rows):
        raise FeedError(
            f"{file}: row {rows['row'][0]} {problem} ({len(rows)} such rows)",
            "download the file again, or correct these rows",
        )


def empty_days(times_us: pl.Series) -> list[str]:
    """ISO dates between the first and the last time (µs UTC) on which there is no time."""
    days = set((times_us // DAY_US).to_list())
    return iso_dates(sorted(set(range(min(days), max(days))) - days))


def iso_dates(days: Sequence[int]) -> list[str]:
    """ISO dates of days numbered from 1970-01-01."""
    return [str(day) for day in pl.Series(days, dtype=pl.Int32).cast(pl.Date).to_list()]
