"""Feature lines are checked before any computation; errors name what Flink would reject."""

from dataclasses import replace

import pytest

from contracts.features import AGGREGATES, FEATURES, Aggregate, Feature
from feature_store.definition.checks import check_lines
from feature_store.definition.expressions import DefinitionError, names_in

LINE = Feature("mine", "{v} / {n}", "base", 1e-3)
SUM = Aggregate("x", "sum", "v * v", 1e-6)


def test_the_platform_s_own_lines_pass():
    check_lines(FEATURES, AGGREGATES)
    check_lines((*FEATURES, LINE), (*AGGREGATES, SUM))


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("{volumes} / {n}", "unknown aggregate {volumes}"),
        ("{v} / {n", "braces"),
        ("{v} / day", "'day' is a reserved SQL word"),
        ("v / {n}", "'v' is a reserved SQL word, or unknown"),
        ("LOG({v})", "'LOG'"),
        ("{v} ^ 2", r"\^ is not allowed"),
        ("{v} != 0", "! is not allowed"),
        ("{v}; DROP TABLE x", "; is not allowed"),
        ("1 / 2 * {v}", "divides integers"),
        ("(2 + 3) / 4 * {v}", "divides integers"),
        ("", "needs a formula"),
    ],
)
def test_a_wrong_formula_is_refused_by_name(formula, message):
    for line in (replace(LINE, formula=formula), replace(LINE, null_if=formula)):
        if formula or line.formula == "":
            with pytest.raises(DefinitionError, match=message) as error:
                check_lines((line,), AGGREGATES)
            assert error.value.hint


@pytest.mark.parametrize(
    "formula",
    [
        "{v} / 2",
        "1e0 / 2 * {v}",
        "2 / {v}",
        "POWER({v}, 2)",
        "CASE WHEN {n} > 1 THEN {v} END",
        "1.5 * {pi} / {w}",
    ],
)
def test_a_sound_formula_passes(formula):
    check_lines((replace(LINE, formula=formula),), AGGREGATES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Mine"}, "is not a valid feature name"),
        ({"name": "log_return"}, "two lines define feature"),
        ({"name": "hour_sin"}, "two lines"),
        ({"scale": 0.0}, "scale above zero"),
        ({"scale": float("nan")}, "scale above zero"),
        ({"windows_s": (17,)}, "no window of 17 s"),
        ({"windows_s": ()}, "needs a window"),
        ({"windows_s": (10,), "core": (60,)}, "may only contain its windows"),
    ],
)
def test_a_wrong_feature_is_refused_by_name(change, message):
    with pytest.raises(DefinitionError, match=message):
        check_lines((*FEATURES, replace(LINE, **change)), AGGREGATES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verb": "mean"}, "unknown verb 'mean'"),
        ({"verb": "rows"}, "has no `of`"),
        ({"of": ""}, "has no `of`"),
        ({"of": "volume * 2"}, "'volume'"),
        ({"of": "value"}, "'value' is a reserved SQL word"),
        ({"step": 3e-4}, "not a power of ten"),
        ({"step": -1.0}, "not a power of ten"),
        ({"step": None}, "needs a `step`"),
        ({"verb": "max"}, "only sums have a `step`"),
        ({"verb": "sum_inner"}, "can only use r and r1"),
        ({"name": "pi"}, "reserved"),
        ({"name": "oldest"}, "reserved"),
        ({"name": "pv_hi"}, "reserved"),
        ({"name": "x_0_over"}, "reserved"),
        ({"verb": "overflows"}, "has no `of`"),
        ({"name": "rows"}, "two lines define aggregate"),
    ],
)
def test_a_wrong_aggregate_is_refused_by_name(change, message):
    with pytest.raises(DefinitionError, match=message):
        check_lines((*FEATURES, LINE), (*AGGREGATES, replace(SUM, **change)))


