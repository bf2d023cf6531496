"""End to end: a real file through Kafka, Flink, writer, Redis and API to topic `predictions`."""

import time

import numpy as np
import orjson
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor

from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.features import CORE
from contracts.topics import PREDICTIONS
from feature_store.backfill import run as backfill
from feature_store.online import writer_stats
from feature_store.online.store import connect
from feature_store.parity import meter
from feature_store.parity.report import ParityReport
from lakehouse import schemas, tick_scans
from lakehouse.tables import Lakehouse
from models import tracking
from models.export.sklearn_estimator import export_estimator
from models.registry import Registry
from models.versions import GATE_PASS
from stack import platform as stack_platform
from stack.services.project_services import api_client
from streaming.feeds import open_feed
from streaming.replay import replay
from streaming.synthetic.market import Market
from tests.integration.conftest import eventually, minutes_ago, send
from tests.support import topic_reader
from tests.support.trade_files import real
from tests.support.warm_start import REAL

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),
]  # MLflow and Feast warn of their own types
SPEED = 20.0


@pytest.fixture(scope="module")
def serving(
    warmed: tuple[Settings, pl.DataFrame, Market], tmp_path_factory: pytest.TempPathFactory
):
    """The live platform with writer, API and a Production model (a small one if needed)."""
    settings = warmed[0]
    if Registry(settings).production_version() is None:
        rows = np.random.default_rng(1).normal(size=(400, len(CORE))).astype(np.float32)
        forest = RandomForestRegressor(5, max_depth=4, random_state=1).fit(rows, rows[:, 0] * 1e-4)
        facts = {
            "features": CORE,
            "trained_on": "synthetic",
            "trained_to_us": 0,
            "horizon_s": 60,
            "seed": 1,
        }
        exported = export_estimator(forest, rows, tmp_path_factory.mktemp("model"), **facts)
        client = tracking.client(settings)
        run = client.create_run(tracking.experiment_id(settings, client, settings.experiment))
        registry = Registry(settings)
        registry.promote(registry.register_version(exported, run.info.run_id, {GATE_PASS: "true"}))
    for name in ("writer", "api"):
        stack_platform.start(settings, name)
    yield settings
    stack_platform.down(settings, ("api", "writer"))


def test_a_real_file_is_answered_for(serving: Settings) -> None:
    before, started_us = topic_reader.ends(serving, PREDICTIONS.name), time.time_ns() // 1000
    feed = open_feed([real("binance_dump/spot_BTCUSDT-trades-2024-08-08.csv")])
    done = replay.replay(feed, serving, SPEED, as_live=True)
    assert (done.sent, done.rejected, done.failed) == (9_738, 0, 0)

    answered = lambda: api_client(serving).predict_json([REAL], True)["results"][0]  # noqa: E731
    fresh = lambda: (now := answered())["status"] == "ok" and now["age_s"] < 60  # noqa: E731
    eventually(fresh, "a prediction on fresh features", timeout_s=60)
    answer = answered()
    assert answer["features"].keys() == set(CORE) and None not in answer["features"].values()
    assert answer["age_s"] < 60 and np.isfinite(answer["prediction_bps"])
    assert "synthetic" in answer["note"]

    def stored():
        return Lakehouse(serving).read_ticks(
            started_us - 3_600_000_000, started_us + 3_600_000_000, [REAL]
        )

    eventually(
        lambda: stored()["trade_id"].str.contains("~").sum() >= done.sent,
        "the whole file in silver",
    )
    assert stored().filter(pl.col("trade_id").str.contains("~"))["late"].sum() == 0
    counters = writer_stats.read(connect(serving)).counters
    assert counters.written > 0 and counters.malformed == counters.future == 0
    assert (
        counters.messages
        == counters.written + counters.older + counters.superseded + counters.heartbeats
    )

    def records():
        return [
            orjson.loads(m.value) for m in topic_reader.since(serving, PREDICTIONS.name, before)
        ]

    eventually(
        lambda: any(r["prediction_bps"] == answer["prediction_bps"] for r in records()),
        "the answer among the records",
    )
    same = next(r for r in records() if r["prediction_bps"] == answer["prediction_bps"])
    assert (same["symbol"], same["source"], same["features"]) == (
        REAL,
        "online",
        answer["features"],
    )
    assert same["model_version"] == answer["model_version"]


def test_live_is_batch_is_oracle_and_so_is_what_was_served(serving: Settings) -> None:
    """Backfill while job and API run: all differences are explained, no online row gets older."""
    before_us = api_client(serving).predict_json([REAL], False)["results"][0]["feature_time_us"]
    predictions = lambda: Lakehouse(serving).table(schemas.PREDICTIONS).scan().count()  # noqa: E731
    eventually(lambda: predictions() > 0, "what was served in the lakehouse")
    to_us = (
        minutes_ago(0) // MINUTE_US + 1
    ) * MINUTE_US  # the feed has ended: only a later heartbeat closes its last minute
    eventually(lambda: minutes_ago(0) > to_us, "the end of this minute")
    send(serving, [], to_us, minutes_ago(0))
    from_us = to_us - 7_200_000_000

    def read():
        return Lakehouse(serving).read_features(
            "tick_1m", from_us, to_us + 1, [REAL], schemas.GOLD_LIVE
        )

    closed = stored_minutes(serving, from_us, to_us)
    eventually(lambda: len(read()) >= closed, "the last minute bar in the lakehouse")
    assert backfill.run(serving, from_us, to_us).failed == {}
    report = meter.measure(serving, from_us, to_us, minutes_ago(0), sample=40)
    assert report.unexplained == 0, unexplained(report)
    assert report.served.compared > 0
    assert api_client(serving).predict_json([REAL])["results"][0]["feature_time_us"] >= before_us


def unexplained(report: ParityReport) -> list[str]:
    """What the report cannot explain, a line each."""
    views = [str(rows) for rows in report.rows.values() if rows.unexplained]
    parts = {"live": report.diffs, "oracle": report.reference.diffs, "served": report.served.diffs}
    lines = [
        f"{name}: {line}"
        for name, part in parts.items()
        for line in part.values()
        if line.unexplained
    ]
    return [
        *views,
        *map(str, report.examples),
        *lines,
        f"oracle: {report.reference.unexplained}, served: {report.served.missing}",
    ]


def stored_minutes(settings: Settings, from_us: int, to_us: int) -> int:
    """Minutes of REAL with a tick: the number of bars to expect."""
    return len(tick_scans.minutes(Lakehouse(settings), from_us, to_us, [REAL]))
