"""A live job that starts without state after history was bulk-loaded.

Two symbols have more than an hour of it.
"""

from dataclasses import replace

import polars as pl

from contracts.config.settings import Settings
from lakehouse.tables import Lakehouse
from streaming.feeds.tick_frame import SCHEMA
from streaming.job import job
from streaming.synthetic.market import FIXTURE, Market, generate

WARM, REAL = "WARM:UPUSD", "BINANCE:BTCUSDT"
HISTORY_S = 64 * 60
EXCHANGE = replace(FIXTURE, symbols=("UPUSD",), prices=(61_800.0,), rate=1.0, venue="WARM", seed=3)


def restart(settings: Settings, history_end_us: int) -> tuple[pl.DataFrame, Market]:
    """Load the history and start the job without state.

    Returns the ticks of WARM and the market that continues.
    """
    market = Market(EXCHANGE, history_end_us - HISTORY_S * 1_000_000)
    ticks = pl.concat(generate(EXCHANGE, market.now_us, HISTORY_S, market))
    Lakehouse(settings).create()
    Lakehouse(settings).append_ticks(
        pl.concat([ticks, ticks.with_columns(venue=pl.lit("BINANCE"), symbol=pl.lit("BTCUSDT"))]),
    )
    if job.status(settings).get("state") == "RUNNING":
        job.stop(settings)
    job.submit_fresh(settings, history_end_us)
    return ticks.select(*SCHEMA), market
