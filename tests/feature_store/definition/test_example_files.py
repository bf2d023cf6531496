"""A feature example file by its parts: reading, ticks, expected values, outcomes."""

import math
from datetime import UTC, datetime

import pytest
import yaml

from contracts.durations import SECOND_US
from contracts.features import AGGREGATES, FEATURES
from feature_store.definition import examples
from feature_store.definition.examples import ExampleError, FeatureExample, Outcome, read_example
from feature_store.definition.expressions import DefinitionError

TICKS = [[0.5, 100.0, 1.0, 1], [11.5, 102.0, 3.0, -1], [13.2, 102.0, 1.0]]
EXPECT = [{"at": 12, "volume_10s": 3.0}]
LINE = {"name": "mine", "formula": "{sv} / {n}", "unit": "base", "scale": 1e-3, "windows_s": [10]}
START_S = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())


def example(**fields) -> FeatureExample:
    return FeatureExample.model_validate({"ticks": TICKS, "expect": EXPECT, **fields})


def evaluate(**fields) -> list[Outcome]:
    made = example(**fields)
    return examples.evaluate_example(made, made.inline_ticks())


def read(folder, **fields) -> FeatureExample:
    file = folder / "example.yaml"
    file.write_text(yaml.safe_dump({"ticks": TICKS, "expect": EXPECT, **fields}))
    return read_example(file)


def test_a_file_is_read_with_its_defaults(tmp_path):
    made = read(tmp_path)
    assert (made.symbol, made.start_s, made.tolerance) == ("TEST:ONE", START_S, 1e-9)
    assert (made.all_features, made.all_aggregates) == (FEATURES, AGGREGATES)


def test_a_missing_file_names_one_that_exists(tmp_path):
    with pytest.raises(ExampleError, match=r"cannot read .*none.yaml: No such file") as error:
        read_example(tmp_path / "none.yaml")
    assert "docs/examples/feature-example.yaml" in error.value.hint


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ExampleError, match="Is a directory"):
        read_example(tmp_path)


@pytest.mark.parametrize("content", [b"a: {b: c", b"\xff\xfe\xff", b"a: b: c"])
def test_what_is_not_yaml_is_named(tmp_path, content):
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ExampleError, match="x.yaml is not valid YAML"):
        read_example(file)


@pytest.mark.parametrize("content", ["", "- 1", "text", "3"])
def test_yaml_that_is_not_a_mapping_is_wrong_as_a_whole(tmp_path, content):
    file = tmp_path / "x.yaml"
    file.write_text(content)
    with pytest.raises(ExampleError, match="x.yaml: the file: "):
        read_example(file)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"tolerance": 0}, "tolerance: "),
        ({"tolerance": 1.5}, "tolerance: "),
        ({"tolerance": math.inf}, "tolerance: "),
        ({"expect": []}, "expect: "),
        ({"start": "yesterday"}, "start: "),
        ({"features": [LINE, {"name": "x"}]}, "features → 2 → formula: "),
        ({"features": [LINE | {"of": "v"}]}, "features → 1: Value error, unknown field of "),
        ({"aggregates": [{"name": "x", "verb": "sum", "unti": 1}]}, "unknown field unti "),
        ({"features": ["mine"]}, "features → 1: "),
        ({"ticks": [[1.0, "x", 1.0]]}, "ticks → "),
        ({"colour": 1}, "colour: "),
    ],
)
def test_an_invalid_value_is_named_by_its_place(tmp_path, fields, where):
    with pytest.raises(ExampleError) as error:
        read(tmp_path, **fields)
    assert where in error.value.message


def test_an_unknown_field_is_shown_with_those_that_exist(tmp_path):
    with pytest.raises(ExampleError, match=r"\(fields: name, verb, of, step\)"):
        read(tmp_path, aggregates=[{"name": "x", "verb": "sum", "unti": 1}])


def test_lines_are_checked_when_the_file_is_read(tmp_path):
    with pytest.raises(DefinitionError, match="unknown aggregate {vs}"):
        read(tmp_path, features=[LINE | {"formula": "{vs}"}])


def test_a_line_of_an_existing_name_replaces_it_in_its_place():
    name = FEATURES[3].name
    made = example(features=[LINE | {"name": name}, LINE])
    names = [feature.name for feature in made.all_features]
    assert names == [*(feature.name for feature in FEATURES), "mine"]
    assert made.all_features[3].formula == LINE["formula"]


def test_rows_become_ticks_of_the_symbol_in_microseconds_since_1970():
    ticks = example(symbol="CME:ESU4").inline_ticks()
    assert ticks["event_time_us"].to_list() == [
        START_S * SECOND_US + us for us in (500_000, 11_500_000, 13_200_000)
    ]
    assert ticks["side"].to_list() == [1, -1, 0]
    assert ticks.select("venue", "symbol").unique().rows() == [("CME", "ESU4")]
    assert ticks["trade_id"].n_unique() == 3


def test_ticks_in_another_file_are_not_rows_of_this_one():
    assert example(ticks="trades.csv").inline_ticks().is_empty()


