"""Throughput of the synthetic exchange, at the demo's rate and at the rate of a busy market."""

from dataclasses import replace

from bench.cost.process import measure_cost
from bench.report.figures import Figure
from contracts.clock import now_us
from streaming.synthetic.market import DEMO, Exchange, generate

AIM_PER_S = 1_000_000
TICKS = 2_000_000
BUSY = replace(DEMO, rate=100.0)


def measure(scale: float = 1.0) -> list[Figure]:
    """Ticks per CPU second of the generator, polars' threads included; `scale` shortens it."""
    _generate(BUSY, 10_000)  # imports and thread pools
    return [
        _figure(name, exchange, int(TICKS * scale))
        for name, exchange in (("demo market, 0.2/s", DEMO), ("busy market, 100/s", BUSY))
    ]


def _generate(exchange: Exchange, ticks: int) -> int:
    """Generate about so many ticks; returns their exact number."""
    duration_s = ticks / (exchange.rate * len(exchange.symbols))
    return sum(frame.height for frame in generate(exchange, now_us(), duration_s))


def _figure(name: str, exchange: Exchange, ticks: int) -> Figure:
    with measure_cost() as cost:
        count = _generate(exchange, ticks)
    note = (
        f"{count:,} ticks of {len(exchange.symbols)} symbols; by the clock"
        f" {count / cost.wall_s:,.0f}/s"
    )
    return Figure(name, count / cost.cpu_s, "ticks/s CPU", at_least=AIM_PER_S, note=note)
