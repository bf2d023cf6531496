"""Snapshots of real tables, and rollback: earlier rows are restored, impossible targets refused."""

import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import Settings
from contracts.config.settings import settings as read_settings
from contracts.errors import DatasetError, JobError
from feature_store.backfill import ledger
from feature_store.backfill.rollback import rollback
from lakehouse import tables
from lakehouse.maintenance import expiry
from lakehouse.schemas import GOLD, POWER, SILVER
from lakehouse.snapshots import list_snapshots
from lakehouse.tables import Lakehouse
from streaming.feeds import tick_frame

LATER_US = 4_000_000_000_000_000


def ticks(number: int) -> pl.DataFrame:
    row = {
        "venue": "V",
        "symbol": "S",
        "event_time_us": 1_700_000_000_000_000 + number,
        "ingest_time_us": 1_700_000_000_000_000,
    }
    return tick_frame.conform(
        pl.DataFrame(
            [row | {"price": 1.0, "size": 1.0, "side": 1, "trade_id": str(number), "seq": number}]
        )
    )


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """Silver after three appends of a tick each; the command line sees the same lakehouse."""
    monkeypatch.setenv("TICK_HOME", str(tmp_path))
    read_settings.cache_clear()
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    for number in range(3):
        Lakehouse(made).append_ticks(ticks(number))
    yield made
    read_settings.cache_clear()


def stored_ids(lake: Settings) -> list[str]:
    return sorted(Lakehouse(lake).table(SILVER).scan().to_arrow()["trade_id"].to_pylist())


def test_snapshots_tell_what_each_commit_did(lake):
    found = list_snapshots(Lakehouse(lake), SILVER)
    assert [(v.operation, v.rows_added, v.rows_deleted, v.rows, v.state) for v in found] == [
        ("append", 1, 0, 1, "past"),
        ("append", 1, 0, 2, "past"),
        ("append", 1, 0, 3, "current"),
    ]
    assert list_snapshots(Lakehouse(lake), POWER) == []


def test_back_and_forward_again(lake):
    first, _, third = list_snapshots(Lakehouse(lake), SILVER)
    assert rollback(lake, SILVER, first.snapshot_id).rows == 1
    assert stored_ids(lake) == ["0"]
    assert [v.state for v in list_snapshots(Lakehouse(lake), SILVER)] == [
        "current",
        "set aside",
        "set aside",
    ]
    rollback(lake, SILVER, third.snapshot_id)
    assert stored_ids(lake) == ["0", "1", "2"]


def test_what_is_written_after_a_rollback_goes_on_from_there(lake):
    rollback(lake, SILVER, list_snapshots(Lakehouse(lake), SILVER)[1].snapshot_id)
    Lakehouse(lake).append_ticks(ticks(7))
    assert stored_ids(lake) == ["0", "1", "7"]
    assert [v.state for v in list_snapshots(Lakehouse(lake), SILVER)] == [
        "past",
        "past",
        "set aside",
        "current",
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [(SILVER, "has no snapshot 7"), ("silver.nothing", "unknown table silver.nothing")],
)
def test_what_never_was_is_refused(lake, table, message):
    with pytest.raises(DatasetError, match=message):
        rollback(lake, table, 7)


def test_expired_foreign_and_current_snapshots_are_refused(lake):
    first, _, third = list_snapshots(Lakehouse(lake), SILVER)
    with pytest.raises(DatasetError, match="is the current snapshot"):
        rollback(lake, SILVER, third.snapshot_id)
    with pytest.raises(DatasetError, match=f"{GOLD} has no snapshot"):
        rollback(lake, GOLD, first.snapshot_id)
    expiry.expire(Lakehouse(lake), expiry.Retention(LATER_US), LATER_US, None)
    with pytest.raises(DatasetError, match="has no snapshot") as caught:
        rollback(lake, SILVER, first.snapshot_id)
    assert "expired ones cannot be restored" in caught.value.hint
    assert stored_ids(lake) == ["0", "1", "2"]


