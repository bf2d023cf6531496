"""The synthetic exchange: a market with a known signal, and the default feed.

A hidden flow x (Ornstein–Uhlenbeck, unit variance) drives drift and trade signs. Prices are sampled
exactly at trade times, so nothing is interpolated and nothing leaks. The planted signal has neither
market impact nor a capacity limit: Sharpe ratios on it are unrealistic.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.errors import FeedError
from contracts.tick import EVENT_TIME_US_MIN
from streaming.feeds.tick_frame import conform

Floats = NDArray[np.float64]
DAY_S, YEAR_S = 86_400, 31_536_000
FLOW_CLIP = 2.5  # keeps P(buy) inside [0, 1] for any kappa ≤ 0.4
CHUNK_ROWS = 100_000  # ticks generated at once (approximately), which bounds memory
CHUNK_S_MAX = 4 * 3600.0
# Attributes of a market that its state contains as they are.
SCALARS = ("now_s", "common", "common_clock", "log_vol", "clock")
GRID_S = 60.0  # intensity and variance are constant within a step of this length


@dataclass(frozen=True)
class Exchange:
    """Configuration of a market: its symbols, and how well the hidden flow predicts returns.

    `rate`: trades per second and symbol. `ic`: correlation of the hidden flow with the return over
    the next `horizon_s`. `half_life_s`: of the flow. `correlation`: of the Brownian motions.
    `annual_vol`: log return per √year.
    """

    symbols: tuple[str, ...]
    prices: tuple[float, ...] = (60_000.0, 3_000.0, 150.0, 30.0, 0.5)
    rate: float = 0.2
    ic: float = 0.15
    half_life_s: float = 1800.0
    horizon_s: float = 60.0
    half_spread_bp: float = 0.5
    annual_vol: float = 0.6
    correlation: float = 0.3
    kappa: float = 0.35
    branching: float = 0.3  # share of trades triggered by other trades (Hawkes, by clusters)
    cluster_gap_s: float = 0.5
    day_shape: float = 0.5  # 0 flat … 1 deep U over the UTC day
    vol_of_vol: float = 0.3
    vol_half_life_s: float = 3600.0
    trade_notional: float = 2_000.0  # mean of the log-normal trade, in quote units
    size_sigma: float = 1.0
    empty_minutes: float = 0.0  # share of minutes without trades
    venue: str = "SYNTH"
    seed: int = 7

    @property
    def theta(self) -> float:
        """Rate of mean reversion of the flow, 1/s."""
        return math.log(2) / self.half_life_s

    @property
    def variance_s(self) -> float:
        """Variance of the log price per second, without drift."""
        return self.annual_vol**2 / YEAR_S

    @property
    def chunk_s(self) -> float:
        """Seconds generated at once: bounded rows, and exp(θ·chunk) far from overflow."""
        return min(CHUNK_S_MAX, 20 / self.theta, CHUNK_ROWS / (self.rate * len(self.symbols)))

    def moments(self) -> tuple[float, float]:
        """(A, B): ∫ of the flow's autocovariance over a horizon; variance of its integral."""
        decay, horizon = self.theta * self.horizon_s, self.horizon_s
        return (1 - math.exp(-decay)) / self.theta, 2 * (decay - 1 + math.exp(-decay)) * (
            horizon / decay
        ) ** 2

    @property
    def beta(self) -> float:
        """Drift of the log price per second and unit of flow that yields exactly `ic`."""
        a, b = self.moments()
        return self.ic * math.sqrt(self.variance_s * self.horizon_s / (a * a - self.ic**2 * b))


FIXTURE = Exchange(symbols=("AAAUSD", "BBBUSD", "CCCUSD"))
DEMO = Exchange(symbols=("BTCUSD", "ETHUSD", "SOLUSD", "LINKUSD", "XRPUSD"), seed=11)
PRESETS = {"demo": DEMO, "fixture": FIXTURE}


def preset_with(name: str, **changes: float | None) -> Exchange:
    """A preset by name, with those `changes` applied that are not None.

    Raises FeedError for an unknown name.
    """
    if name not in PRESETS:
        raise FeedError(f"unknown preset {name!r}", f"known presets: {', '.join(PRESETS)}")
    overrides: dict[str, Any] = {
        field_: value for field_, value in changes.items() if value is not None
    }
    return replace(PRESETS[name], **overrides)


@dataclass
class Book:
    """State of one symbol: flow, idiosyncratic log price, time of the last trade, trades so far.

    `ahead`: times of triggered trades after the current chunk.
    """

    flow: float
    log_price: float
    last_s: float = 0.0
    trades: int = 0
    ahead: list[float] = field(default_factory=list)


