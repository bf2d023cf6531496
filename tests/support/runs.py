"""Runs of the scheduler as its tests ask for them, and the market that they are about."""

import time
from collections.abc import Callable
from dataclasses import replace

from contracts.clock import now_us
from stack.services.airflow_rest import Client
from streaming.synthetic.market import FIXTURE

DAY_US = 86_400_000_000
LIMIT_S = 900
DAYS = 19  # up to two weeks behind the last Sunday, seven days of them to judge on
TODAY_US = now_us() // DAY_US * DAY_US
MARKET = replace(
    FIXTURE, rate=0.05
)  # a tick in twenty seconds and symbol: what a batch job costs is its ticks


def wait(until: Callable[[], object], what: str, poll_s: float = 1.0) -> object:
    deadline = time.monotonic() + LIMIT_S
    while not (found := until()):
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(poll_s)
    return found


def ended(client: Client, dag: str, run_id: str) -> dict:
    return wait(
        lambda: (run := client.run(dag, run_id))["state"] in {"success", "failed"} and run,
        f"{dag} {run_id}",
    )


def states(client: Client, dag: str, run_id: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in client.tasks(dag, run_id)}
