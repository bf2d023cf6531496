"""Waits for runs of the Airflow scheduler, and the market that they process."""

import time
from collections.abc import Callable
from dataclasses import replace

from contracts.clock import now_us
from stack.services.airflow_rest import Client
from streaming.synthetic.market import FIXTURE

DAY_US = 86_400_000_000
LIMIT_S = 900
# Days of ticks: a training up to the last Sunday has 12 days or more, seven of them hold-out days.
DAYS = 19
TODAY_US = now_us() // DAY_US * DAY_US
# One tick per symbol every twenty seconds: the cost of a batch job grows with its ticks.
MARKET = replace(FIXTURE, rate=0.05)


def wait(until: Callable[[], object], what: str, poll_s: float = 1.0) -> object:
    deadline = time.monotonic() + LIMIT_S
    while not (result := until()):
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(poll_s)
    return result


def ended(client: Client, dag: str, run_id: str) -> dict:
    """The run once it has ended; one that does not end is described by the states of its tasks."""
    try:
        return wait(
            lambda: (run := client.get_run(dag, run_id))["state"] in {"success", "failed"} and run,
            f"{dag} {run_id}",
        )
    except AssertionError as error:
        active = [(run["dag_run_id"], run["state"]) for run in client.runs(dag)]
        raise AssertionError(f"{error}: {states(client, dag, run_id)}; runs: {active}") from None


def states(client: Client, dag: str, run_id: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in client.tasks(dag, run_id)}
