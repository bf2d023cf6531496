"""Pacing as a property: due times and event times agree, and a position restores the pacing."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import FeedError
from contracts.tick import LONG_MAX
from streaming.feeds.types import Span
from streaming.replay import pacing, position
from streaming.replay.pacing import SLOWEST, Pacing
from streaming.replay.position import Position

FIRST_US, NOW_US = 1_700_000_000_000_000, 1_760_000_000_000_000
spans = st.integers(0, 10**12).map(lambda length: Span(FIRST_US, FIRST_US + length))
speeds = st.sampled_from([0.0, SLOWEST, 0.1, 0.5, 1.0, 1.5, 60.0, 10_000.0])
offsets = st.integers(0, 10**12)


@settings(max_examples=25)
@given(spans, speeds)
def test_the_last_event_of_a_live_replay_is_at_its_end(span, speed):
    paced = pacing.as_live(span, speed, NOW_US)
    last_us = paced.move_us(span.last_us)
    assert abs(last_us - paced.due_us(last_us)) <= 1 or speed == 0
    assert paced.due_us(paced.move_us(span.first_us)) == NOW_US


@settings(max_examples=25)
@given(spans, speeds, st.floats(0, 1))
def test_no_event_of_a_live_replay_is_due_before_it_happens(span, speed, share):
    paced = pacing.as_live(span, speed, NOW_US)
    event_us = paced.move_us(span.first_us + int(share * (span.last_us - span.first_us)))
    assert event_us <= paced.due_us(event_us) + 1


@settings(max_examples=25)
@given(offsets, st.sampled_from([0.5, 1.0, 3.0, 1_000.0]))
def test_an_event_is_reached_when_it_is_due(since_us, speed):
    paced = pacing.anchor(pacing.original_times(speed), FIRST_US, NOW_US)
    event_us = FIRST_US + since_us
    due_us = paced.due_us(event_us)
    assert paced.due_to_us(due_us + 1) + speed >= event_us
    assert paced.due_to_us(due_us - 1) <= event_us


def test_at_speed_0_everything_is_due_at_once():
    paced = pacing.anchor(pacing.original_times(0), FIRST_US, NOW_US)
    assert paced.due_to_us(0) == LONG_MAX
    assert paced.due_us(LONG_MAX) == NOW_US


@settings(max_examples=25)
@given(spans, speeds, st.lists(offsets, min_size=1, max_size=5))
def test_a_column_is_moved_like_its_values(span, speed, since):
    paced = pacing.as_live(span, speed, NOW_US)
    times = [FIRST_US + each for each in since]
    frame = pl.DataFrame({"at": times}, schema={"at": pl.Int64})
    moved = frame.select(paced.move("at"))["at"].to_list()
    assert all(abs(a - paced.move_us(b)) <= 1 for a, b in zip(moved, times, strict=True))


@settings(max_examples=25)
@given(spans, speeds, st.integers(0, 10**6))
def test_a_position_restores_the_pacing_of_a_live_replay(span, speed, items):
    paced = pacing.as_live(span, speed, NOW_US)
    saved = pacing.position_of(paced, "f", items)
    assert (saved.fingerprint, saved.items, saved.follows_clock) == ("f", items, True)
    assert pacing.resume(saved) == paced


def test_original_times_continue_at_their_speed():
    saved = pacing.position_of(pacing.original_times(5.0), "f", 3)
    assert pacing.resume(saved) == pacing.original_times(5.0)


@pytest.mark.parametrize("speed", [SLOWEST / 2, 1e-9])
def test_a_speed_that_is_too_slow_names_the_slowest(speed):
    with pytest.raises(FeedError, match="too slow") as caught:
        pacing.as_live(Span(0, 1), speed, NOW_US)
    assert f"{SLOWEST:g}" in caught.value.hint


def test_trade_ids_of_two_replays_differ_after_a_millisecond():
    suffixes = {pacing.as_live(Span(0, 1), 1.0, NOW_US + n * 1_000).id_suffix for n in range(500)}
    assert len(suffixes) == 500 and all(suffix.isalnum() for suffix in suffixes)


@settings(max_examples=25)
@given(st.builds(Position, st.text(max_size=5), items=st.integers(0, LONG_MAX)))
def test_a_position_is_read_as_it_was_saved(tmp_path_factory, saved):
    file = tmp_path_factory.mktemp("position") / "new" / "p.json"
    position.save(file, saved)
    assert position.load(file) == saved
    assert [each.name for each in file.parent.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"fingerprint": "f", "unknown": 1}', b"\xff"]
)
def test_a_file_that_is_not_a_position_says_how_to_start_over(tmp_path, content):
    file = tmp_path / "p.json"
    file.write_bytes(content)
    with pytest.raises(FeedError, match=r"p\.json is not a position file") as caught:
        position.load(file)
    assert "--restart" in caught.value.hint


def test_a_missing_position_is_none(tmp_path):
    assert position.load(tmp_path / "p.json") is None


def test_a_position_of_an_older_version_has_defaults(tmp_path):
    file = tmp_path / "p.json"
    file.write_bytes(b'{"fingerprint": "f", "items": 3}')
    assert position.load(file) == Position("f", 3, stretch=1.0)
    assert Pacing(1.0).stretch == 1.0
