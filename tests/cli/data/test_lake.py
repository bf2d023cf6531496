"""`tick history` and `tick lake …` on a real catalog: tables, snapshots, going back."""

import re

import pytest

from cli.times import format_us
from contracts.config.settings import settings
from lakehouse import leases, schemas
from lakehouse.snapshots import list_snapshots
from lakehouse.tables import Lakehouse
from tests.cli.screens import cells
from tests.support import parity_tables

SILVER = "silver.tick_data"


@pytest.fixture
def filled(lake_command):
    """A lakehouse whose ticks were written in two commits."""
    Lakehouse(settings()).create()
    for symbol in (parity_tables.A, parity_tables.B):
        parity_tables.put_ticks(settings(), parity_tables.ticks((symbol,), count=100))
    return lake_command


def rows(output: str) -> dict[str, list[str]]:
    return {line.split()[0]: cells(line)[1:] for line in output.splitlines()[1:]}


def snapshots() -> list:
    return list_snapshots(Lakehouse(settings()), SILVER)


def test_every_table_is_listed_with_its_rows_and_files(filled):
    result = filled("lake", "tables")
    assert result.exit_code == 0
    table = rows(result.stdout)
    assert set(table) >= set(schemas.COLUMNS_OF)
    count, files, _, taken = table[SILVER]
    assert (count, files, taken) == ("220", "2", "2")
    assert table["gold.predictions"][0] == "0"


def test_snapshots_are_listed_from_the_oldest_to_the_newest(filled):
    output = filled("lake", "snapshots", SILVER).stdout
    listed = [line.split() for line in output.splitlines()[1:]]
    assert [line[0] for line in listed] == [str(each.snapshot_id) for each in snapshots()]
    assert [line[4] for line in listed] == ["110", "110"]
    assert [line[6] for line in listed] == ["110", "220"]
    assert format_us(snapshots()[0].taken_us) in output


def test_a_table_without_a_snapshot_is_a_sentence(filled):
    result = filled("lake", "snapshots", "gold.predictions")
    assert result.stdout == "gold.predictions is empty: it has no snapshot yet\n"


@pytest.mark.parametrize("name", ["silver.nothing", "nothing", "a.b.c", ""])
def test_an_unknown_table_is_an_error_with_the_known_ones(filled, name):
    result = filled("lake", "snapshots", name)
    assert result.exit_code == 1
    assert "→" in result.stderr and result.stdout == ""


class TestRollback:
    def test_goes_back_and_forth(self, filled):
        first, second = (each.snapshot_id for each in snapshots())
        back = filled("lake", "rollback", SILVER, "--to", first, "--yes")
        assert back.exit_code == 0
        assert back.stdout.startswith(f"{SILVER} has 110 rows again, as of ")
        assert "110 " in filled("sql", f"SELECT count(*) FROM {SILVER}").stdout
        forth = filled("lake", "rollback", SILVER, "--to", second, "--yes")
        assert forth.stdout.startswith(f"{SILVER} has 220 rows again, as of ")

    def test_a_no_changes_nothing(self, filled):
        first = snapshots()[0].snapshot_id
        result = filled("lake", "rollback", SILVER, "--to", first, answer="n\n")
        assert result.exit_code == 1
        assert f"will be rolled back to {first}" in result.stdout
        assert rows(filled("lake", "tables").stdout)[SILVER][0] == "220"

    def test_a_yes_is_enough(self, filled):
        first = snapshots()[0].snapshot_id
        result = filled("lake", "rollback", SILVER, "--to", first, answer="y\n")
        assert result.exit_code == 0
        assert "110 rows again" in result.stdout

    def test_an_unknown_snapshot_is_named(self, filled):
        result = filled("lake", "rollback", SILVER, "--to", 7, "--yes")
        assert result.exit_code == 1
        assert "7" in result.stderr and "`tick lake snapshots" in result.stderr


def test_small_files_are_merged_and_no_row_is_lost(filled):
    for number in range(2):
        parity_tables.put_ticks(settings(), parity_tables.ticks((f"V:C{number}",), count=10))
    assert "1 partitions compacted" in filled("lake", "compact", "--files", 2).stdout
    count, files, *_ = rows(filled("lake", "tables").stdout)[SILVER]
    assert (count, files) == ("242", "1")
    assert "0 partitions compacted" in filled("lake", "compact", "--files", 2).stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("compact", "--files", 1), "--files"),
        (("expire", "--hours", -1), "--hours"),
        (("rollback", SILVER), "--to"),
        (("rollback", SILVER, "--to", "yesterday"), "'--to'"),
    ],
)
def test_a_number_out_of_range_is_a_wrong_argument(lake_command, arguments, named):
    result = lake_command("lake", *arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_the_current_snapshot_survives_an_expiry_of_all(filled):
    output = filled("lake", "expire", "--hours", 0).stdout
    assert re.match(r"\d+ snapshots expired, \d+ files deleted \([\d.]+ MiB\)\n", output)
    assert [each.rows for each in snapshots()][-1] == 220


def test_nothing_expires_within_the_hours_that_are_kept(filled):
    assert filled("lake", "expire").stdout.startswith("0 snapshots expired")
    assert len(snapshots()) == 2


class TestHistory:
    def test_a_day_of_the_fixture_market(self, lake_command):
        result = lake_command(
            "history", "--days", 1, "--from", "2026-03-01", "--preset", "fixture", "--rate", 0.01
        )
        assert result.exit_code == 0, result.output
        assert "100 %" in result.stderr and result.stdout == ""
        query = "SELECT min(event_time)::DATE d, count(DISTINCT symbol) n FROM silver.ticks"
        assert lake_command("sql", query, "--csv", "-").stdout == "d,n\n2026-03-01,3\n"

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("--days", 0), "greater than or equal to 1"),
            (("--days", 401), "less than or equal to 400"),
            (("--ic", 0.6), "--ic"),
            (("--rate", 0), "--rate"),
            (("--from", "2026-03-01T12:00:00"), "'%Y-%m-%d'"),
            (("--from", "2999-01-01"), "end in the future"),
        ],
    )
    def test_a_wrong_option_is_named(self, lake_command, arguments, named):
        result = lake_command("history", *arguments)
        assert result.exit_code == 2
        assert named in result.output.replace("\n", "")

    def test_an_unknown_market_is_an_error_with_the_known_ones(self, lake_command):
        result = lake_command("history", "--preset", "none")
        assert result.exit_code == 1
        assert "'none'" in result.stderr and "demo" in result.stderr


@pytest.mark.parametrize("command", ["compact", "expire"])
def test_a_command_waits_for_maintenance_and_then_names_it(filled, monkeypatch, command):
    monkeypatch.setenv("TICK_LEASE_S", "1")
    monkeypatch.setenv("TICK_LEASE_WAIT_S", "1")
    settings.cache_clear()
    with leases.lease(settings(), leases.MAINTENANCE, holder="maintenance"):
        result = filled("lake", command)
    assert result.exit_code == 1
    assert "maintenance (host " in result.stderr and "TICK_LEASE_WAIT_S" in result.stderr
    assert filled("lake", command).exit_code == 0
