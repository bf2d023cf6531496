"""Times on the command line: their spellings, their zone, and the ends of a range."""

import re
from datetime import UTC, datetime
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cli import times
from cli.times import format_day, format_us, optional_us, resolve_range, to_us, us_or_default

NOON = datetime(2026, 3, 1, 12, 0, 0)  # noqa: DTZ001 – typer gives naive times
NOON_US = 1_772_366_400_000_000


@pytest.fixture
def read():
    """Reads the option --at of a command: exit code, and its time in µs or the error."""
    app = typer.Typer()

    @app.command()
    def command(at: Annotated[datetime, typer.Option(formats=times.FORMATS)]) -> None:
        typer.echo(to_us(at))

    def call(text: str) -> tuple[int, str]:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--at", text])
        return result.exit_code, result.output

    return call


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59", -1_000_000),
        ("2026-03-01", NOON_US - 43_200_000_000),
        ("2026-03-01T12:00:00", NOON_US),
        ("2026-3-1", NOON_US - 43_200_000_000),
        ("2024-02-29T00:00:01", 1_709_164_801_000_000),
    ],
)
def test_a_day_or_a_second_is_read_as_utc(read, text, time_us):
    assert read(text) == (0, f"{time_us}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2026",
        "2026-03",
        "2026-02-30",
        "2025-02-29",
        "2026-13-01",
        "01-03-2026",
        "2026/03/01",
        "2026-03-01T24:00:00",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00+01:00",
        "2026-03-01T12:00:00.5",
        "2026-03-01 12:00",
        "1772366400",
        "-1",
    ],
)
def test_any_other_spelling_is_refused_with_those_that_are_accepted(read, text):
    code, output = read(text)
    assert code == 2
    assert all(form in output for form in times.FORMATS)


def test_the_zone_of_the_machine_changes_nothing(read, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert read("2026-03-01T12:00:00") == (0, f"{NOON_US}\n")
    assert format_us(NOON_US) == "2026-03-01 12:00:00"


@pytest.mark.parametrize(
    ("time_us", "second", "day"),
    [
        (0, "1970-01-01 00:00:00", "1970-01-01"),
        (NOON_US + 999_999, "2026-03-01 12:00:00", "2026-03-01"),
        (1_709_251_199_000_000, "2024-02-29 23:59:59", "2024-02-29"),
        (1_709_251_200_000_000, "2024-03-01 00:00:00", "2024-03-01"),
    ],
)
def test_a_time_is_printed_to_the_second_and_a_day_to_the_day(time_us, second, day):
    assert format_us(time_us) == second
    assert format_day(time_us) == day


def test_what_is_printed_can_be_read_again(read):
    printed = format_us(NOON_US).replace(" ", "T")
    assert read(printed) == (0, f"{NOON_US}\n")
    assert read(format_day(NOON_US)) == (0, f"{NOON_US - 43_200_000_000}\n")


def test_a_time_that_was_not_given_is_none_or_the_default():
    assert optional_us(None) is None
    assert optional_us(NOON) == us_or_default(NOON, 7) == NOON_US
    assert us_or_default(None, 7) == 7


def test_the_beginning_of_1970_is_a_time_like_any_other():
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001
    assert optional_us(epoch) == 0
    assert us_or_default(epoch, 7) == 0


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (1, 2)),
        (NOON, None, (NOON_US, 2)),
        (None, NOON, (1, NOON_US)),
    ],
)
def test_a_missing_end_of_a_range_is_that_of_the_default(start, end, expected):
    assert resolve_range(start, end, lambda: (1, 2)) == expected


def test_the_default_of_a_complete_range_is_not_read():
    def find_default() -> tuple[int, int]:
        raise AssertionError("an empty lakehouse has no range")

    assert resolve_range(NOON, NOON, find_default) == (NOON_US, NOON_US)


def test_the_spelling_in_the_help_is_the_one_that_is_read():
    spelled = re.sub(r"[\[\]]", "", times.TIME_METAVAR)
    for letters, part in {"YYYY": "%Y", "MM": "%m", "DD": "%d"}.items():
        spelled = spelled.replace(letters, part, 1)
    assert spelled.replace("HH:MM:SS", "%H:%M:%S") == times.FORMATS[1]
    assert times.TIME_METAVAR.startswith(times.DAY_METAVAR)
    assert NOON.replace(tzinfo=UTC).strftime(times.FORMATS[1]) == "2026-03-01T12:00:00"
