"""A start without state adds a feature to a running platform: live, history and online agree."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pyiceberg.expressions import EqualTo

from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.messages.encoding import encode
from contracts.tick import Tick
from feature_store.online import redis_layout
from feature_store.online.store import connect
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse
from stack.services.project_services import settings_env
from tests.integration.conftest import eventually, minutes_ago, send
from tests.support import added_feature

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
SYMBOL = "LINE:NEWUSD"
SIZES = (1.0, 2.0, 5.0, 2.0, 3.0, 1.0, 4.0)
IN_WINDOW = 4  # rows 3 s apart in 10 s, both ends counted; before the fifth the symbol is not warm
APART_US = 3_000_000


@pytest.fixture(scope="module")
def tick(warmed, tmp_path_factory):
    """Run a `tick` command with the new feature on the running platform; it must succeed."""
    settings, folder = warmed[0], tmp_path_factory.mktemp("edited")
    environment = added_feature.contracts(folder) | settings_env(settings)

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "cli.main", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, (
            f"tick {' '.join(words)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        )
        return done.stdout

    return run


def values(settings: Settings, table: str) -> dict[int, float | None]:
    """burstiness_10s by row end, µs."""
    found = Lakehouse(settings).table(table).scan(row_filter=EqualTo("symbol", SYMBOL)).to_arrow()
    rows = zip(
        found["view"].to_pylist(),
        found["event_time"].cast("int64").to_pylist(),
        found["burstiness_10s"].to_pylist(),
        strict=True,
    )
    return {end: value for view, end, value in rows if view == "tick_1s"}


def test_a_start_without_state_brings_a_line_to_a_running_platform(warmed, tick) -> None:
    settings = warmed[0]
    tick("features", "apply")
    tick("job", "stop")
    tick("down", "writer")
    tick("job", "submit", "--fresh")
    assert "RUNNING" in tick("job", "status")

    start_us = minutes_ago(0) - 25_000_000
    times = [start_us + i * APART_US for i in range(len(SIZES))]
    ticks = [
        Tick("LINE", "NEWUSD", at, at, 10.0, size, 1, str(i), i)
        for i, (at, size) in enumerate(zip(times, SIZES, strict=True))
    ]
    close_us = minutes_ago(0)
    send(settings, [(each.key, encode(each)) for each in ticks], start_us - 1_000_000, close_us)
    ends = [each.event_time_us // 1_000_000 * 1_000_000 + 1_000_000 for each in ticks]
    windows = [SIZES[i + 1 - IN_WINDOW : i + 1] for i in range(len(SIZES))]
    wanted = {
        end: max(w) * IN_WINDOW / sum(w) if i >= IN_WINDOW else None
        for i, (end, w) in enumerate(zip(ends, windows, strict=True))
    }
    eventually(
        lambda: values(settings, GOLD_LIVE).keys() == wanted.keys(), "the rows of the new line"
    )
    assert values(settings, GOLD_LIVE) == pytest.approx(wanted)

    key = redis_layout.entity_key(SYMBOL)
    field = redis_layout.field("tick_1s", "burstiness_10s")
    eventually(lambda: connect(settings).hget(key, field) is not None, "the new column online")

    first, last = (
        iso_utc(start_us // MINUTE_US * MINUTE_US),
        iso_utc(close_us - 1_000_000),
    )  # by then the heartbeat has closed every bar
    tick("backfill", "--from", first, "--to", last, "--symbols", SYMBOL)
    assert values(settings, GOLD) == pytest.approx(wanted)
    tick("online", "rebuild")
    tick(
        "parity", "--from", first, "--to", last, "--symbols", SYMBOL, "--sample", "10"
    )  # 3 if anything were unexplained


def iso_utc(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S")
