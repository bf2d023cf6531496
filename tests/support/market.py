"""Small hand-made markets: ticks, feature rows and whole datasets with a known truth."""

import numpy as np
import polars as pl

from contracts.features import COLUMNS, CORE
from contracts.windows import LEVELS
from training.tick.data.dataset import SCHEMA, TickDataset, fingerprint

S = 1_000_000
T0 = 1_760_054_400 * S  # midnight, UTC
DAY = 86_400 * S


def ticks(times_s, prices, symbol="SYNTH:AAAUSD", start_us=T0):
    """Ticks of one symbol at seconds after `start_us`."""
    times = (np.asarray(times_s, dtype=np.float64) * S).round().astype(np.int64) + start_us
    columns = {"key": [symbol] * len(times), "event_time_us": times, "seq": np.arange(len(times))}
    return pl.DataFrame({**columns, "price": np.asarray(prices, dtype=np.float64)})


def feature_rows(ends_s, symbol="SYNTH:AAAUSD", known_after_s=0.0, value=None, start_us=T0):
    """The same row ends on every level; each core feature is `value`, or the row's end in s."""
    ends = np.asarray(ends_s, dtype=np.float64)
    times = (ends * S).astype(np.int64) + start_us
    views = {}
    for level in LEVELS:
        names = [column.name for column in COLUMNS if column.view == level.view]
        context = {
            "symbol": [symbol] * len(ends),
            "event_time_us": times,
            "known_at_us": times + int(known_after_s * S),
        }
        views[level.view] = pl.DataFrame(
            {
                **context,
                **{name: ends if value is None else np.full(len(ends), value) for name in names},
            }
        )
    return views


def join(*views):
    """Feature rows of several symbols as one."""
    return {level.view: pl.concat([each[level.view] for each in views]) for level in LEVELS}


def dataset(days=10, symbols=("SYNTH:AAAUSD", "SYNTH:BBBUSD"), strength=0.3, seed=1, start_us=T0):
    """A dataset whose 15-minute flow predicts the next minute with correlation `strength`.

    Prices follow the labels. Its snapshot is of no table of the lakehouse: there is none to pin.
    """
    rng = np.random.default_rng(seed)
    minutes = np.arange(days * 1440)
    parts = []
    for symbol in symbols:
        x = rng.standard_normal((len(minutes), len(CORE)))
        flow = x[:, CORE.index("flow_imbalance_15m")]
        flow[:] = np.convolve(
            rng.standard_normal(len(minutes) + 29), np.full(30, 30**-0.5), "valid"
        )  # slow, as real flow is
        y = 1e-3 * (strength * flow + np.sqrt(1 - strength**2) * rng.standard_normal(len(minutes)))
        path = 100 * np.exp(np.concatenate([[0], np.cumsum(y)]))
        decision = start_us + minutes * 60 * S
        label = {
            "y": y,
            "entry_price": path[:-1],
            "exit_price": path[1:],
            "entry_us": decision + 6 * S,
            "exit_us": decision + 66 * S,
        }
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * len(minutes),
                    "decision_us": decision,
                    **dict(zip(CORE, x.T, strict=True)),
                    **label,
                }
            )
        )
    frame = pl.concat(parts).select(list(SCHEMA)).sort("decision_us", "symbol")
    return TickDataset(frame, {"late_entry": 3}, fingerprint(frame), {"made.market": 11})
