"""`tick parity` as a person types it: tables, JSON, a picture, and an exit code that a script can
use.
"""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from lakehouse import tables
from tests.support import lake
from tests.support.lake import START, A, B, S


@pytest.fixture(scope="module")
def made():
    return lake.ticks()


@pytest.fixture(scope="module")
def views(made):
    return lake.features(made)


@pytest.fixture
def tick(tmp_path, monkeypatch):
    """Runs the command line with a lakehouse of this test's own; returns exit code and all
    output."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()
    tables.create(settings())

    def call(*words):
        result = CliRunner().invoke(app, ["parity", *words])
        return result.exit_code, result.stdout, result.output

    yield call
    settings.cache_clear()


def time(second: int) -> str:
    return datetime.fromtimestamp(START // S + second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def test_nothing_live_and_nothing_backfilled_are_said(tick, views):
    code, _, said = tick()
    assert code == 1 and "no live job has published a row" in said and "`tick job submit`" in said
    lake.put_features(settings(), lake.GOLD_LIVE, views)
    code, _, said = tick()
    assert code == 1 and "nothing was backfilled" in said and "`tick backfill`" in said


def test_equal_tables_end_with_0_and_keep_the_totals(tick, made, views, tmp_path):
    lake.put_both(settings(), views, views)
    lake.put_ticks(settings(), made)
    code, said, _ = tick("--sample", "20", "--out", str(tmp_path / "pictures"))
    assert code == 0, said
    assert "equal" in said and "reference: 60 rows" in said and "unexplained in" not in said
    assert (tmp_path / "pictures" / "parity.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "pictures" / "parity.json").read_text())["unexplained"] == 0
    assert json.loads((tmp_path / "parity.json").read_text())["oracle_rows"] == 60


def test_a_difference_ends_with_3_names_it_and_stands_in_the_json(tick, views):
    last = views["tick_1m"].with_row_index().filter(pl.col("volume_1h").is_not_null())["index"][0]
    hole = (pl.col("event_time_us") % lake.DAY).is_between(1000 * S, 1600 * S)
    live = lake.only(
        lake.changed(views, "tick_1m", last, volume_1h=1.0),
        ~hole & ~((pl.col("symbol") == B) & (pl.int_range(pl.len()) == 5)),
    )
    lake.put_both(settings(), live, views)
    code, said, _ = tick("--from", time(0), "--to", time(5000))
    assert code == 3
    assert all(
        part in said for part in ("volume_1h", "no live job", "missing", "unexplained", "1 for")
    )
    code, said, _ = tick("--from", time(0), "--to", time(5000), "--json")
    found = json.loads(said)
    assert code == 3 and found["unexplained"] == len(found["examples"]) + 1
    assert {line["name"] for line in found["features"] if line["unexplained"]} == {"volume_1h"}
    assert [stretch["kind"] for stretch in found["stretches"]] == ["no live job"]
    code, said, _ = tick("--from", time(0), "--to", time(900), "--symbols", A)
    assert code == 0


def test_what_cannot_be_compared_ends_with_1(tick, views):
    lake.put_both(settings(), views, views)
    for words, part in (
        (("--from", time(10), "--to", time(10)), "range is empty"),
        (("--from", "2020-01-01", "--to", "2020-01-02"), "no rows in this range"),
        (("--symbols", "V:NONE"), "V:NONE"),
    ):
        code, _, said = tick(*words)
        assert code == 1 and part in said, said
