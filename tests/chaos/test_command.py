"""`python -m tests.chaos` without a platform: the list of actions, and what it refuses."""

import pytest
import typer
from typer.testing import CliRunner

from tests.chaos.__main__ import main
from tests.chaos.plan import NAMES, Plan

app = typer.Typer()
app.command()(main)


def chaos(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_list_of_actions_is_printed():
    result = chaos("F1", "F7", "--count", "2", "--dry")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["F1", "F1", "F7", "F7"]


def test_without_rows_all_are_planned():
    rows = {line.split()[0] for line in chaos("--dry").stdout.splitlines()}
    assert rows == set(NAMES)


@pytest.mark.parametrize("options", [(), ("--seed", "4")])
def test_a_saved_plan_is_planned_again(tmp_path, options):
    printed = chaos("--smoke", "--dry", "--seed", "9").stdout
    from tests.chaos import plan

    plan.make(("smoke",), 9, 500, None, 30).save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").seed == 9
    assert chaos("--plan", str(tmp_path / "plan.json"), "--dry", *options).stdout == printed


def test_an_unknown_row_is_refused():
    result = chaos("F99", "--dry")
    assert result.exit_code == 2 and "F99" in result.output
