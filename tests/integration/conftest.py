"""The live job on the shared platform, and helpers to send ticks and to wait for results.

All files share one job, whose event time never goes back, so they run in the order of FILES: each
uses later event times.
"""

import contextlib
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer

from contracts.config import connections, paths
from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.messages.encoding import heartbeat
from contracts.topics import TICKS
from streaming.job import job
from streaming.synthetic.market import Market

WAIT_S = 300.0
LOG_LINES_MAX = 40  # per service
LOG_PROBLEM = re.compile(
    r" (?:WARN|ERROR) (?!.*Name collision)|Caused by|switched from .* to (?:FAIL|RESTART|CANCEL)"
)
FILES = (
    "test_backfill",
    "test_parity",
    "test_conservation",
    "test_parse_equals_sql",
    "test_poison",
    "test_recovery",
    "test_training",
    # From here on the job starts without state, and a model exists.
    "test_warmup",
    "test_end_to_end",
    "test_rejections",
    "test_new_feature_live",
    "test_upgrade",
    "test_liveness",  # uses a separate platform
)
HERE = Path(__file__).parent
MINUTE_US = 60_000_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of this folder in the order of FILES, everything else in place.

    Raises UsageError for a file that FILES does not list.
    """
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    if unlisted := {items[place].path.stem for place in places} - set(FILES):
        raise pytest.UsageError(f"not in FILES of {__file__}: {', '.join(sorted(unlisted))}")
    ordered = sorted(
        (items[place] for place in places), key=lambda item: FILES.index(item.path.stem)
    )
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the job and Flink's warnings to the report of a failed test."""
    report = yield
    platform = getattr(item, "funcargs", {}).get("platform")
    if report.failed and report.when == "call" and platform is not None:
        report.sections.append(("the live job", "\n".join(log_problems(platform))))
    return report


def log_problems(settings: Settings) -> Iterator[str]:
    """State of the job, and the last warnings of Flink's logs."""
    with contextlib.suppress(TickError, OSError):
        yield str(job.status(settings))
    for service in ("jobmanager", "taskmanager"):
        lines = (paths.logs(settings) / f"{service}.log").read_text(errors="replace").splitlines()
        yield f"{service}:"
        yield from [line for line in lines if LOG_PROBLEM.search(line)][-LOG_LINES_MAX:]


@pytest.fixture(scope="session")
def live(platform: Settings) -> Settings:
    """The platform with the live job running."""
    job.start(platform)
    return platform


@pytest.fixture(scope="session")
def warmed(platform: Settings) -> tuple[Settings, pl.DataFrame, Market]:
    """The platform with a live job that started without state on an hour of history.

    The history ends up to nine minutes ago; it and its market are returned as well.
    """
    from tests.support.warm_start import restart

    return platform, *restart(platform, minutes_ago(9) // MINUTE_US * MINUTE_US)


def minutes_ago(minutes: int) -> int:
    """A full second, µs UTC."""
    return (time.time_ns() // 1_000_000_000 - 60 * minutes) * 1_000_000


def send_heartbeat(producer: Producer, event_time_us: int) -> None:
    for partition in range(TICKS.partitions):
        producer.produce(TICKS.name, heartbeat(event_time_us), partition=partition)


def send(
    settings: Settings, messages: Iterable[tuple[str, bytes]], first_us: int, close_us: int
) -> int:
    """Send a heartbeat at `first_us`, the keyed messages in order, and a heartbeat at `close_us`.

    The last heartbeat closes open windows.
    """
    producer = Producer({**connections.kafka(settings), "enable.idempotence": True})
    send_heartbeat(producer, first_us)
    producer.flush(30)
    count = 0
    for key, value in messages:
        producer.produce(TICKS.name, value, key=key)
        producer.poll(0)
        count += 1
    producer.flush(30)
    send_heartbeat(producer, close_us)
    assert producer.flush(30) == 0
    return count


def eventually(check: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll until `check` holds; fail with `what` after the time-out."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)
