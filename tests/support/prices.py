"""Days of trades with a known truth: volatility, correlation, bid–ask bounce, trade times."""

import numpy as np
import polars as pl

from contracts.durations import DAY_US
from training.daily_stats.trades import Trades

D0 = 20_000 * DAY_US
SIGMA = 0.04  # log per day


def trades(seconds, prices, sizes=None, sides=None, day_us=D0):
    """Trades at seconds of the day; by default size 1 and side 0."""
    times = day_us + (np.asarray(seconds, dtype=float) * 1e6).round().astype(np.int64)
    count = len(times)
    sizes = np.ones(count) if sizes is None else np.asarray(sizes, dtype=float)
    sides = np.zeros(count, dtype=np.int64) if sides is None else np.asarray(sides)
    return Trades(day_us, times, np.asarray(prices, dtype=float), sizes, sides)


def brownian(seed, rates=(1.0,), correlation=0.0, noise=0.0, day_us=D0):
    """Correlated Brownian paths of volatility SIGMA, each traded at its Poisson times.

    `rates` are trades per second, `noise` is added ± in log.
    """
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.uniform(0, 86_400, rng.poisson(rate * 86_400))) for rate in rates]
    every = np.unique(np.concatenate(times))
    steps = np.sqrt(np.diff(every, prepend=0.0) / 86_400)[:, None] * SIGMA
    shared = rng.standard_normal((len(every), 1)) * np.sqrt(correlation)
    paths = np.cumsum(
        steps * (shared + np.sqrt(1 - correlation) * rng.standard_normal((len(every), len(rates)))),
        axis=0,
    )
    own = [paths[np.searchsorted(every, at), i] for i, at in enumerate(times)]
    return [
        trades(at, 100 * np.exp(path + noise * rng.choice([-1, 1], len(at))), day_us=day_us)
        for at, path in zip(times, own, strict=True)
    ]


def ticks(days, symbols=("V:A", "V:B"), rate=0.02, seed=1):
    """Ticks of whole days (day numbers after D0) with the columns of the contract.

    Few, so that tests stay fast.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for day in days:
        for symbol, day_trades in zip(
            symbols,
            brownian([seed, day], (rate,) * len(symbols), 0.5, day_us=D0 + day * DAY_US),
            strict=True,
        ):
            venue, name = symbol.split(":")
            count = len(day_trades.times_us)
            columns = {
                "venue": [venue] * count,
                "symbol": [name] * count,
                "event_time_us": day_trades.times_us,
                "ingest_time_us": day_trades.times_us,
            }
            columns |= {
                "price": day_trades.prices.round(2),
                "size": rng.integers(1, 9, count) / 4,
                "side": rng.choice([-1, 1], count),
            }
            parts.append(
                pl.DataFrame(
                    columns
                    | {"trade_id": [f"{day}-{i}" for i in range(count)], "seq": np.arange(count)}
                )
            )
    nothing = [
        pl.lit(None, dtype=pl.Float64).alias(name)
        for name in ("bid", "ask", "bid_size", "ask_size")
    ]
    return pl.concat(parts).with_columns(pl.col("side").cast(pl.Int32), *nothing)
