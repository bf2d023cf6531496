"""Messages of topic `ticks`: every field by its name, absent quotes left out."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.fields import names
from contracts.messages.encoding import encode, heartbeat
from contracts.messages.parsing import parse
from contracts.tick import (
    EVENT_TIME_US_MIN,
    FUTURE_US_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_FIELDS,
    QUOTES,
    SCHEMA_VERSION,
    Reason,
    Rejected,
    Tick,
)

NOW_US = 1_750_000_000_000_000
TICK = Tick("V", "S", NOW_US, NOW_US, 100.0, 2.0, 1, "t", 7)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), min_size=1)
quotes = st.none() | st.floats(1e-9, 1e9)
ticks = st.builds(
    Tick,
    venue=texts.filter(lambda text: len(text) <= 32),
    symbol=texts.filter(lambda text: len(text) <= 32),
    event_time_us=st.integers(EVENT_TIME_US_MIN, NOW_US + FUTURE_US_MAX),
    ingest_time_us=st.integers(EVENT_TIME_US_MIN, 2**63 - 1),
    price=st.floats(1e-3, 1e6),
    size=st.floats(1e-3, 1e6),
    side=st.sampled_from((-1, 0, 1)),
    trade_id=texts.filter(lambda text: len(text) <= 64),
    seq=st.integers(0, 2**63 - 1),
    bid=st.none() | st.floats(1e-9, 1.0),
    ask=st.none() | st.floats(1.0, 1e9),
    bid_size=quotes,
    ask_size=quotes,
)


@given(ticks)
def test_any_valid_tick_comes_back_as_it_was(tick):
    assert parse(encode(tick), NOW_US) == tick


def test_a_message_has_the_fields_of_the_contract_in_their_order():
    quoted = TICK._replace(bid=1.0, ask=2.0, bid_size=3.0, ask_size=4.0)
    written = list(orjson.loads(encode(quoted)))
    assert written == [name for name in names(MESSAGE_FIELDS) if name != "heartbeat"]


@pytest.mark.parametrize("name", QUOTES)
def test_only_quotes_that_are_present_are_written(name):
    fields = orjson.loads(encode(TICK._replace(**{name: 1.5})))
    assert {quote for quote in QUOTES if quote in fields} == {name}


def test_a_heartbeat_has_a_time_and_is_never_a_tick():
    fields = orjson.loads(heartbeat(NOW_US))
    assert fields == {
        "schema_version": SCHEMA_VERSION,
        "heartbeat": True,
        "event_time_us": NOW_US,
    }
    assert parse(heartbeat(NOW_US), NOW_US).reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("mark", [True, "true", "TRUE", " true "])
def test_a_complete_tick_that_is_marked_as_a_heartbeat_is_not_counted(mark):
    message = orjson.dumps(orjson.loads(encode(TICK)) | {"heartbeat": mark})
    rejected = parse(message, NOW_US)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.detail) == (Reason.INVALID_FIELD, "heartbeat")


@pytest.mark.parametrize("mark", [False, None, "no", 1])
def test_any_other_mark_changes_nothing(mark):
    message = orjson.dumps(orjson.loads(encode(TICK)) | {"heartbeat": mark})
    assert parse(message, NOW_US) == TICK


def test_the_longest_tick_is_far_below_the_longest_message():
    name, trade_id = "\U0001f600" * 32, "\x00" * 64  # four bytes each; six as an escape
    longest = TICK._replace(venue=name, symbol=name, trade_id=trade_id, bid=5e-324, ask=5e-324)
    assert parse(encode(longest), NOW_US) == longest
    assert len(encode(longest)) * 50 < MESSAGE_BYTES_MAX
