"""When a tick is due and which time it carries; the position of a replay on disk."""

import orjson
import polars as pl
import pytest

from contracts.errors import FeedError
from streaming.feeds import Span
from streaming.replay import pacing, position
from streaming.replay.position import Position

S = 1_000_000
HOUR = Span(1_000 * S, 4_600 * S)
NOW = 1_760_000_000 * S


@pytest.mark.parametrize(
    ("speed", "back_s"), [(0.25, 0), (0.6, 0), (1.0, 0), (2.0, 1_800), (60.0, 3_540), (0, 3_600)]
)
def test_a_live_replay_lands_in_the_present(speed, back_s):
    made = pacing.as_live(HOUR, speed, NOW)
    first, last = made.move_us(HOUR.first_us), made.move_us(HOUR.last_us)
    assert first == NOW - back_s * S
    ends_at = NOW if speed == 0 else NOW + int(3_600 * S / speed)
    assert last == ends_at == max(made.due_us(last), NOW)
    for later_s in (0, 1, 30):  # on the way there nothing is due before it may have happened
        assert speed == 0 or made.due_to_us(NOW + later_s * S) <= max(NOW + later_s * S, last)


@pytest.mark.parametrize("speed", [0.001, 0.3, 0.6, 1.0, 60.0])
def test_no_trade_of_a_live_replay_is_due_before_it_happens(speed):
    made = pacing.as_live(HOUR, speed, NOW)
    times = [
        HOUR.first_us,
        HOUR.first_us + 1,
        HOUR.first_us + 1_234_567,
        HOUR.last_us - 1,
        HOUR.last_us,
    ]
    assert all(made.due_us(made.move_us(time)) >= made.move_us(time) for time in times)
    frame = pl.DataFrame({"event_time_us": times})
    assert frame.select(made.move("event_time_us")).to_series().to_list() == [
        made.move_us(time) for time in times
    ]


def test_a_live_replay_that_would_take_centuries_is_refused():
    with pytest.raises(FeedError, match="speed 1e-09 is too slow"):
        pacing.as_live(HOUR, 1e-9, NOW)


def test_slow_motion_stretches_the_time_between_trades():
    made = pacing.as_live(HOUR, 0.5, NOW)
    assert (made.speed, made.stretch) == (
        1.0,
        2.0,
    )  # due when it happens, in a market at half the pace
    assert made.move_us(HOUR.first_us + 7 * S) == NOW + 14 * S
    assert pacing.as_live(HOUR, 2.0, NOW).stretch == 1.0


def test_history_keeps_its_times_and_is_paced_from_the_first():
    kept = pacing.original_times(10.0)
    assert kept.move_us(HOUR.first_us) == HOUR.first_us
    made = pacing.anchor(kept, HOUR.first_us, NOW)
    assert pacing.anchor(made, HOUR.last_us, NOW + S) == made
    assert (made.offset_us, made.follows_clock, made.id_suffix) == (0, False, "")
    assert made.due_us(HOUR.first_us) == NOW
    assert made.due_us(HOUR.first_us + 100 * S) == NOW + 10 * S
    assert made.due_to_us(NOW + 10 * S) == HOUR.first_us + 100 * S


def test_a_market_of_today_is_due_when_it_happens():
    made = pacing.real_time(NOW)
    assert made.due_us(NOW + 7 * S) == NOW + 7 * S
    assert made.due_to_us(NOW) == NOW  # all of its past at once


def test_a_trade_of_an_exchange_is_due_at_once():
    made = pacing.at_once(NOW)
    assert made.due_to_us(NOW - 3_600 * S) > NOW and made.due_us(NOW + 7 * S) == NOW
    assert made.follows_clock and made.move_us(NOW + 7 * S) == NOW + 7 * S


@pytest.mark.parametrize("speed", [0.6, 60.0])
def test_a_resumed_live_replay_keeps_offset_clock_and_run(speed):
    made = pacing.as_live(HOUR, speed, NOW)
    kept = Position(
        "f",
        10,
        made.offset_us,
        made.anchor_event_us,
        made.anchor_wall_us,
        made.speed,
        made.follows_clock,
        made.id_suffix,
        stretch=made.stretch,
    )
    assert pacing.resume(kept) == made
    assert pacing.resume(Position("f", 10, speed=2.0)) == pacing.original_times(2.0)


def test_trade_ids_of_two_runs_differ():
    assert (
        pacing.as_live(HOUR, 1.0, NOW).id_suffix != pacing.as_live(HOUR, 1.0, NOW + 1_000).id_suffix
    )
    assert len(pacing.as_live(HOUR, 1.0, NOW).id_suffix) <= 9


def test_a_position_survives_and_is_never_half_written(tmp_path):
    file = tmp_path / "replay" / "p.json"
    assert position.load(file) is None
    for items in (1, 2):
        position.save(file, Position("abc", items, id_suffix="r1"))
        assert position.load(file) == Position("abc", items, id_suffix="r1")
    assert [f.name for f in file.parent.iterdir()] == ["p.json"]
    stored = orjson.loads(file.read_bytes())
    assert (stored["items"], stored["run"], stored["live"]) == (2, "r1", False)


@pytest.mark.parametrize("content", [b"", b"{", b'{"no": 1}', b"\xff"])
def test_a_file_that_is_not_a_position_is_reported(tmp_path, content):
    file = tmp_path / "p.json"
    file.write_bytes(content)
    with pytest.raises(FeedError, match="is not a position file"):
        position.load(file)
