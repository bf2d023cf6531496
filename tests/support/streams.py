"""Random tick streams for parity tests.

Hypothesis chooses the character of a market, and a seeded generator produces the ticks.
"""

import random
from dataclasses import dataclass

from hypothesis import strategies as st

from contracts.tick import Tick

LENGTH_S = 4200  # longer than the longest window, so that warm rows exist
LATENESS_US = 200_000
# Flink's HASH_CODE is the same for both: a tile with both looks as if it had duplicates.
SAME_HASH = ("t10564", "t111554")


@dataclass(frozen=True)
class Character:
    """The behaviour of one stream; `seed` determines every part of it."""

    seed: int
    price: float
    step: float  # price moves by multiples of this
    size: float
    ticks: int
    burst: int  # ticks that share one event time (ties)
    duplicates: float  # share sent twice
    gap_s: int  # length of one gap without ticks
    spike: float  # one price is off by this factor, once
    print_size: float  # one trade of this size, once (0: none)


characters = st.builds(
    Character,
    seed=st.integers(0, 2**32),
    price=st.sampled_from([60_000.0, 60_000.0, 2_345.67, 1.0, 0.0123]),
    step=st.sampled_from([1e-7, 1e-6, 1e-4]),  # fraction of the price
    size=st.sampled_from([1.0, 0.01, 250.0]),
    ticks=st.integers(40, 160),
    burst=st.integers(1, 4),
    duplicates=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    gap_s=st.sampled_from([0, 0, 700, 2000]),
    spike=st.sampled_from([1.0, 1.0, 1.2, 0.8]),
    print_size=st.sampled_from([0.0, 0.0, 1e9]),
)


def _event_times_us(rng: random.Random, character: Character) -> list[int]:
    """Times of the bursts since the start of the stream, sorted."""
    times = sorted(
        rng.randrange(LENGTH_S * 1_000_000) for _ in range(character.ticks // character.burst)
    )
    # Half of the ticks are in the last ten minutes, so that short windows have more than one row.
    times = sorted(t if i % 2 else LENGTH_S * 1_000_000 - t // 7 - 1 for i, t in enumerate(times))
    hole = rng.randrange(LENGTH_S) * 1_000_000
    return [t for t in times if not hole <= t < hole + character.gap_s * 1_000_000]


def ticks(character: Character, symbol: str, start_us: int) -> list[tuple[int, Tick]]:
    """(send order in µs, tick) pairs, sorted by send order; disorder stays within the lateness."""
    rng = random.Random(character.seed)
    times = _event_times_us(rng, character)
    spike_at, print_at = rng.randrange(len(times) + 1), rng.randrange(len(times) + 1)
    sent_ticks, level, number = [], 0, 0
    for i, time_us in enumerate(times):
        burst = rng.randint(1, character.burst)
        for _ in range(
            max(burst, len(SAME_HASH)) if i == 0 else burst
        ):  # the first tile holds both
            level += rng.choice((-2, -1, 0, 0, 1, 2))
            number += 1
            price = round(
                character.price
                * (1 + level * character.step)
                * (character.spike if i == spike_at else 1.0),
                9,
            )
            size = (
                character.print_size
                if character.print_size and i == print_at
                else round(character.size * rng.randint(1, 500) / 100, 6)
            )
            event_us = start_us + time_us
            tick = Tick(
                "PROP",
                symbol,
                event_us,
                event_us + rng.randrange(50_000),
                price,
                size,
                rng.choice((-1, 0, 1)),
                SAME_HASH[number - 1] if number <= len(SAME_HASH) else f"{symbol}-{number}",
                number,
            )
            sent = event_us + rng.randrange(LATENESS_US - 1_000)
            sent_ticks.append((sent, tick))
            if rng.random() < character.duplicates:
                sent_ticks.append(
                    (
                        min(sent + rng.randrange(20_000), event_us + LATENESS_US - 1_000),
                        tick._replace(ingest_time_us=tick.ingest_time_us + 7),
                    )
                )
    return sorted(sent_ticks, key=lambda pair: pair[0])


@dataclass(frozen=True)
class Huge:
    """A market with amounts near the contract's limits, or beyond what window sums can hold."""

    price: float
    size: float
    a_minute: int = 1
    burst: int = 0  # ticks of the largest size in one second, near the end
    contradicted: bool = (
        False  # two duplicates per trade: one has the largest price, one the largest size
    )


HUGE = {
    "MEME": Huge(1e-5, 7e10),  # a usual minute of a meme coin
    "PUMP": Huge(1e-5, 9e11, a_minute=8),  # squares and products are too large
    "FLOOD": Huge(1e-5, 9e11, a_minute=40),  # volumes are too large
    "BURST": Huge(900.0, 1.0, burst=1845),  # 1845e12 in units of 1e-4 is 2^64 and a little
    "TWICE": Huge(1e-3, 1e12, contradicted=True),
}


def huge_ticks(market: Huge, symbol: str, start_us: int) -> list[tuple[int, Tick]]:
    """(send order in µs, tick) pairs like `ticks`; prices rise by 0.4 % and 0.2 % in turn."""
    sent_ticks: list[Tick] = []

    def add(at_us: int, price: float, size: float, trade: str | None = None) -> None:
        us, number = start_us + at_us, len(sent_ticks) + 1
        trade = trade or f"{symbol}-{number}"
        sent_ticks.append(Tick("PROP", symbol, us, us, price, size, 1, trade, number))

    price = market.price
    for minute in range(LENGTH_S // 60):
        price *= 1.002 if minute % 2 else 1.004
        for i in range(market.a_minute):
            at_us = minute * 60_000_000 + 30_000_000 + i * 10_000
            size = market.size * (0.9 if minute % 2 else 1.0)
            trade = f"{symbol}-{minute}" if market.contradicted else None
            add(at_us, price, size, trade)
            if market.contradicted:
                add(at_us, 1e9, 1e6, trade)
    last_us = (LENGTH_S - 120) * 1_000_000
    for i in range(market.burst):
        add(last_us + i * 500, 1_000.0, 1e12)
    sent_ticks.sort(key=lambda tick: tick.event_time_us)
    return [(tick.event_time_us, tick) for tick in sent_ticks]
