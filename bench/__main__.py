"""`python -m bench [NAME…]`: run benches, print each result, save all results to a JSON file."""

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

from bench.report import machine, results
from bench.report.figures import Figure, Result
from contracts.clock import now_us
from contracts.config.settings import settings
from contracts.errors import TickError


class Name(StrEnum):
    """The benches in their default order; each is a module of `bench.measures`."""

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
        list[Name] | None, typer.Argument(help="benches to run; default: all of them")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(
            min=0.01, max=10.0, help="size of the runs; results below 1 are only a smoke test"
        ),
    ] = 1.0,
) -> None:
    """Measure the platform. Run it alone on a quiet machine; each result shows the load average."""
    # sys.exit runs the clean-up handlers, which stop the platform of the bench.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console, this_machine = Console(), machine.describe()
    console.print(results.heading(this_machine))
    done: list[Result] = []
    for name in names or list(Name):
        with Console(stderr=True).status(name.value):
            done.append(run_bench(name, scale))
        results.show(console, done[-1])
    file = results.save(settings().root / "bench", this_machine, done, now_us())
    console.print(f"saved to {file}", soft_wrap=True)
    raise typer.Exit(int(any(result.failure for result in done)))


def load_bench(name: Name) -> Callable[[float], list[Figure]]:
    """The `measure` function of a bench, imported on demand to save the imports of the others."""
    measure: Callable[[float], list[Figure]] = import_module(f"bench.measures.{name.value}").measure
    return measure


def run_bench(name: Name, scale: float) -> Result:
    """Run one bench. A failure of the platform becomes its result, and the next bench can run."""
    measure = load_bench(name)
    load_before, began_s = machine.load_average(), time.monotonic()
    figures: list[Figure] = []
    failure = ""
    try:
        figures = measure(scale)
    except (TickError, RedisError, KafkaException) as error:
        failure = f"{type(error).__name__}: {error}"
    elapsed_s = time.monotonic() - began_s
    return Result(name.value, figures, failure, elapsed_s, load_before, machine.load_average())


if __name__ == "__main__":
    typer.run(main)
