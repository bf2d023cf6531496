"""Expressions of a definition: the words allowed in both engines, evaluation, the failing one."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.definition.expressions import (
    FUNCTIONS,
    WORDS,
    DefinitionError,
    check,
    evaluate,
    names_in,
)

TABLE = pl.DataFrame({"a": [1, 2, None], "b": [0.5, 0.0, 4.0]})


@pytest.mark.parametrize("text", ["{a", "a}", "{a}}", "{"])
def test_unbalanced_braces_are_named(text):
    with pytest.raises(DefinitionError, match="unbalanced braces in") as error:
        names_in(text)
    assert error.value.hint == "write an aggregate as {name}"


def test_every_allowed_word_passes_in_any_case():
    for word in FUNCTIONS | WORDS:
        check("feature x", f"{word} {word.lower()}")


def test_columns_are_allowed_only_where_they_are_given():
    check("aggregate x", "high - low", ("high", "low"))
    with pytest.raises(DefinitionError, match="'high' is a reserved SQL word") as error:
        check("feature x", "high - 1")
    assert error.value.hint.startswith("write aggregates in {braces}; functions: ABS, ")
    with pytest.raises(DefinitionError) as error:
        check("aggregate x", "hihg", ("high", "low"))
    assert error.value.hint.startswith("columns: high, low; functions: ")


@pytest.mark.parametrize("sign", list("!%&;:'\"|~^[]?@#$\\`"))
def test_a_sign_that_the_engines_read_differently_is_refused(sign):
    with pytest.raises(DefinitionError, match="feature x: .* is not allowed in a formula"):
        check("feature x", f"{{a}} {sign} 2")


def test_all_strange_signs_are_listed_sorted():
    with pytest.raises(DefinitionError, match=r"feature x: ! % ; is not allowed"):
        check("feature x", "{a};%!;")


@pytest.mark.parametrize("text", ["1/2", "1 / 2", "(1) / (2)", "3*4 /5"])
def test_a_division_of_integers_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(DefinitionError, match="divides integers") as error:
        check("feature x", text)
    assert "e0 / …" in error.value.hint


@pytest.mark.parametrize("text", ["1e0/2", "1.0 / 2", "{a} / 2", "2 / {a}", "1 / 2.5", "x1 / 2"])
def test_a_division_with_a_double_passes(text):
    check("feature x", text, ("x1",))


def test_values_come_row_by_row_as_doubles():
    frame = evaluate(TABLE, {"sum": "a + b", "whole": "a", "bigger": "CASE WHEN b > 1 THEN 1 END"})
    assert frame.schema == dict.fromkeys(("sum", "whole", "bigger"), pl.Float64)
    assert frame.rows() == [(1.5, 1.0, None), (2.0, 2.0, None), (None, None, 1.0)]


def test_no_expressions_give_no_columns():
    assert evaluate(TABLE, {}).shape == (0, 0)


def test_no_rows_give_typed_columns():
    assert evaluate(TABLE.clear(), {"x": "a + b"}).schema == {"x": pl.Float64}


@pytest.mark.parametrize("wrong", ["a +", "c", "LN('x')", "CAST('x' AS DOUBLE)"])
def test_the_first_expression_that_fails_is_named_with_its_text(wrong):
    with pytest.raises(DefinitionError, match="second cannot be computed: ") as error:
        evaluate(TABLE, {"first": "a", "second": wrong, "third": "nothing"})
    assert error.value.hint == f"correct the expression: {wrong}"
    assert "\n" not in error.value.message


def test_an_aggregate_of_the_engine_next_to_a_value_per_row_is_refused():
    with pytest.raises(DefinitionError, match="GROUP BY"):
        evaluate(TABLE, {"x": "MEDIAN(a)", "y": "b"})


def test_after_a_failure_the_next_evaluation_works():
    with pytest.raises(DefinitionError):
        evaluate(TABLE, {"x": "nonsense"})
    assert evaluate(TABLE, {"x": "b"})["x"].to_list() == [0.5, 0.0, 4.0]


def test_no_file_can_be_read(tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    with pytest.raises(DefinitionError, match="x cannot be computed"):
        evaluate(TABLE, {"x": f"(SELECT a FROM '{file}')"})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_a_column_comes_back_bit_by_bit(values):
    assert evaluate(pl.DataFrame({"a": values}), {"x": "a"})["x"].to_list() == values
