"""The printed result of an upgrade."""

import io

import pytest
from rich.console import Console

from cli.reports.upgrade_report import print_outcome
from feature_store.parity.column_diff import ColumnDiff
from streaming.upgrade.comparison import Result
from streaming.upgrade.upgrade import Outcome, Route


def printed(outcome: Outcome) -> str:
    out = io.StringIO()
    print_outcome(Console(file=out, width=140), outcome)
    return out.getvalue()


@pytest.fixture
def result():
    found = Result(0, 180_000_000)
    found.rows["tick_1s"].compared = 1_234
    found.diffs.add([ColumnDiff("volume_10s", "tick_1s", compared=1_234)])
    return found


@pytest.mark.parametrize(
    ("route", "text"),
    [(Route.NONE, "nothing to do"), (Route.STATE, "state"), (Route.SHADOW, "alongside")],
)
def test_a_plan_says_what_would_be_done(route, text):
    assert text in printed(Outcome(route, "old"))


def test_an_upgrade_shows_what_was_compared_and_how_long_no_commit_was_made(result):
    result.added["peak_10s"], result.removed = 7, {"old_10s"}
    text = printed(Outcome(Route.SHADOW, "new", upgraded=True, result=result, without_commit_s=31))
    for part in ("1,234", "180 s", "0 unexplained", "added: peak_10s, 7", "removed: old_10s"):
        assert part in text
    assert "upgraded: job new" in text and "31 s without a commit" in text


def test_a_refusal_names_the_columns_and_the_option_for_an_intended_change(result):
    result.diffs.add([ColumnDiff("volume_10s", "tick_1s", unexplained=3)])
    text = printed(Outcome(Route.SHADOW, "old", result=result))
    assert "refused: 3 differences" in text and "volume_10s" in text
    assert "old job old runs as before" in text and "--changed" in text


def test_a_refusal_without_a_row_says_so(result):
    result.rows["tick_1s"].compared = 0
    assert "no row to compare" in printed(Outcome(Route.SHADOW, "old", result=result))