@pytest.mark.parametrize(("name", "forgets"), [(SILVER, True), (GOLD, True), (POWER, False)])
def test_a_rollback_of_ticks_or_features_forgets_which_chunks_are_done(lake, name, forgets):
    noted = lake.root / "lakehouse" / "backfill" / "ledger.json"
    noted.parent.mkdir()
    noted.touch()
    table = Lakehouse(lake).table(name)
    nothing = table.scan().to_arrow().slice(0, 0)
    with tables.ignore_row_group_warning():
        table.append(nothing)
        table.append(nothing)
    rollback(lake, name, list_snapshots(Lakehouse(lake), name)[0].snapshot_id)
    assert noted.exists() != forgets


BACKFILL = """
import sys
from pathlib import Path
from contracts.config.settings import Settings
from feature_store.backfill import ledger
with ledger.exclusive_access(Settings(home=Path(sys.argv[1])), "a backfill"):
    print("holds the lock", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def backfill(lake):
    """Another process that holds the lock like a running backfill, until its stdin is closed."""
    command = [sys.executable, "-c", BACKFILL, str(lake.home)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "holds the lock\n"
        yield process


@pytest.mark.parametrize("name", [SILVER, GOLD])
def test_a_rollback_is_refused_while_a_backfill_runs_which_keeps_its_lock(
    lake, backfill, monkeypatch, name
):
    table = Lakehouse(lake).table(name)
    with tables.ignore_row_group_warning():
        table.append(table.scan().to_arrow().slice(0, 0))
        table.append(table.scan().to_arrow().slice(0, 0))
    ledger_file = ledger.folder(lake) / "ledger.json"
    ledger_file.parent.mkdir(parents=True)
    ledger_file.write_text("[]")
    first, current = (
        list_snapshots(Lakehouse(lake), name)[0].snapshot_id,
        list_snapshots(Lakehouse(lake), name)[-1].snapshot_id,
    )
    impatient = lake.model_copy(update={"lease_wait_s": 0})
    monkeypatch.setattr("contracts.config.settings.settings", lambda: impatient)
    done = CliRunner().invoke(app, ["lake", "rollback", name, "--to", str(first), "--yes"])
    assert done.exit_code == 1
    assert f"PID {backfill.pid}, since " in done.stderr and "when it has ended" in done.stderr
    assert ledger_file.exists() and list_snapshots(Lakehouse(lake), name)[-1].state == "current"
    assert (
        next(v.snapshot_id for v in list_snapshots(Lakehouse(lake), name) if v.state == "current")
        == current
    )
    with (
        pytest.raises(JobError, match=r"a backfill \(host .* is running"),
        ledger.exclusive_access(impatient, "a second backfill"),
    ):
        pass
    backfill.communicate("")
    rollback(lake, name, first)
    assert not ledger_file.exists()
    with ledger.exclusive_access(lake, "the next backfill"):
        pass


def test_a_rollback_of_what_no_backfill_touches_waits_for_none(lake, backfill):
    table = Lakehouse(lake).table(POWER)
    with tables.ignore_row_group_warning():
        table.append(table.scan().to_arrow().slice(0, 0))
        table.append(table.scan().to_arrow().slice(0, 0))
    rollback(lake, POWER, list_snapshots(Lakehouse(lake), POWER)[0].snapshot_id)
    assert backfill.poll() is None


def test_the_commands_list_ask_and_go_back(lake):
    first = list_snapshots(Lakehouse(lake), SILVER)[0].snapshot_id
    runner = CliRunner()
    listed = runner.invoke(app, ["lake", "snapshots", SILVER], env={"COLUMNS": "200"})
    assert listed.exit_code == 0 and str(first) in listed.output and "current" in listed.output
    assert "no snapshot yet" in runner.invoke(app, ["lake", "snapshots", POWER]).output
    refused = runner.invoke(app, ["lake", "rollback", SILVER, "--to", str(first)], input="n\n")
    assert refused.exit_code == 1 and stored_ids(lake) == ["0", "1", "2"]
    done = runner.invoke(app, ["lake", "rollback", SILVER, "--to", str(first), "--yes"])
    assert done.exit_code == 0 and "has 1 rows again" in done.output
    assert stored_ids(lake) == ["0"]
    assert runner.invoke(app, ["lake", "rollback", SILVER, "--to", "7", "--yes"]).exit_code == 1