class Market:
    """A running exchange: `advance` generates the next seconds, for history and live data alike.

    Seconds are relative to `start_us`, so that a double represents microseconds for centuries.
    """

    def __init__(self, exchange: Exchange, start_us: int) -> None:
        if start_us < EVENT_TIME_US_MIN:
            raise ValueError(f"start_us = {start_us} is before 1990")
        self.exchange, self.start_us, self.now_s = exchange, start_us, 0.0
        self.rng = np.random.default_rng(exchange.seed)
        self.common, self.common_clock, self.clock = 0.0, 0.0, 0.0
        self.log_vol = float(self.rng.standard_normal())
        prices = islice(cycle(exchange.prices), len(exchange.symbols))
        self.books = [Book(float(self.rng.standard_normal()), math.log(price)) for price in prices]
        self.clocks = [0.0] * len(self.books)

    @property
    def now_us(self) -> int:
        """Event time reached: every tick before it has been generated, none at or after it."""
        return self.start_us + round(self.now_s * 1e6)

    def state(self) -> dict[str, Any]:
        """The complete state as plain JSON values, see `restore`."""
        return {
            "exchange": asdict(self.exchange),
            "start_us": self.start_us,
            **{name: getattr(self, name) for name in (*SCALARS, "clocks")},
            "books": list(map(asdict, self.books)),
            "rng": self.rng.bit_generator.state,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Market":
        """The market with this `state()`, which continues with the ticks of the original."""
        config = state["exchange"]
        lists = {name: tuple(config[name]) for name in ("symbols", "prices")}  # JSON has no tuples
        market = cls(Exchange(**(config | lists)), state["start_us"])
        for name in SCALARS:
            setattr(market, name, state[name])
        market.clocks = list(state["clocks"])
        market.books = [Book(**book) for book in state["books"]]
        market.rng.bit_generator.state = state["rng"]
        return market

    def advance(self, duration_s: float) -> pl.DataFrame:
        """Ticks of all symbols in the next `duration_s`, by event time; `chunk_s` at most."""
        begin, end = self.now_s, self.now_s + min(duration_s, self.exchange.chunk_s)
        grid, activity, clock = self._grid(begin, end)
        parts = [self._trade(i, grid, activity, clock) for i in range(len(self.books))]
        self.now_s = end
        frame = self._frame(*_merge_by_time(parts))
        return frame if self.exchange.empty_minutes == 0 else self._without_empty_minutes(frame)

    def _grid(self, begin: float, end: float) -> tuple[Floats, Floats, Floats]:
        """Step times, expected immigrants since `begin`, and the variance clock at every step."""
        e = self.exchange
        grid = np.linspace(begin, end, max(2, math.ceil((end - begin) / GRID_S) + 1))
        steps = np.diff(grid)
        phase = 2 * np.pi * ((self.start_us / 1e6 + grid[:-1]) % DAY_S) / DAY_S
        shape = 1 + e.day_shape * np.cos(phase)
        decay = np.exp(-math.log(2) / e.vol_half_life_s * steps)
        log_vol = np.empty(len(steps))
        for k, shock in enumerate(self.rng.standard_normal(len(steps))):
            log_vol[k] = self.log_vol
            self.log_vol = float(decay[k] * self.log_vol + math.sqrt(1 - decay[k] ** 2) * shock)
        variance = e.variance_s * shape * np.exp(2 * e.vol_of_vol * (log_vol - e.vol_of_vol))
        activity = np.concatenate([[0.0], np.cumsum(shape * steps)]) * e.rate * (1 - e.branching)
        clock = self.clock + np.concatenate([[0.0], np.cumsum(variance * steps)])
        self.clock = float(clock[-1])
        return grid, activity, clock

    def _arrivals(self, book: Book, grid: Floats, activity: Floats) -> Floats:
        """Sorted trade times before the end of the grid; later ones are kept in `book.ahead`."""
        e = self.exchange
        roots = np.interp(
            self.rng.uniform(0, activity[-1], self.rng.poisson(activity[-1])), activity, grid
        )
        sizes = self.rng.geometric(1 - e.branching, len(roots))
        gaps = self.rng.exponential(e.cluster_gap_s, int(sizes.sum()))
        first = np.cumsum(sizes) - sizes
        gaps[first] = 0.0
        since = np.cumsum(gaps)
        times: Floats = np.concatenate(
            [np.repeat(roots - since[first], sizes) + since, np.array(book.ahead, dtype=np.float64)]
        )
        times.sort()
        cut = int(np.searchsorted(times, grid[-1]))
        book.ahead = times[cut:].tolist()
        return times[:cut]

    def _trade(
        self, index: int, grid: Floats, activity: Floats, clock: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """(time, own log price, sign, variance clock, number) of one symbol's trades.

        Flow and price are exact at each trade. The drift is the trapezoid of the flow, exact to
        βθΔ³/6 in variance, which is far below anything measurable.
        """
        e, book = self.exchange, self.books[index]
        times = self._arrivals(book, grid, activity)
        at = np.interp(times, grid, clock)
        if not len(times):
            return times, times, times, at, times
        gaps = np.diff(times, prepend=book.last_s)
        growth = np.exp(e.theta * (times - grid[0]))
        shocks = (
            growth * np.sqrt(-np.expm1(-2 * e.theta * gaps)) * self.rng.standard_normal(len(times))
        )
        flow = (
            book.flow * math.exp(-e.theta * (grid[0] - book.last_s)) + np.cumsum(shocks)
        ) / growth
        drift = e.beta * gaps * 0.5 * (flow + np.concatenate([[book.flow], flow[:-1]]))
        own = np.sqrt((1 - e.correlation) * np.maximum(np.diff(at, prepend=self.clocks[index]), 0))
        log_price = book.log_price + np.cumsum(drift + own * self.rng.standard_normal(len(times)))
        buy = self.rng.random(len(times)) < (1 + e.kappa * np.clip(flow, -FLOW_CLIP, FLOW_CLIP)) / 2
        numbers = book.trades + 1.0 + np.arange(len(times))
        book.flow, book.log_price, book.last_s = (
            float(flow[-1]),
            float(log_price[-1]),
            float(times[-1]),
        )
        book.trades, self.clocks[index] = book.trades + len(times), float(at[-1])
        return times, log_price, np.where(buy, 1.0, -1.0), at, numbers

    def _frame(
        self,
        which: NDArray[np.int64],
        times: Floats,
        own: Floats,
        sign: Floats,
        at: Floats,
        number: Floats,
    ) -> pl.DataFrame:
        """Contract columns of merged trades.

        Adds the common Brownian motion, the spread, rounding to the price step, sizes and arrival.
        """
        e, rows = self.exchange, len(times)
        common = self._common_motion(at)
        price_steps = np.array([10.0 ** (math.floor(math.log10(p)) - 5) for p in e.prices])
        step = price_steps[which % len(e.prices)]
        mid = np.exp(own + common)
        price = np.maximum(np.round(mid * (1 + sign * e.half_spread_bp * 1e-4) / step), 1) * step
        notional = e.trade_notional * np.exp(
            e.size_sigma * self.rng.standard_normal(rows) - e.size_sigma**2 / 2
        )
        event_us = self.start_us + (times * 1e6).astype(np.int64)
        arrival_us = event_us + (5_000 + self.rng.exponential(10_000, rows)).astype(np.int64)
        seq = number.astype(np.int64)
        names = pl.Series(e.symbols, dtype=pl.String)
        frame = pl.DataFrame(
            {
                "symbol": names.gather(which),
                "event_time_us": event_us,
                "ingest_time_us": arrival_us,
                "price": np.round(price, 10),
                "size": np.round(np.maximum(notional / mid, 1e-6), 6),
                "side": sign.astype(np.int32),
                "seq": seq,
            }
        ).with_columns(venue=pl.lit(e.venue), trade_id=pl.col("seq").cast(pl.String))
        return conform(frame)

    def _common_motion(self, at: Floats) -> Floats:
        """The Brownian motion that all symbols share, at each trade's variance clock."""
        if not len(at):
            return at
        variance = self.exchange.correlation * np.maximum(np.diff(at, prepend=self.common_clock), 0)
        moves = np.sqrt(variance) * self.rng.standard_normal(len(at))
        moves[0] += self.common
        common: Floats = np.cumsum(moves)
        self.common = float(common[-1])
        self.common_clock = float(at[-1])
        return common

    def _without_empty_minutes(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Drop random minutes, seeded by the minute so that chunk boundaries make no difference."""
        minutes = frame["event_time_us"] // 60_000_000
        empty = [
            m
            for m in minutes.unique()
            if np.random.default_rng([self.exchange.seed, m]).random() < self.exchange.empty_minutes
        ]
        return frame.filter(~minutes.is_in(empty))


def _merge_by_time(parts: Sequence[tuple[Floats, ...]]) -> tuple[Any, ...]:
    """The columns of all symbols by time, which is their first column, after the symbol's index."""
    which = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    columns = [which, *(np.concatenate(column) for column in zip(*parts, strict=True))]
    order = np.argsort(columns[1], kind="stable")
    return tuple(column[order] for column in columns)


def generate(
    exchange: Exchange, start_us: int, duration_s: float, market: Market | None = None
) -> Iterator[pl.DataFrame]:
    """Batches of ticks of all symbols from `start_us` on, by event time, in bounded memory.

    The result depends only on the seed. Pass a `market` to continue it: it must have reached
    exactly `start_us`, and it can be continued again after the last batch.
    """
    market = market or Market(exchange, start_us)
    if market.now_us != start_us:
        raise ValueError(f"the market has reached {market.now_us} µs, not {start_us} µs")
    end_s = market.now_s + duration_s
    while market.now_s < end_s - 1e-9:
        yield market.advance(end_s - market.now_s)
