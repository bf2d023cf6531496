"""Snapshots of the live job: too old ones, and failures that no one expected."""

import asyncio

from contracts.config.settings import Settings
from serving.state import job_watch
from serving.state.job_watch import JobWatch


def first_problem(settings: Settings) -> str:
    async def story():
        watch = JobWatch(settings)
        first = watch.latest()
        watch.start()
        async with asyncio.timeout(10):
            while watch.latest() is first:
                await asyncio.sleep(0.01)
        (problem,) = watch.latest().problems
        await watch.stop()
        return problem

    return asyncio.run(story())


def test_an_unexpected_response_is_an_unknown_health(monkeypatch):
    def fail(*_):
        raise KeyError("jobs")

    monkeypatch.setattr(job_watch, "examine", fail)
    assert first_problem(Settings()) == "unknown: KeyError while reading the state of Flink"


def test_a_snapshot_that_is_too_old_is_unknown(monkeypatch):
    monkeypatch.setattr(job_watch, "AGE_S_MAX", -1.0)
    (problem,) = JobWatch(Settings()).latest().problems
    assert problem == "unknown: the last check of the job is 0 s old"


def test_stopping_before_the_start_does_nothing():
    asyncio.run(JobWatch(Settings()).stop())
