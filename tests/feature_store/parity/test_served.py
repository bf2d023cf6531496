"""Served features against history: equal at the recorded times, or explained, or a defect."""

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.features import COLUMNS, CORE
from feature_store.parity import meter
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import DAY, START, A, B, S

NOW_US = START + 400 * DAY
VIEW_OF = {column.name: column.view for column in COLUMNS}
SERVED_US = START + 4100 * S


@pytest.fixture(scope="module")
def trades():
    return parity_tables.ticks()


@pytest.fixture(scope="module")
def views(trades):
    return parity_tables.features(trades)


@pytest.fixture
def settings(tmp_path) -> Settings:
    found = Settings(home=tmp_path)
    Lakehouse(found).create()
    return found


def record(views, symbol=A, served_us=SERVED_US, **fields):
    """A prediction from the newest row of each view at `served_us`, as the API records it."""
    newest = {
        view: frame.filter(
            (pl.col("symbol") == symbol) & (pl.col("event_time_us") <= served_us)
        ).row(-1, named=True)
        for view, frame in views.items()
    }
    answer = {
        "request_id": f"{symbol}{served_us}",
        "symbol": symbol,
        "served_at_us": served_us,
        "source": "online",
        "model_name": "tick-model",
        "model_version": "7",
        "prediction_bps": 0.5,
        "known_at_us": max(row["known_at_us"] for row in newest.values()),
        "event_times_us": {view: row["event_time_us"] for view, row in newest.items()},
        "features": {name: newest[VIEW_OF[name]][name] for name in CORE},
    }
    return answer | fields


def served(settings, views, *records, live=None):
    parity_tables.put_both(settings, live or views, views)
    parity_tables.put_served(settings, list(records))
    return meter.measure(settings, START, START + DAY, NOW_US)


def test_what_was_served_is_what_history_says(settings, views):
    records = [record(views, symbol, SERVED_US + i * 7 * S) for i in range(5) for symbol in (A, B)]
    report = served(settings, views, *records)
    assert (report.unexplained, report.served.compared, report.served.records) == (0, 10, 10)
    assert {name for _, name in report.served.diffs} == set(CORE)
    assert all(line.compared == 10 for line in report.served.diffs.values())


def test_a_served_value_that_history_does_not_have_is_found(settings, views):
    answer = record(views)
    report = served(
        settings,
        views,
        record(views, B),
        answer | {"features": answer["features"] | {"volume_1m": 99.0}},
    )
    line = report.served.diffs["tick_1s", "volume_1m"]
    assert (report.unexplained, line.unexplained, line.worst.symbol, line.worst.got) == (
        1,
        1,
        A,
        99.0,
    )


def test_a_row_that_history_lacks_is_found(settings, views):
    answer = record(views)
    times = answer["event_times_us"] | {"tick_1s": answer["event_times_us"]["tick_1s"] + 1}
    report = served(settings, views, answer | {"event_times_us": times})
    assert (report.served.missing, report.unexplained) == (1, 1)


def test_a_time_that_is_not_backfilled_is_not_a_defect(settings, views):
    history = parity_tables.only(views, pl.col("event_time_us") < START + 3900 * S)
    parity_tables.put_both(settings, views, history)
    parity_tables.put_served(settings, [record(views)])
    report = meter.measure(settings, START, START + DAY, NOW_US)
    assert (report.unexplained, report.served.undone) == (0, 3)


def test_features_of_the_request_and_repeated_records_are_counted_not_compared(settings, views):
    given = record(
        views,
        source="request",
        event_times_us=None,
        features={"volume_1m": 5.0},
        request_id="given",
    )
    report = served(settings, views, given, record(views), record(views))
    counts = (
        report.served.records,
        report.served.given,
        report.served.repeated,
        report.served.compared,
    )
    assert counts == (2, 1, 1, 1) and report.unexplained == 0


def test_what_a_challenger_only_predicted_is_neither_a_repetition_nor_malformed(settings, views):
    """Its record has the identity of the served one, and may be stored before it."""
    shadow = record(views, source="shadow", model_version="8")
    fewer = shadow | {"features": {"volume_1m": shadow["features"]["volume_1m"]}}
    report = served(settings, views, shadow, record(views), fewer)
    counts = report.served
    assert (counts.records, counts.compared, counts.repeated, counts.malformed) == (1, 1, 0, 0)
    assert {diff.compared for diff in counts.diffs.values()} == {1}


@pytest.mark.parametrize(
    "broken",
    [
        {"features": "no JSON"},
        {"features": "[1]"},
        {"event_times_us": None},
        {"symbol": None},
        {"source": None},
        {"event_times_us": {"tick_1s": "soon"}},
        {"features": {"volume_1m": "much"}},
    ],
)
def test_what_is_not_a_record_is_counted_and_stops_nothing(settings, views, broken):
    report = served(settings, views, record(views) | broken, record(views, B))
    assert (report.served.malformed, report.served.compared, report.unexplained) == (1, 1, 0)


def test_a_row_end_of_more_than_64_bits_stops_nothing(settings, views):
    odd = record(views, event_times_us=dict.fromkeys(views, 2**64 - 1))
    report = served(settings, views, odd, record(views, B))
    assert (report.served.compared, report.served.missing, report.unexplained) == (2, 0, 0)


def test_models_with_other_features_are_compared_by_name(settings, views):
    few = record(views, B)
    few["features"] = {"volume_1m": few["features"]["volume_1m"], "of_an_older_model": 1.0}
    report = served(settings, views, record(views), few)
    assert report.unexplained == 0
    assert report.served.diffs["tick_1s", "volume_1m"].compared == 2
    assert report.served.diffs["tick_10s", "flow_imbalance_5m"].compared == 1


def test_a_late_tick_explains_what_was_served_without_it(settings, trades, views):
    lost = trades.filter(
        (pl.col("symbol") == "A") & (pl.col("event_time_us") < SERVED_US - 20 * S)
    )["trade_id"][-1]
    live = parity_tables.features(trades.filter(pl.col("trade_id") != lost))
    parity_tables.put_ticks(settings, trades, pl.col("trade_id") == lost)
    report = served(settings, views, record(live), live=live)
    assert report.unexplained == 0
    assert sum(line.late for line in report.served.diffs.values()) > 0
