"""The tables of a run fit a terminal of 80 columns, and the page has the same rows."""

import io

import orjson
import pytest
from rich.console import Console

from bench.report.machine import Machine
from tests.chaos import report
from tests.chaos.count import Counts
from tests.chaos.faults import Outcome
from tests.chaos.plan import Action, Phase, Plan
from tests.chaos.predict_client import Summary
from tests.chaos.resources import Slope
from tests.chaos.run import PhaseResult, Report

MACHINE = Machine(2, "CPU", 23.5, "Linux 6", "3.11.9")


def outcome(label="kill redis", recovery_s=1.5, returned=True):
    kind, target = label.split()
    return Outcome(Action(8.0, kind, target), 10.0, 12.0, recovery_s, returned)


def counts(**changes):
    sent = {"produced": 1_234_567, "acked": 1_234_567, "topic": 1_234_567, "silver": 1_230_000}
    return Counts(**(sent | {"dead": 4567, "online": 60, "late": 12} | changes))


@pytest.fixture
def made():
    outcomes = [outcome(), outcome(recovery_s=4.0), outcome("kill kafka", 12.0)]
    outcomes.append(outcome("idle ticks", None))
    phase = PhaseResult("F28", outcomes, counts())
    phase.during = Summary({200: 90, 503: 9, -1: 1}, {}, 2.0, 12.34)
    slopes = [
        Slope("memory of writer", "MiB", 90.5, 1234.5, 3.0, 30),
        Slope("files", "", 9, 0, 1, 3),
    ]
    plan = Plan(3, 2000.0, (Phase("F28", ()),))
    return Report(plan, MACHINE, 1.0, 2.0, 300.0, [phase], slopes)


def shown(made):
    console = Console(file=io.StringIO(), width=80)
    report.show(console, made)
    return console.file.getvalue()


def test_the_tables_fit_80_columns(made):
    text = shown(made)
    assert max(map(len, text.splitlines())) <= 80
    assert "F28 4 1,234,567 1,234,567 1,230,000 60 4,567 12 0 0 0" in " ".join(text.split())
    assert "passed" in text and "…" not in text


def test_recoveries_are_compared_with_their_bounds(made):
    assert report.back(made.phases) == [
        ("kill kafka", "1", "1", "12.0", "12.0", "12.0", "30", "within"),
        ("kill redis", "2", "2", "1.5", "2.8", "4.0", "3", "over"),
    ]


def test_a_service_that_stays_away_is_listed_and_fails_the_run(made):
    made.phases[0].outcomes.append(outcome("kill api", None, returned=False))
    assert ("kill api", "1", "0", "", "", "", "5", "over") in report.back(made.phases)
    assert not made.passed and "FAILED" in shown(made)


@pytest.mark.parametrize("name", ["lost", "duplicated", "unexplained"])
def test_a_count_that_is_wrong_fails_the_run_and_shows_examples(made, name):
    made.phases[0].counts = counts(**{name: 1}, examples=["CHAOS:A c1: -1 in silver"])
    text = shown(made)
    assert "FAILED" in text and "CHAOS:A c1: -1 in silver" in text


def test_a_wrong_answer_fails_the_run(made):
    made.phases[0].calm = Summary({500: 1}, {"status 500": 1})
    assert ("F28", "calm", "1", "0", "1", "", "", "1 status 500") in report.answered(made.phases)
    assert not made.passed


def test_answers_are_split_by_status(made):
    assert report.answered(made.phases) == [
        ("F28", "faults", "100", "9", "1", "2.0", "12.3", "0"),
    ]


def test_growth_says_what_is_flat(made):
    assert report.growth(made.slopes) == [
        ("memory of writer", "90.5 MiB", "+1,234.5", "3.0", ""),
        ("files", "9.0", "+0.0", "1.0", "flat"),
    ]


def test_the_page_has_every_row(made):
    page = report.page(made)
    assert "| F28 | 4 | 1,234,567 | 1,234,567 | 1,230,000 | 60 | 4,567 | 12 | 0 | 0 | 0 |" in page
    assert "seed 3, 2,000 ticks/s, 2 cores, CPU, 23.5 GiB" in page
    assert [line for line in page.splitlines() if len(line) > 100 and line[0] != "|"] == []


def test_everything_is_saved(made, tmp_path):
    report.save(tmp_path / "report.json", made)
    saved = orjson.loads((tmp_path / "report.json").read_bytes())
    assert saved["passed"] and saved["phases"][0]["passed"]
    assert saved["phases"][0]["counts"]["silver"] == 1_230_000
    assert saved["phases"][0]["during"]["statuses"] == {"200": 90, "503": 9, "-1": 1}
