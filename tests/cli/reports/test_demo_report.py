"""The table at the end of `tick demo`."""

import pytest

from cli.reports.demo_report import SAMPLES_MIN, print_report
from feature_store.online.writer_stats import Counters, WriterReport
from stack.demo import DemoReport
from tests.cli.reports.reports import REFUSED, tick_training
from tests.cli.screens import lines, screen

PREDICTION = {
    "symbol": "SYNTH:AAAUSD",
    "status": "ok",
    "prediction_bps": 1.5,
    "horizon_s": 60,
    "model_name": "tick-model",
    "model_version": "3",
    "age_s": 0.25,
}


def writer(samples: int, p50_ms: float | None = 41.4, p99_ms: float | None = 1234.5):
    return WriterReport(Counters(written=1_234), samples=samples, p50_ms=p50_ms, p99_ms=p99_ms)


def report(**fields) -> DemoReport:
    defaults = {
        "training": tick_training(),
        "sent": 1_002,
        "accepted": 1_000,
        "duplicates": 3,
        "late": 4,
        "rejected": 2,
        "predictions": [PREDICTION],
        "rejected_by_reason": {"not_positive": 1, "invalid_field": 1},
    }
    return DemoReport(**{**defaults, **fields})


def printed(demo: DemoReport) -> str:
    console = screen(120)
    print_report(console, demo)
    return "\n".join(lines(console))


def test_every_tick_is_accounted_for():
    text = printed(report())
    assert "ticks in  1,002" in text
    assert "accepted  1,000  (late 4, duplicates 3)" in text
    assert "rejected  2  invalid_field 1, not_positive 1" in text
    assert "tick-model v3" in text
    assert "SYNTH:AAAUSD" in text and "+1.500" in text
    assert "see above" not in text


@pytest.mark.parametrize(
    ("samples", "real_time", "shown"),
    [
        (SAMPLES_MIN, True, "41 ms / 1,234 ms"),
        (SAMPLES_MIN - 1, True, "not measured"),
        (SAMPLES_MIN, False, "not measured"),
    ],
)
def test_freshness_is_shown_when_it_was_measured(samples, real_time, shown):
    text = printed(report(writer=writer(samples), real_time=real_time))
    assert shown in text
    assert "feature rows online  1,234" in text


def test_a_quantile_that_is_unknown_is_a_dash():
    assert "– / –" in printed(report(writer=writer(SAMPLES_MIN, None, None)))


def test_without_a_writer_its_lines_are_left_out():
    text = printed(report(writer=None))
    assert "freshness" not in text and "online" not in text


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"sent": 1_003}, "ticks are missing"),
        ({"training": tick_training(version=None, verdict=REFUSED)}, "none: refused"),
        ({"training": tick_training(version=None, verdict=REFUSED)}, "no model was promoted"),
        ({"predictions": []}, "a symbol has no prediction"),
    ],
)
def test_what_is_missing_is_said_at_the_end(fields, shown):
    assert shown in printed(report(**fields))


def test_a_planted_signal_is_pointed_out():
    assert "planted signal" in printed(report(training=tick_training(synthetic=True)))
    assert "planted" not in printed(report())