@pytest.mark.parametrize("row", [[], [1.0], [1.0, 2.0], [1.0, 2.0, 3.0, 1.0, 5.0]], ids=len)
def test_a_row_has_three_or_four_numbers(row):
    with pytest.raises(ExampleError, match="tick 2 is ") as error:
        example(ticks=[TICKS[0], row]).inline_ticks()
    assert error.value.hint.startswith("write [seconds from start, price, size, side]")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([0.5, 0.0, 1.0], "not_positive"),
        ([0.5, 1.0, -1.0], "not_positive"),
        ([400 * 86_400, 1.0, 1.0], "time_out_of_bounds"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named_with_its_reason(row, reason):
    with pytest.raises(ExampleError, match=f"tick 1 .* is invalid: {reason}") as error:
        example(ticks=[row]).inline_ticks()
    assert "tick dead-letters" in error.value.hint


@pytest.mark.parametrize(
    ("expected", "got", "ok"),
    [
        (1.0, 1.0, True),
        (1.0, 1.5, True),
        (1.0, 1.6, False),
        (None, None, True),
        (None, 0.0, False),
        (0.0, None, False),
        (1.0, math.nan, False),
        (math.nan, math.nan, False),
        (math.inf, math.inf, False),
    ],
)
def test_values_agree_within_the_allowed_difference_and_null_only_with_null(expected, got, ok):
    assert Outcome("A:B", 0, "x", expected, got, 0.5).ok is ok


def test_the_difference_is_signed_and_unknown_with_null():
    assert Outcome("A:B", 0, "x", 3.0, 2.5, 0).difference == -0.5
    assert Outcome("A:B", 0, "x", None, 2.5, 0).difference is None


def test_outcomes_come_in_the_order_of_the_file():
    expect = [{"at": 14, "trade_count_10s": 2}, {"at": 12, "volume_10s": 3, "hour_sin": 0}]
    outcomes = evaluate(expect=expect)
    assert [(o.feature, o.sec - START_S) for o in outcomes] == [
        ("trade_count_10s", 14),
        ("volume_10s", 12),
        ("hour_sin", 12),
    ]
    assert [o.ok for o in outcomes] == [True, True, False]


def test_the_allowed_difference_grows_with_the_value_and_not_below_the_scale():
    expect = [{"at": 12, "mine_10s": 2000, "volume_10s": 1e-9}]
    mine, volume = evaluate(features=[LINE], expect=expect, tolerance=1e-3)
    assert mine.allowed == pytest.approx(2.0)
    assert volume.allowed == pytest.approx(1e-6)


@pytest.mark.parametrize("at", [12, 12.0, "2024-01-01T00:00:12Z", "2024-01-01 01:00:12+01:00"])
def test_a_row_end_is_seconds_from_start_or_a_time(at):
    assert evaluate(expect=[{"at": at, "volume_10s": 3}])[0].sec == START_S + 12


def test_a_start_without_a_zone_is_utc():
    assert example(start="2024-01-01T00:00:00").start_s == START_S
    assert example(start="2024-01-01T01:00:00+01:00").start_s == START_S


def test_several_symbols_must_be_named():
    import polars as pl

    made = example()
    ticks = pl.concat([made.inline_ticks(), example(symbol="TEST:TWO").inline_ticks()])
    with pytest.raises(ExampleError, match="names no symbol") as error:
        examples.evaluate_example(made, ticks)
    assert error.value.hint == "set `symbol` to one of TEST:ONE, TEST:TWO"
    named = example(expect=[{"at": 12, "symbol": "TEST:TWO", "volume_10s": 3}])
    assert examples.evaluate_example(named, ticks)[0].symbol == "TEST:TWO"


def test_no_ticks_at_all_are_said():
    with pytest.raises(ExampleError) as error:
        evaluate(ticks=[])
    assert error.value.hint == "set `symbol` to one of (no ticks)"


@pytest.mark.parametrize(
    ("text", "value"),
    [(3, 3.0), (True, 1.0), ("LN(1)", 0.0), ("1e0 / 4", 0.25), ("NULL", None), (None, None)],
)
def test_an_expected_value_is_a_number_null_or_an_expression(text, value):
    assert evaluate(expect=[{"at": 12, "volume_10s": text}])[0].expected == value


@pytest.mark.parametrize("text", ["three", [1], {"a": 1}, "", "1 2"])
def test_any_other_expected_value_is_named(text):
    with pytest.raises(ExampleError, match="neither number, null nor expression"):
        evaluate(expect=[{"at": 12, "volume_10s": text}])


def test_a_missing_row_names_the_nearest_ones_in_order():
    ticks = [[float(second), 100.0, 1.0] for second in range(0, 100, 10)]
    with pytest.raises(ExampleError, match="tick_1s has no row of TEST:ONE") as error:
        evaluate(ticks=ticks, expect=[{"at": 46, "volume_10s": 1}])
    ends = [int(part.partition(")")[0]) for part in error.value.hint.split("(at: ")[1:]]
    assert ends == [21, 31, 41, 51, 61]
