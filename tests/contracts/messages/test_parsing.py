"""`parse()` never raises, and reports why a message is not a valid tick."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.messages.encoding import encode, heartbeat
from contracts.messages.parsing import parse
from contracts.tick import FUTURE_US_MAX, MESSAGE_BYTES_MAX, Reason, Rejected, Tick

NOW = 1_750_000_000_000_000
TICK = Tick("BINANCE", "BTCUSDT", NOW, NOW + 500, 60_000.5, 0.001, -1, "42", 42)
GOOD = json.loads(encode(TICK))


def changed(**fields) -> bytes:
    return json.dumps(
        {name: value for name, value in (GOOD | fields).items() if value is not ...}
    ).encode()


def test_round_trip() -> None:
    assert parse(encode(TICK), NOW) == TICK
    quoted = TICK._replace(bid=60_000.0, ask=60_001.0, bid_size=1.0, ask_size=2.0)
    assert parse(encode(quoted), NOW) == quoted


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.MALFORMED_JSON),
        (b"nope", Reason.MALFORMED_JSON),
        (b"[1]", Reason.MALFORMED_JSON),
        (b"\xff\xfe{}", Reason.MALFORMED_JSON),
        (b"[" * 60_000, Reason.MALFORMED_JSON),
        (b"[" * 100_000, Reason.TOO_LONG),
        (encode(TICK).ljust(MESSAGE_BYTES_MAX + 1), Reason.TOO_LONG),
        (heartbeat(NOW).ljust(MESSAGE_BYTES_MAX + 1), Reason.TOO_LONG),
        (changed(price=[{"a": 1}] * 1000), Reason.INVALID_FIELD),
        (b'{"price": NaN}', Reason.MALFORMED_JSON),
        (changed(schema_version=2), Reason.UNKNOWN_SCHEMA_VERSION),
        (changed(price=...), Reason.INVALID_FIELD),
        (changed(price="abc"), Reason.INVALID_FIELD),
        (changed(price=True), Reason.INVALID_FIELD),
        (changed(symbol=""), Reason.INVALID_FIELD),
        (changed(symbol="A:B"), Reason.INVALID_FIELD),
        (changed(symbol="X" * 33), Reason.INVALID_FIELD),
        (changed(seq=2**63), Reason.INVALID_FIELD),
        (heartbeat(NOW), Reason.INVALID_FIELD),
        (changed(price=0), Reason.NOT_POSITIVE),
        (changed(size=-1), Reason.NOT_POSITIVE),
        (changed(price=1e10), Reason.OUT_OF_RANGE),
        (changed(side=2), Reason.OUT_OF_RANGE),
        (changed(seq=-1), Reason.OUT_OF_RANGE),
        (changed(event_time_us=0), Reason.TIME_OUT_OF_BOUNDS),
        (changed(event_time_us=NOW + FUTURE_US_MAX + 1), Reason.TIME_OUT_OF_BOUNDS),
        (changed(bid=2.0, ask=1.0), Reason.CROSSED_QUOTE),
    ],
)
def test_rejects_with_a_reason(raw: bytes, reason: Reason) -> None:
    outcome = parse(raw, NOW)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.raw) == (reason, raw)


def test_what_is_read_leniently() -> None:
    for lenient in (
        changed(price="60000.5"),
        changed(trade_id=42),
        changed(seq=42.9),
        changed(unknown={"a": [1]}),
    ):
        assert parse(lenient, NOW) == TICK
    assert parse(changed(unknown=[[]] * 1000 + ["]" * 1000]), NOW) == TICK
    assert parse(encode(TICK) + b"[" * 1000, NOW) == TICK
    assert parse(encode(TICK).ljust(MESSAGE_BYTES_MAX), NOW) == TICK


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_json_is_a_value(value) -> None:
    assert isinstance(parse(json.dumps(value).encode(), NOW), Rejected)


def test_never_raises_on_100_000_mutations() -> None:
    rng = random.Random(5)
    odd = [
        b'"',
        b"{",
        b"}",
        b"\\",
        b"\x00",
        b"\xff",
        b"1e999",
        b"null",
        b"true",
        b"-",
        b"9" * 30,
        b'""',
        b"[[",
        b"\\ud800",
        b"NaN",
        b":",
        b",",
    ]
    message = encode(TICK)
    outcome = set()
    for _ in range(100_000):
        at, length = rng.randrange(len(message)), rng.randrange(6)
        mutated = message[:at] + rng.choice(odd) + message[at + length :]
        answer = parse(mutated, NOW)
        outcome.add(type(answer))
        assert isinstance(answer, Tick) or (isinstance(answer, Rejected) and answer.raw == mutated)
    assert outcome == {Tick, Rejected}
