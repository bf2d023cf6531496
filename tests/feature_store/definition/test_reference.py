"""Two evaluators without shared code agree: the reference implementation and the tests' oracle."""

import math
import random
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.features import COLUMNS, FEATURES, Aggregate, Feature, columns
from contracts.tick import Tick
from contracts.windows import LEVELS
from feature_store.definition import reference
from feature_store.definition.expressions import DefinitionError
from tests.support import oracle
from tests.support.streams import Character, characters, ticks

START_US = 1_711_843_200_000_000  # 2024-03-31T00:00Z: Europe changes its clocks that night
SCALE = {column.name: column.scale for column in COLUMNS}
EXACT = ("warm_s", "known_at_us")
CHARACTERS = (
    Character(
        1, 60_000.0, 1e-7, 1.0, 160, 4, 0.5, 0, 1.0, 0.0
    ),  # ties, duplicates, tiny variance at a large price
    Character(
        2, 0.0123, 1e-4, 250.0, 160, 1, 0.0, 2000, 1.2, 1e9
    ),  # a hole, a spike, one huge print
    Character(3, 2_345.67, 1e-6, 0.01, 120, 2, 0.1, 700, 0.8, 1e9),
)


def frame_of(made: list[Tick]) -> pl.DataFrame:
    return pl.DataFrame(made, list(Tick._fields), orient="row", infer_schema_length=None)


def stream(character: Character, symbol: str = "A", start_us: int = START_US) -> list[Tick]:
    return [tick for _, tick in ticks(character, symbol, start_us)]


