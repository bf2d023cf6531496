"""`python -m bench`: which benches run, and what is left of a failure."""

from io import StringIO

from rich.console import Console

from bench import __main__ as command
from bench.errors import BenchError
from bench.measures import exchange
from bench.report import results


def test_a_failure_is_a_result_and_the_next_bench_runs(monkeypatch):
    def fails(scale):
        raise BenchError(f"nothing came at {scale}", "look [here]")

    monkeypatch.setattr(exchange, "measure", fails)
    result = command.run_bench(command.Name.EXCHANGE, 0.5)
    assert (result.figures, result.failure) == (
        [],
        "BenchError: nothing came at 0.5\n  → look [here]",
    )
    console = Console(file=StringIO(), record=True, width=100)
    results.show(console, result)
    assert "look [here]" in console.export_text()


def test_every_name_is_a_module_that_measures():
    for name in command.Name:
        assert callable(command.load_bench(name))
