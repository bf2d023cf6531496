"""The output of `tick job status`: a line per metric, task and consumer group, 80 columns."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contracts.config.home import HomeSettings
    from contracts.config.settings import Settings
    from feature_store.flink.job_health import JobHealth
    from streaming.replay.other_senders import OtherSender

KAFKA_TIMEOUT_S = 3.0
COLUMNS = 80
NAME_COLUMNS = 44


def print_job_status() -> bool:
    """Print the status; returns whether there is no problem. Raises JobError when Flink does not
    respond.
    """
    from rich.console import Console

    from contracts.clock import now_us
    from contracts.config.settings import settings
    from feature_store.flink.consumer_lag import ConsumerLags
    from feature_store.flink.job_health import examine
    from feature_store.flink.rest import ENDED
    from streaming.job import job
    from streaming.replay import other_senders

    console = Console(highlight=False, soft_wrap=True, markup=False)
    lags = ConsumerLags(settings(), KAFKA_TIMEOUT_S)
    health = examine(settings(), lags, now_us() // 1000)
    metrics = metric_lines(job.status(settings()), health)
    for line in (*metrics, *task_lines(health), *consumer_group_lines(health)):
        console.print(line)
    senders = other_senders.find(settings(), now_us()) if health.lags else []
    for line in sender_lines(settings(), senders):
        console.print(line, style="yellow")
    for problem in health.problems:
        console.print(f"✗ {problem}", style="bold red")
    if health.state is None or health.state in ENDED:
        console.print(_next_step(settings()))
    return not health.problems


def metric_lines(status: dict[str, Any], health: "JobHealth") -> Iterator[str]:
    """State, age, checkpoints and restarts."""
    for name, value in status.items():
        yield f"{name:<14} {value}"
    if health.restarts is not None:
        yield f"{'restarts':<14} {health.restarts}"
    if health.newest_failure:
        yield f"{'last failure':<14} {health.newest_failure}"[:COLUMNS]


def task_lines(health: "JobHealth") -> Iterator[str]:
    """One line per vertex: its name, its state, how many of its tasks run."""
    if health.vertices:
        yield ""
        yield f"{'tasks':<{NAME_COLUMNS}} {'state':<10} running"
    for vertex in health.vertices:
        name = vertex.label[:NAME_COLUMNS]
        note = ", may end" if vertex.finished and vertex.may_finish else ""
        count = f"{vertex.running} of {vertex.tasks}{note}"
        yield f"{name:<{NAME_COLUMNS}} {vertex.status:<10} {count}"


def consumer_group_lines(health: "JobHealth") -> Iterator[str]:
    """One line per consumer group: how many messages it is behind the end of its topic."""
    if health.lags:
        yield ""
        yield f"{'consumer group':<24} {'topic':<20} {'messages behind':>16}"
    for lag in health.lags or ():
        yield f"{lag.group:<24} {lag.topic:<20} {lag.messages:>16,}"


def sender_lines(settings: "Settings", senders: "Sequence[OtherSender]") -> Iterator[str]:
    """A warning if two senders have event times that the job cannot both serve."""
    from streaming.replay import other_senders

    both = other_senders.apart(settings, senders)
    if both:
        behind, ahead = both
        apart_s = (ahead.ahead_us - behind.ahead_us) / 1e6
        yield ""
        yield f"! two senders are {apart_s:,.1f} s of event time apart: ticks of run"
        yield f"  {behind.run_id} are late, run {ahead.run_id} is ahead. Stop one of them."


def _next_step(settings: "HomeSettings") -> str:
    from streaming.job import states as job_states

    newest = job_states.newest_state(settings)
    if newest is None:
        return "start one: `tick job submit`"
    return f"continue from {newest}: `tick job resume`"
