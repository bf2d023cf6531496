"""Which time a run is about: its parameters, else its interval, else now; and its progress."""

from datetime import UTC, datetime

import pytest

from contracts.durations import DAY_US
from contracts.errors import SettingError
from dags.tasks import history, power
from dags.tasks.task_context import log_progress, parse_us, time_range

NIGHT = (datetime(2026, 3, 1, 1, 15, tzinfo=UTC), datetime(2026, 3, 2, 1, 15, tzinfo=UTC))
NOW_US = parse_us("2026-03-05T12:00:00")
MIDNIGHT_US = parse_us("2026-03-01")


@pytest.mark.parametrize(
    ("text", "us"),
    [("1970-01-02", DAY_US), ("1970-01-01T01:00:00+01:00", 0), ("1970-01-01T00:00:01", 1_000_000)],
)
def test_a_time_is_utc_unless_it_says_otherwise(text, us):
    assert parse_us(text) == us


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01"])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(SettingError, match="is not a time"):
        parse_us(text)


class TestTimeRange:
    def test_parameters_win(self):
        assert time_range({"from": "2026-01-01", "to": "2026-01-02"}, NIGHT, NOW_US) == (
            parse_us("2026-01-01"),
            parse_us("2026-01-02"),
        )

    def test_else_the_interval(self):
        assert time_range({}, NIGHT, NOW_US) == (
            parse_us("2026-03-01T01:15:00"),
            parse_us("2026-03-02T01:15:00"),
        )

    def test_by_hand_it_is_everything_up_to_now(self):
        assert time_range({"from": None}, (None, None), NOW_US) == (None, NOW_US)


class TestDays:
    def test_an_interval_stands_for_the_day_on_which_it_begins(self):
        assert history.whole_days(*time_range({}, NIGHT, NOW_US)) == (
            MIDNIGHT_US,
            MIDNIGHT_US + DAY_US,
        )

    def test_by_hand_it_is_yesterday(self):
        assert history.whole_days(None, NOW_US) == (
            parse_us("2026-03-04"),
            parse_us("2026-03-05"),
        )

    def test_midnight_belongs_to_the_day_before(self):
        assert history.whole_days(MIDNIGHT_US, MIDNIGHT_US + DAY_US) == (
            MIDNIGHT_US,
            MIDNIGHT_US + DAY_US,
        )


class TestPowerDay:
    def test_the_run_at_one_knows_all_of_yesterday_and_nothing_of_today(self):
        start = datetime(2026, 3, 1, 1, tzinfo=UTC)
        assert power.end_us(None, start) == MIDNIGHT_US + DAY_US

    def test_a_parameter_names_the_day_itself(self):
        assert power.end_us("2026-03-01", datetime(2027, 1, 1, tzinfo=UTC)) == MIDNIGHT_US + DAY_US

    def test_by_hand_it_is_the_last_whole_day_there_is(self):
        assert power.end_us(None, None) is None


class TestProgress:
    def test_a_line_per_tenth(self, caplog):
        caplog.set_level("INFO", logger="dags.tasks")
        for done in range(1, 101):
            log_progress("train", done, 100)
        assert len(caplog.records) == 10
        assert caplog.messages[-1] == "train: 100 of 100"
