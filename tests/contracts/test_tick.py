"""The tick contract: its rules as text that Python, polars and SQL can evaluate alike."""

import re

import pytest

from contracts.fields import Field, Kind, names
from contracts.tick import (
    EVENT_TIME_US_MIN,
    FIELDS,
    FUTURE_US_MAX,
    MESSAGE_FIELDS,
    NOTIONAL_MAX,
    PRICE_MAX,
    PRICE_MIN,
    RULES,
    SIZE_MAX,
    SIZE_MIN,
    Reason,
    Tick,
)

NOW_US = 1_750_000_000_000_000
GOOD = {
    **Tick("V", "S", NOW_US, NOW_US, 100.0, 2.0, 1, "t", 7, 99.0, 101.0, 1.0, 1.0)._asdict(),
    "schema_version": 1,
    "received_us": NOW_US,
}


def first_reason(**changes: object) -> Reason | None:
    return next((reason for reason, rule in RULES if eval(rule, {}, GOOD | changes)), None)


def test_a_good_tick_breaks_no_rule():
    assert first_reason() is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 0}, Reason.UNKNOWN_SCHEMA_VERSION),
        ({"schema_version": 2}, Reason.UNKNOWN_SCHEMA_VERSION),
        ({"price": 0.0}, Reason.NOT_POSITIVE),
        ({"size": -0.5}, Reason.NOT_POSITIVE),
        ({"price": PRICE_MIN / 2, "size": SIZE_MAX}, Reason.OUT_OF_RANGE),
        ({"price": PRICE_MAX * 1.0001, "size": 0.001}, Reason.OUT_OF_RANGE),
        ({"size": SIZE_MIN / 2, "price": 1e6}, Reason.OUT_OF_RANGE),
        ({"size": SIZE_MAX * 1.0001, "price": 1e-3}, Reason.OUT_OF_RANGE),
        ({"price": 1e9, "size": 2e6}, Reason.OUT_OF_RANGE),
        ({"price": 1e-5, "size": 1e-5}, Reason.OUT_OF_RANGE),
        ({"side": 2}, Reason.OUT_OF_RANGE),
        ({"side": -2}, Reason.OUT_OF_RANGE),
        ({"seq": -1}, Reason.OUT_OF_RANGE),
        ({"event_time_us": EVENT_TIME_US_MIN - 1}, Reason.TIME_OUT_OF_BOUNDS),
        ({"event_time_us": NOW_US + FUTURE_US_MAX + 1}, Reason.TIME_OUT_OF_BOUNDS),
        ({"ingest_time_us": EVENT_TIME_US_MIN - 1}, Reason.TIME_OUT_OF_BOUNDS),
        ({"bid": 101.5}, Reason.CROSSED_QUOTE),
    ],
)
def test_a_value_beyond_a_bound_has_its_reason(changes, reason):
    assert first_reason(**changes) is reason


@pytest.mark.parametrize(
    "changes",
    [
        {"price": PRICE_MIN, "size": 1e3},
        {"price": PRICE_MAX, "size": 1e-3},
        {"size": SIZE_MIN, "price": 1e3},
        {"size": SIZE_MAX, "price": 1e-3},
        {"price": 1e9, "size": NOTIONAL_MAX / 1e9},
        {"side": -1},
        {"side": 0},
        {"seq": 0},
        {"event_time_us": EVENT_TIME_US_MIN},
        {"event_time_us": NOW_US + FUTURE_US_MAX},
        {"ingest_time_us": 2**63 - 1},
        {"bid": 101.0},
    ],
)
def test_a_value_at_a_bound_is_accepted(changes):
    assert first_reason(**changes) is None


def test_of_several_broken_rules_the_first_reason_counts():
    assert first_reason(price=-1.0, side=9, bid=200.0) is Reason.NOT_POSITIVE
    assert first_reason(side=9, bid=200.0) is Reason.OUT_OF_RANGE


def test_rules_are_in_the_order_of_the_reasons():
    order = list(Reason)
    positions = [order.index(reason) for reason, _ in RULES]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("rule", [rule for _, rule in RULES])
def test_a_rule_uses_only_what_all_three_languages_share(rule):
    words = set(re.findall(r"[a-z_]+(?![\w.])", re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "0", rule)))
    assert words <= {*names(MESSAGE_FIELDS), "received_us", "or"}
    assert not re.search(r"[^\w\s.<>=*+\-]|==", rule)


def test_a_field_with_a_length_is_a_required_text():
    for field in FIELDS:
        assert bool(field.chars_max) is (field.kind is Kind.TEXT)
        assert field.required or field.kind is Kind.REAL


def test_the_key_is_venue_and_symbol():
    assert Tick("BINANCE", "BTCUSDT", 1, 1, 1.0, 1.0, 0, "t", 0).key == "BINANCE:BTCUSDT"


def test_names_of_some_kinds_keep_the_order():
    fields = (Field("a", Kind.INT), Field("b", Kind.TEXT), Field("c", Kind.LONG))
    assert names(fields) == ("a", "b", "c")
    assert names(fields, Kind.LONG, Kind.INT) == ("a", "c")
    assert names(fields, Kind.FLAG) == ()
