"""Batches are validated like single messages: the vectorised rules agree with `parse()`."""

import random

import polars as pl

from contracts.messages.encoding import encode as encode_one
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from streaming.feeds.tick_frame import SCHEMA, conform, empty, encode, reject_reasons
from streaming.feeds.types import ROW, Chunk
from streaming.feeds.validator import Validator

NOW_US = 1_760_000_000_000_000
# Good values and every edge of every rule.
CHOICES = {
    "venue": ["V", "V" * 32, "V" * 33, "", "A:B", "é"],
    "symbol": ["S", "S:T", "S" * 33],
    "event_time_us": [
        NOW_US,
        NOW_US + 5_000_000,
        NOW_US + 5_000_001,
        631_152_000_000_000,
        631_151_999_999_999,
        -1,
        2**63 - 1,
    ],
    "ingest_time_us": [NOW_US, 0, 631_152_000_000_000],
    "price": [1.5, 1e-9, 9.9e-10, 1e9, 1.1e9, 0.0, -1.0, 1e-300],
    "size": [2.0, 1e-9, 1e12, 1.1e12, 0.0, -0.0, 1e-10],
    "side": [1, -1, 0, 2, -2],
    "trade_id": ["1", "a:b", "x" * 64, "x" * 65, ""],
    "seq": [0, 1, 2**63 - 1, -1],
    "bid": [None, 1.0, 2.0],
    "ask": [None, 1.0, 2.0, 0.5],
    "bid_size": [None, 1.0],
    "ask_size": [None, 1.0],
}


def edge_cases(count, seed):
    """Mostly valid rows, with a few fields at or beyond a bound."""
    rng = random.Random(seed)
    rows = [
        {name: rng.choice(v) if rng.random() < 0.15 else v[0] for name, v in CHOICES.items()}
        for _ in range(count)
    ]
    return conform(pl.DataFrame(rows, schema=SCHEMA))


def test_a_batch_is_judged_like_its_messages():
    frame = edge_cases(20_000, seed=1)
    parsed = [parse(message, NOW_US) for message in encode(frame)]
    expected = [one.reason.value if isinstance(one, Rejected) else None for one in parsed]
    assert reject_reasons(frame, NOW_US).to_list() == expected
    assert len(set(expected)) >= 6  # all rules had their turn


def test_batch_and_single_encoding_are_one_wire_form():
    frame = edge_cases(2_000, seed=2)
    parsed = [parse(message, NOW_US) for message in encode(frame)]
    ticks = [one for one in parsed if not isinstance(one, Rejected)]
    assert [parse(encode_one(tick), NOW_US) for tick in ticks] == ticks
    accepted = frame.filter(reject_reasons(frame, NOW_US).is_null())
    assert [tuple(tick) for tick in ticks] == accepted.rows()


def test_nothing_is_lost_between_accepted_and_rejected():
    frame = edge_cases(5_000, seed=3).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    batch = Validator("file", NOW_US).batch(
        Chunk(frame, lambda rows: [str(row).encode() for row in rows])
    )
    rows = sorted([*batch.rows.to_list(), *(reject.row for reject in batch.rejected)])
    assert rows == list(range(5_000))
    assert all(reject.rejected.raw == str(reject.row).encode() for reject in batch.rejected)


def test_not_a_number_is_refused():
    frame = conform(
        edge_cases(3, seed=4).with_columns(
            price=pl.Series([float("nan"), float("inf"), None]), venue=pl.lit("V")
        )
    )
    assert reject_reasons(frame, NOW_US).to_list() == ["invalid_field"] * 3


def test_an_empty_batch_is_a_batch():
    assert (dict(empty().schema), encode(empty()), reject_reasons(empty(), NOW_US).len()) == (
        SCHEMA,
        [],
        0,
    )
