"""Maintenance: one pass keeps every row and few files, and a failed step stops neither the others
nor the service.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from contracts.clock import now_us
from contracts.config import paths
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from lakehouse import leases
from lakehouse.leases import LeaseError
from lakehouse.maintenance import compaction, expiry
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from stack.services.project_services import settings_env
from streaming import maintenance
from tests.conftest import REPO
from tests.support import small_files

LATER_US = now_us() + 2 * DAY_US


@pytest.fixture
def crowded(tmp_path) -> Settings:
    """A lakehouse with five small files in one closed day."""
    settings = Settings(home=tmp_path, compact_files_max=2, snapshots_min=1)
    Lakehouse(settings).create()
    for number in range(5):
        Lakehouse(settings).append_ticks(small_files.ticks(number))
    return settings


def files(settings: Settings) -> int:
    return Lakehouse(settings).table(SILVER).inspect.files().num_rows


def test_a_pass_merges_files_expires_snapshots_and_keeps_every_row(crowded):
    results = {result.step: result for result in maintenance.run_pass(crowded, LATER_US)}
    assert list(results) == ["compact", "expire", "staging"]
    assert [result.error for result in results.values()] == [None] * 3
    assert results["compact"].counts["files_before"] == 5
    assert results["expire"].counts["snapshots"] == 5
    assert (files(crowded), len(Lakehouse(crowded).table(SILVER).snapshots())) == (1, 1)
    assert Lakehouse(crowded).count_ticks(0, LATER_US).rows == 50


def test_a_dry_pass_counts_and_changes_nothing(crowded):
    results = {result.step: result for result in maintenance.run_pass(crowded, LATER_US, dry=True)}
    assert results["compact"].counts["files_before"] == 5
    assert (files(crowded), len(Lakehouse(crowded).table(SILVER).snapshots())) == (5, 5)


def test_a_failed_step_is_reported_and_the_others_are_done(crowded, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError("no space left on device")

    monkeypatch.setattr(compaction, "compact", fail)
    results = {result.step: result for result in maintenance.run_pass(crowded, LATER_US)}
    assert results["compact"].error == "OSError: no space left on device"
    assert results["expire"].counts["snapshots"] == 4


def test_metadata_and_commits_stay_bounded_after_many_commits(crowded):
    """Ten times as many snapshots as a table may keep: their number and the metadata's size do not
    grow with it.
    """
    settings = crowded.model_copy(update={"snapshots_max": 10, "orphan_age_s": 0.0})
    sizes = []
    for day in range(1, 6):
        for number in range(20):
            Lakehouse(settings).append_ticks(small_files.ticks(number, day=day))
        expiry.expire(
            Lakehouse(settings), expiry.Retention.of_maintenance(settings, now_us()), now_us(), None
        )
        folder = settings.warehouse / "silver" / "tick_data" / "metadata"
        sizes.append(max(file.stat().st_size for file in folder.glob("*.metadata.json")))
    assert len(Lakehouse(settings).table(SILVER).snapshots()) == 10
    assert max(sizes[1:]) < 1.1 * sizes[1]
    assert Lakehouse(settings).count_ticks(0, LATER_US).rows == 50 + 1000


def test_two_passes_at_once_are_refused(crowded):
    with (
        leases.lease(crowded, leases.MAINTENANCE, holder="another maintenance"),
        pytest.raises(LeaseError, match="another maintenance"),
    ):
        maintenance.run_pass(crowded, LATER_US)


def test_the_service_works_until_it_is_stopped(crowded):
    settings = crowded.model_copy(update={"maintenance_interval_s": 1.0})
    log = paths.logs(settings) / "maintenance.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "streaming.maintenance"],
            cwd=REPO,
            env=os.environ | settings_env(settings),
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + 120
            while log.read_text().count('"staging"') < 2:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == 0, log.read_text()
    assert "failed" not in log.read_text()
