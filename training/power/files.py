"""The public files of Tetouan's power consumption in 2017 → readings in kW: the repository's CSV,
zipped or not, and Parquet.

Their clock has no gap and no hour twice, whatever summer time did: it is taken as UTC. A time is
the start of ten minutes.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from contracts.errors import FeedError

ZONES = ("zone1", "zone2", "zone3")
MINUTE_US = 60_000_000
STEP_US = 10 * MINUTE_US
DAY_US = 86_400_000_000
TIME_NAMES = ("datetime", "date", "timestamp")
TIME_FORMATS = ("%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M")
# A zone of this city takes 6,000 to 52,000 kW: outside these bounds the median of a zone is in
# another unit (34 MW, 3.4e7 W).
MEDIAN_KW_MIN, MEDIAN_KW_MAX = 500.0, 1_000_000.0
CSV_BYTES_MAX = 1 << 30


def read(file: Path) -> pl.DataFrame:
    """Readings of one file: event_time_us (Int64, UTC) and zone1, zone2, zone3 (kW), sorted by
    time.

    Raises FeedError: no such file, corrupt, a missing column, a value or time that is none, another
    unit, a day without readings.
    """
    if not file.is_file():
        raise FeedError(
            f"there is no file {file}",
            "give the CSV or ZIP of the public repository, or a Parquet file; or say --download",
        )
    try:
        table = _table(file)
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
            "it is damaged, or no CSV, ZIP or Parquet: fetch it again",
        ) from error
    readings = _readings(table, file)
    _require_whole(readings, file)
    return readings.sort("event_time_us")


def long(readings: pl.DataFrame, source: str) -> pl.DataFrame:
    """Rows of silver.power_consumption: one per time and zone, known when its ten minutes are
    over."""
    rows = readings.unpivot(
        index="event_time_us", on=list(ZONES), variable_name="series", value_name="value_kw"
    )
    return rows.with_columns(
        pl.lit(source).alias("source"), (pl.col("event_time_us") + STEP_US).alias("known_at_us")
    )


def _table(file: Path) -> pl.DataFrame:
    with file.open("rb") as content:
        start = content.read(4)
    if start == b"PAR1":
        return pl.read_parquet(file)
    if start != b"PK\x03\x04":
        return pl.read_csv(file, infer_schema=False)
    with zipfile.ZipFile(file) as packed:
        member = next(
            (entry for entry in packed.infolist() if entry.filename.lower().endswith(".csv")), None
        )
        if member is None or member.file_size > CSV_BYTES_MAX:
            raise zipfile.BadZipFile("it holds no CSV of a sensible size")
        return pl.read_csv(packed.read(member), infer_schema=False)


def _readings(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """The columns that count, in their types. `Zone 2  Power Consumption`, `PowerConsumption_Zone2`
    and `Zone2` are one name.
    """
    plain = {_plain(name): name for name in table.columns}
    time = next((plain[name] for name in TIME_NAMES if name in plain), None)
    missing = [zone for zone in ZONES if zone not in plain] + ([] if time else ["DateTime"])
    if missing or time is None:
        raise FeedError(
            f"{file} has no column {', '.join(missing)}; it has {', '.join(table.columns)[:300]}",
            "is it the Tetouan file?",
        )
    if table.is_empty():
        raise FeedError(f"{file} holds no reading", "fetch it again")
    numbers = [pl.col(plain[zone]).cast(pl.Float64, strict=False).alias(zone) for zone in ZONES]
    return table.select(_time(table, time).alias("event_time_us"), *numbers)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower())).replace("powerconsumption", "")


def _time(table: pl.DataFrame, name: str) -> pl.Expr:
    if table.schema[name] != pl.String:
        return pl.col(name).cast(pl.Datetime("us")).dt.epoch("us")
    return pl.coalesce(
        pl.col(name).str.to_datetime(form, time_unit="us", strict=False) for form in TIME_FORMATS
    ).dt.epoch("us")


def _require_whole(readings: pl.DataFrame, file: Path) -> None:
    """Raises FeedError for the first thing that is wrong."""
    numbered = readings.with_row_index("row", offset=1)
    off = pl.col("event_time_us").is_null() | (pl.col("event_time_us") % STEP_US != 0)
    _refuse(numbered.filter(off), file, "has no time on the ten-minute grid")
    for zone in ZONES:
        value = pl.col(zone)
        _refuse(
            numbered.filter(value.is_null() | ~value.is_finite() | (value < 0)),
            file,
            f"has no power in {zone}",
        )
        median = float(readings[zone].median())  # type: ignore[arg-type]
        if not MEDIAN_KW_MIN <= median <= MEDIAN_KW_MAX:
            raise FeedError(
                f"{file}: the median of {zone} is {median:g}, which is not a kW of a city's zone",
                "is it in W or MW? Convert it to kW",
            )
    _refuse(
        numbered.filter(pl.col("event_time_us").is_duplicated()),
        file,
        "has a time that comes twice",
    )
    holes = empty_days(readings["event_time_us"])
    if holes:
        raise FeedError(
            f"{file} has no readings at all on {', '.join(holes[:5])} ({len(holes)} days)",
            "fetch it again, or give a file without the hole",
        )


def _refuse(rows: pl.DataFrame, file: Path, what: str) -> None:
    if len(rows):
        raise FeedError(
            f"{file}: row {rows['row'][0]} {what} ({len(rows)} such rows)",
            "fetch the file again, or mend these rows",
        )


def empty_days(times_us: pl.Series) -> list[str]:
    """Days between the first and the last time on which there is none, as dates."""
    days = set((times_us // DAY_US).to_list())
    return dates(sorted(set(range(min(days), max(days))) - days))


def dates(days: Sequence[int]) -> list[str]:
    """Day numbers since 1970 as ISO dates."""
    return [str(day) for day in pl.Series(days, dtype=pl.Int32).cast(pl.Date).to_list()]
