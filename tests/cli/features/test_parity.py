"""`tick parity`: tables, JSON, a plot, and exit codes for scripts."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import START, A, B, S


@pytest.fixture(scope="module")
def ticks():
    return parity_tables.ticks()


@pytest.fixture(scope="module")
def views(ticks):
    return parity_tables.features(ticks)


@pytest.fixture
def tick(tmp_path, monkeypatch):
    """Runs the command line with a lakehouse of this test's own; returns exit code and all
    output."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()
    Lakehouse(settings()).create()

    def call(*arguments):
        result = CliRunner().invoke(app, ["parity", *arguments])
        return result.exit_code, result.stdout, result.output

    yield call
    settings.cache_clear()


def time(second: int) -> str:
    return datetime.fromtimestamp(START // S + second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_missing_live_or_backfilled_rows_are_an_error(tick, views):
    code, _, output = tick()
    assert (
        code == 1 and "no live job has published a row" in output and "`tick job submit`" in output
    )
    parity_tables.put_features(settings(), parity_tables.GOLD_LIVE, views)
    code, _, output = tick()
    assert code == 1 and "nothing was backfilled" in output and "`tick backfill`" in output


def test_equal_tables_are_exit_code_0_and_the_totals_are_stored(tick, ticks, views, tmp_path):
    parity_tables.put_both(settings(), views, views)
    parity_tables.put_ticks(settings(), ticks)
    code, output, _ = tick("--sample", "20", "--out", str(tmp_path / "pictures"))
    assert code == 0, output
    assert "equal" in output and "reference: 60 rows" in output and "unexplained in" not in output
    assert (tmp_path / "pictures" / "parity.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "pictures" / "parity.json").read_text())["unexplained"] == 0
    assert json.loads((tmp_path / "parity.json").read_text())["oracle_rows"] == 60


def test_a_difference_is_exit_code_3_and_is_in_the_json(tick, views):
    last = views["tick_1m"].with_row_index().filter(pl.col("volume_1h").is_not_null())["index"][0]
    hole = (pl.col("event_time_us") % parity_tables.DAY).is_between(1000 * S, 1600 * S)
    live = parity_tables.only(
        parity_tables.changed(views, "tick_1m", last, volume_1h=1.0),
        ~hole & ~((pl.col("symbol") == B) & (pl.int_range(pl.len()) == 5)),
    )
    parity_tables.put_both(settings(), live, views)
    code, output, _ = tick("--from", time(0), "--to", time(5000))
    assert code == 3
    assert all(
        part in output for part in ("volume_1h", "no live job", "missing", "unexplained", "1 for")
    )
    code, output, _ = tick("--from", time(0), "--to", time(5000), "--json")
    report = json.loads(output)
    assert code == 3 and report["unexplained"] == len(report["examples"]) + 1
    assert {column["name"] for column in report["features"] if column["unexplained"]} == {
        "volume_1h"
    }
    assert [stretch["kind"] for stretch in report["stretches"]] == ["no live job"]
    code, output, _ = tick("--from", time(0), "--to", time(900), "--symbols", A)
    assert code == 0


def test_a_range_that_cannot_be_compared_is_exit_code_1(tick, views):
    parity_tables.put_both(settings(), views, views)
    for arguments, part in (
        (("--from", time(10), "--to", time(10)), "range is empty"),
        (("--from", "2020-01-01", "--to", "2020-01-02"), "no rows in this range"),
        (("--symbols", "V:NONE"), "V:NONE"),
    ):
        code, _, output = tick(*arguments)
        assert code == 1 and part in output, output
