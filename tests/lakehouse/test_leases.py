"""Leases in the catalog: one holder, a bounded wait, takeover after a death, fencing."""

import re
import subprocess
import sys
import threading
import time

import pytest
from pyiceberg.exceptions import CommitFailedException

from contracts.config.settings import Settings
from contracts.errors import JobError
from lakehouse import leases
from lakehouse.leases import Holding, LeaseError, Observer, lease
from lakehouse.schemas import GOLD, schema
from lakehouse.tables import Lakehouse

SHORT_S = 0.3


@pytest.fixture
def settings(tmp_path) -> Settings:
    """Leases shorter than the settings allow, so that no test waits long."""
    return Settings(home=tmp_path).model_copy(update={"lease_s": SHORT_S, "lease_wait_s": 20.0})


def suspend(settings: Settings, name: str) -> leases.Lease:
    """A lease whose holder neither renews nor releases it."""
    return leases._acquire(settings, name, "a suspended process", 0, ())


def test_a_held_lease_is_refused_and_the_refusal_names_the_holder(settings):
    with (
        lease(settings, "backfill", holder="a backfill"),
        pytest.raises(
            LeaseError, match=r"^a backfill \(host \S+, PID \d+, since 20\d\d-"
        ) as caught,
        lease(settings, "backfill", 0),
    ):
        pass
    assert isinstance(caught.value, JobError)
    assert "run the command again when it has ended" in caught.value.hint


def test_leases_with_different_names_do_not_exclude_each_other(settings):
    with lease(settings, "backfill", 0), lease(settings, "load", 0):
        pass


def test_a_lease_is_free_at_once_after_its_block_also_after_an_error(settings):
    with pytest.raises(ZeroDivisionError), lease(settings, "load", 0):
        _ = 1 / 0
    with lease(settings, "load", 0):
        pass


def test_each_holder_has_a_larger_token(settings):
    tokens = []
    for _ in range(3):
        with lease(settings, "load", 0) as held:
            tokens.append(held.token)
    assert tokens == sorted(set(tokens))


def test_a_waiting_process_gets_the_lease_when_it_is_released(settings):
    with lease(settings, "load"):
        waiting = threading.Thread(target=hold_once, args=(settings, waited := []))
        waiting.start()
        time.sleep(2 * SHORT_S)
        assert waited == [], "a lease that is renewed is never taken over"
    waiting.join()
    assert waited == ["held"]


def hold_once(settings: Settings, events: list[str]) -> None:
    with lease(settings, "load"):
        events.append("held")


def test_of_many_processes_at_once_each_holds_the_lease_alone(settings):
    inside, overlaps, done = [], [], []

    def work() -> None:
        with lease(settings, "load"):
            inside.append(1)
            overlaps.append(len(inside))
            inside.pop()
            done.append(1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), set(overlaps)) == (5, {1})


HOLDER = """
import sys
from pathlib import Path
from contracts.config.settings import Settings
from lakehouse.leases import lease
short = Settings(home=Path(sys.argv[1])).model_copy(update={"lease_s": 0.5})
with lease(short, "load", holder="a load"):
    print("holds the lease", flush=True)
    sys.stdin.read()
"""


def test_the_lease_of_a_killed_process_is_taken_over_after_its_duration(settings):
    command = [sys.executable, "-c", HOLDER, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"holds the lease\n"
        process.kill()
    began_s = time.monotonic()
    with lease(settings, "load"):
        assert time.monotonic() - began_s >= 0.5 > SHORT_S, "its own duration counts"


def test_a_holder_expires_only_after_it_was_seen_unchanged_for_its_duration():
    observer, holding = Observer(), Holding(7, "a load", 30.0, "7 1")
    assert not observer.has_expired(holding, 1_000_000.0), "the first look shows nothing"
    assert not observer.has_expired(holding, 1_000_029.9)
    renewed = Holding(7, "a load", 30.0, "7 2")
    assert not observer.has_expired(renewed, 1_000_031.0)
    assert not observer.has_expired(renewed, 1_000_060.0)
    assert observer.has_expired(renewed, 1_000_061.0)


def test_a_holder_that_lost_its_lease_is_told_before_it_writes(settings):
    lost = suspend(settings, "load")
    lost.require()
    with lease(settings, "load"):
        with pytest.raises(LeaseError, match="the lease load was taken over"):
            lost.require()
        with pytest.raises(CommitFailedException):
            lost.renew()
        with pytest.raises(CommitFailedException):
            lost.release()
        assert not leases.read(settings, "load").is_free
    with pytest.raises(LeaseError):
        lost.require()


def test_a_takeover_makes_a_prepared_commit_to_a_guarded_table_conflict(settings):
    Lakehouse(settings).catalog.create_namespace("gold")
    Lakehouse(settings).catalog.create_table(GOLD, schema(GOLD))
    suspend(settings, "backfill")
    before = Lakehouse(settings).table(GOLD)
    with lease(settings, "backfill", guarded=(GOLD,)):
        pass
    now = Lakehouse(settings).table(GOLD)
    assert now.metadata.current_snapshot_id != before.metadata.current_snapshot_id
    with lease(settings, "backfill", guarded=(GOLD,)):
        pass
    again = Lakehouse(settings).table(GOLD)
    assert again.metadata.current_snapshot_id == now.metadata.current_snapshot_id


def test_of_two_that_saw_the_same_free_lease_one_gets_it(settings):
    first, second = (leases._open(settings, "load") for _ in range(2))
    assert leases._try_acquire(first, "load", "one", SHORT_S) is not None
    assert leases._try_acquire(second, "load", "two", SHORT_S) is None
    assert leases.read(settings, "load").holder == "one"


def test_the_table_of_a_lease_does_not_grow(settings):
    def files() -> int:
        return sum(1 for file in (settings.warehouse / "leases").rglob("*") if file.is_file())

    counts = []
    for _ in range(2):
        for _ in range(5):
            with lease(settings, "load", 0) as held:
                held.renew()
        counts.append(files())
    assert counts[1] <= counts[0] + 2
    assert len(leases._open(settings, "load").metadata.snapshots) == 1


def test_a_renewal_that_fails_is_logged_and_repeated(settings, monkeypatch, capsys):
    renewals = []

    def fail(held: leases.Lease) -> None:
        renewals.append(held)
        raise OSError("the catalog does not answer")

    monkeypatch.setattr(leases.Lease, "renew", fail)
    with lease(settings, "load", 0):
        while len(renewals) < 2:
            time.sleep(0.01)
    assert re.search("could not be renewed.*does not answer", capsys.readouterr().out)
