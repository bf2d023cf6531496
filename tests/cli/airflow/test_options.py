"""The parameters of a run from the options of the command line."""

from datetime import datetime

import pytest
import typer

from cli.airflow.options import build_conf

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 – typer gives naive times


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ("a=null", None),
        ('a=["V:A", "V:B"]', ["V:A", "V:B"]),
        ('a={"b": 1}', {"b": 1}),
        ("a=V:A", "V:A"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ('a="1"', "1"),
        ("a=2026-03-01", "2026-03-01"),
        ("a=True", "True"),
    ],
)
def test_a_value_is_json_or_plain_text(text, value):
    assert build_conf([text], None, None) == {"a": value}


@pytest.mark.parametrize("text", ["", "a", "=", "=1", "a:1"])
def test_what_is_not_name_and_value_is_named(text):
    with pytest.raises(typer.BadParameter, match="is not name=value") as error:
        build_conf([text], None, None)
    assert repr(text) in str(error.value)


def test_without_options_there_are_no_parameters():
    assert build_conf(None, None, None) == build_conf([], None, None) == {}


def test_the_last_of_two_values_counts_and_a_time_overrides_a_parameter():
    assert build_conf(["a=1", "a=2"], None, None) == {"a": 2}
    assert build_conf(["from=x", "to=y"], NOON, None) == {"from": "2026-03-01T12:00:00", "to": "y"}