def test_a_misspelt_aggregate_is_guessed():
    with pytest.raises(DefinitionError) as error:
        check_lines((replace(LINE, formula="{sv2_smal}"),), AGGREGATES)
    assert "sv2_small" in error.value.hint


@pytest.mark.parametrize(
    ("feature", "aggregate", "message", "hint"),
    [
        ({"name": "1st"}, {}, "'1st' is not a valid feature name", "beginning with a letter"),
        ({"name": "log_return"}, {}, "feature 'log_return'", "rename one of them"),
        ({"formula": "{sv2}"}, {}, "feature mine: unknown aggregate {sv2}", "did you mean s"),
        ({"formula": "{zzzzz}"}, {}, "unknown aggregate {zzzzz}", "choose one of: close, high"),
        ({"scale": float("inf")}, {}, "and has scale inf", "set `scale` to the size below"),
        ({"formula": "  "}, {}, "needs a formula", "set `scale`"),
        ({"core": (17,)}, {}, "no window of 17 s", "choose from 10, 60, 300, 900, 3600 s"),
        ({"windows_s": ()}, {}, "only contain its windows, ()", "correct windows_s or core"),
        ({}, {"name": "oldest"}, "aggregate oldest: this name is reserved", "choose another name"),
        ({}, {"verb": "summ"}, "aggregate x: unknown verb 'summ'", "did you mean sum"),
        ({}, {"verb": "rows"}, "a count (rows, overflows) has no `of`", "high, low, close_price"),
        ({}, {"step": None}, "aggregate x: a sum of fractions needs a `step`", "a power of ten"),
        ({}, {"verb": "min"}, "only sums have a `step`, min takes", "remove the step"),
        ({}, {"step": 0.5}, "the step 0.5 is not a power of ten", "use one, such as 1e-4"),
        ({}, {"step": float("inf")}, "the step inf is not", "use one"),
        ({}, {"step": float("nan")}, "the step nan is not", "use one"),
        ({}, {"step": 0.0}, "the step 0 is not", "use one"),
        ({}, {"verb": "sum_inner", "of": "r * v + n"}, "r and r1, not n, r, v", "use the verb sum"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_to_write(feature, aggregate, message, hint):
    lines = (*FEATURES, replace(LINE, **feature)), (*AGGREGATES, replace(SUM, **aggregate))
    with pytest.raises(DefinitionError) as error:
        check_lines(*lines)
    assert message in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize("of", ["n", "s", "n * s", "CASE WHEN s > 0 THEN n ELSE 0 END"])
def test_a_sum_of_whole_numbers_needs_no_step(of):
    check_lines(FEATURES, (*AGGREGATES, Aggregate("x", "sum", of)))


@pytest.mark.parametrize("of", ["n / s", "n * v", "r", "high"])
def test_any_other_sum_needs_one(of):
    with pytest.raises(DefinitionError, match="a sum of fractions needs a `step`"):
        check_lines(FEATURES, (*AGGREGATES, Aggregate("x", "sum", of)))


@pytest.mark.parametrize("power", range(-18, 13))
def test_every_power_of_ten_is_a_step(power):
    check_lines(FEATURES, (*AGGREGATES, replace(SUM, step=float(f"1e{power}"))))


@pytest.mark.parametrize("verb", ["last", "max", "min"])
def test_a_value_as_it_is_needs_no_step(verb):
    check_lines(FEATURES, (*AGGREGATES, Aggregate("x", verb, "high - low")))


def test_the_first_of_several_mistakes_is_reported():
    wrong = replace(SUM, verb="mean", step=3.0, of="volume")
    with pytest.raises(DefinitionError, match="unknown verb"):
        check_lines((replace(LINE, scale=0.0),), (*AGGREGATES, wrong))


def test_no_lines_are_valid():
    check_lines((), ())


def test_names_are_those_in_braces():
    assert names_in("{a} + {b} * {a}", "{c} = 0") == {"a", "b", "c"}
