"""`python -m bench [NAME…]`: run the benches one after the other, print each at once, keep all in a
JSON file.
"""

import signal
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from redis import RedisError
from rich.console import Console

from bench import machine, report
from bench.figures import Figure, Result
from contracts.clock import now_us
from contracts.config.settings import settings
from contracts.errors import TickError


class Name(StrEnum):
    """The benches, in the order in which they run; each is the module of that name."""

    EXCHANGE = "exchange"
    REPLAY = "replay"
    BULK_LOAD = "bulk_load"
    FLINK = "flink"
    BACKFILL = "backfill"
    AS_OF_JOIN = "as_of_join"
    ONLINE_WRITE = "online_write"
    ONLINE_READ = "online_read"
    PREDICT = "predict"
    FAILURES = "failures"
    FRESHNESS = "freshness"
    PARITY = "parity"


def main(
    names: Annotated[
        list[Name] | None, typer.Argument(help="which ones; all of them when none is named")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(
            min=0.01, max=10.0, help="size of the runs; below 1 for a look, not for numbers"
        ),
    ] = 1.0,
) -> None:
    """Measure the platform. Run it alone on a quiet machine: the load average is printed with every
    number.
    """
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that a platform is stopped then, too
    console, on = Console(), machine.describe()
    console.print(report.heading(on))
    results: list[Result] = []
    for name in names or list(Name):
        with Console(stderr=True).status(name.value):
            results.append(run(name, scale))
        report.show(console, results[-1])
    file = report.save(settings().root / "bench", on, results, now_us())
    console.print(f"kept in {file}", soft_wrap=True)
    raise typer.Exit(int(any(result.failure for result in results)))


def find(name: Name) -> Callable[[float], list[Figure]]:
    """The function that measures; its module is loaded only now, so that a bench pays for no
    other's imports.
    """
    measure: Callable[[float], list[Figure]] = import_module(f"bench.{name.value}").measure
    return measure


def run(name: Name, scale: float) -> Result:
    """One bench; a failure of the platform is its result, the next bench starts its own."""
    bench = find(name)
    before, began_s = machine.load(), time.monotonic()
    figures: list[Figure] = []
    failure = ""
    try:
        figures = bench(scale)
    except (TickError, RedisError, KafkaException) as error:
        failure = f"{type(error).__name__}: {error}"
    return Result(name.value, figures, failure, time.monotonic() - began_s, before, machine.load())


if __name__ == "__main__":
    typer.run(main)