def keyed(made: dict[str, pl.DataFrame]) -> dict[tuple[str, str, int], dict]:
    return {
        (view, row["symbol"], row["event_time_us"] // 1_000_000): row
        for view, f in made.items()
        for row in f.iter_rows(named=True)
    }


def assert_same(made: dict[str, pl.DataFrame], markets: dict[str, list[Tick]]) -> None:
    rows = keyed(made)
    expected = {
        (view, f"PROP:{name}", sec): row
        for name, own in markets.items()
        for (view, sec), row in oracle.rows(own).items()
    }
    assert rows.keys() == expected.keys()
    wrong = [
        (key, n, value, row[n])
        for key, row in expected.items()
        for n, value in rows[key].items()  # a feature without an oracle is a KeyError
        if n not in ("symbol", "sec", "event_time_us") and not same(n, value, row[n])
    ]
    assert not wrong, f"{len(wrong)} values differ, e.g. {wrong[:5]}"


def same(name: str, got: float | None, value: float | None) -> bool:
    if got is None or value is None or name in EXACT:
        return got == value
    return abs(got - value) <= 1e-9 * max(abs(value), SCALE[name])


@pytest.mark.parametrize("character", CHARACTERS, ids=lambda c: f"price {c.price:g}")
def test_reference_is_the_oracle(character):
    assert_same(reference.features(frame_of(stream(character))), {"A": stream(character)})


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(
    market=st.lists(characters, min_size=1, max_size=2),
    start_s=st.integers(0, 86_400),
    order=st.randoms(use_true_random=False),
)
def test_reference_is_the_oracle_for_any_market_and_order(market, start_s, order):
    start_us = START_US + start_s * 1_000_000
    markets = {
        f"M{i}": stream(replace(c, seed=c.seed + i), f"M{i}", start_us)
        for i, c in enumerate(market)
    }
    shuffled = [tick for own in markets.values() for tick in own]
    order.shuffle(shuffled)
    assert_same(reference.features(frame_of(shuffled)), markets)


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return frame_of(
        [
            tick
            for i, name in enumerate("AB")
            for tick in stream(replace(CHARACTERS[i], seed=9), name)
        ]
    )


@pytest.fixture(scope="module")
def everything(market) -> dict[str, pl.DataFrame]:
    return reference.features(market)


def test_the_columns_are_those_of_the_contract(everything):
    for level in LEVELS:
        assert everything[level.view].columns == [
            "symbol",
            "event_time_us",
            "known_at_us",
            "warm_s",
            *(c.name for c in columns(level)),
        ]


def test_a_sample_of_rows_is_the_same_as_those_rows_of_all(market, everything):
    all_rows = keyed(everything)
    assert set(all_rows) == {
        (level.view, *row)
        for level in LEVELS
        for row in reference.row_ends(market, level).iter_rows()
    }
    sample = random.Random(4).sample(sorted(all_rows), 40)
    assert keyed(reference.features(market, only=sample)) == {key: all_rows[key] for key in sample}


def test_a_range_of_seconds_is_the_same_as_those_rows_of_all(market, everything):
    seconds = range(START_US // 1_000_000 + 3700, START_US // 1_000_000 + 4000)
    selected = {key: row for key, row in keyed(everything).items() if key[2] in seconds}
    assert selected and keyed(reference.features(market, only=seconds)) == selected


def test_nothing_asked_and_no_ticks_give_empty_views(market):
    for made in (reference.features(market, only=()), reference.features(market.clear())):
        assert [(view, len(f)) for view, f in made.items()] == [(level.view, 0) for level in LEVELS]
        assert all(
            made[level.view].columns[4:] == [c.name for c in columns(level)] for level in LEVELS
        )


def test_cutting_the_feed_changes_no_earlier_row(market, everything):
    cut_s = START_US // 1_000_000 + 3900
    early = reference.features(market.filter(pl.col("event_time_us") < cut_s * 1_000_000))
    ended = {key: row for key, row in keyed(everything).items() if key[2] <= cut_s}
    assert {key: row for key, row in keyed(early).items() if key[2] <= cut_s} == ended


def tick_at(second: float, price: float, size: float = 1.0, side: int = 1, seq: int = 0) -> Tick:
    us = START_US + round(second * 1e6)
    return Tick("T", "X", us, us, price, size, side, f"{second}-{seq}", seq)


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [
        (Aggregate("x", "last", "v"), 4.0),
        (Aggregate("x", "max", "v * s"), 4.0),
        (Aggregate("x", "min", "sv"), -3.0),
        (Aggregate("x", "sum", "CASE WHEN s > 0 THEN n ELSE 0 END"), 2.0),
        (Aggregate("x", "sum_inner", "r", 1e-12), math.log(104.0 / 101.0)),
        (Aggregate("x", "rows"), 3.0),
    ],
    ids=lambda a: a.verb if isinstance(a, Aggregate) else "",
)
def test_each_verb_by_hand(aggregate, value):
    made = frame_of(
        [
            tick_at(0.5, 100.0),
            tick_at(20.5, 101.0, 2.0),
            tick_at(22.5, 102.0, 3.0, -1),
            tick_at(25.5, 104.0, 4.0),
        ]
    )
    line = Feature("f", "{x}", "1", 1.0, windows_s=(10,))
    row = reference.features(made, (line,), (aggregate,), LEVELS[:1])["tick_1s"].row(-1, named=True)
    assert row["warm_s"] == 25
    assert row["f_10s"] == pytest.approx(value, rel=1e-14)


def test_among_equal_times_and_numbers_the_largest_text_is_the_close():
    made = frame_of(
        [
            tick_at(0.5, 1.0),
            tick_at(11.5, 99.0, seq=7),
            tick_at(11.5, 100.0, seq=7)._replace(trade_id="other"),
        ]
    )
    line = Feature("f", "{close}", "1", 1.0, windows_s=(10,))
    assert reference.features(made, (line,), levels=LEVELS[:1])["tick_1s"]["f_10s"].to_list() == [
        None,
        99.0,
    ]


@pytest.mark.parametrize("formula", ["{n} +", "{n} + nonsense", "MEDIAN({n})"])
def test_a_formula_that_cannot_be_computed_is_named(formula):
    with pytest.raises(DefinitionError, match="f_10s"):
        reference.features(
            frame_of([tick_at(0.5, 1.0)]), (*FEATURES, Feature("f", formula, "1", 1.0))
        )


@pytest.mark.parametrize(
    ("of", "step"), [("v * v", 1e-18), ("1 / (s - 1e0)", 1e-6), ("LN(v - 2)", 1e-6)]
)
def test_strict_refuses_what_the_sums_of_the_sql_cannot_hold(of, step):
    ticks_of_two = frame_of([tick_at(0.5, 100.0), tick_at(11.5, 101.0, 2.0)])
    lines = (
        (Feature("f", "{x}", "1", 1.0, windows_s=(10,)),),
        (Aggregate("x", "sum", of, step),),
        LEVELS[:1],
    )
    with pytest.raises(DefinitionError, match="aggregate x"):
        reference.features(ticks_of_two, *lines, strict=True)
