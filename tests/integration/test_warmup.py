"""A job that starts without state reads the last hour from silver, and does not rewrite it."""

import polars as pl
import pytest
from pyiceberg.expressions import EqualTo

from contracts.config.settings import Settings
from contracts.messages.encoding import encode
from contracts.tick import Tick
from contracts.windows import LEVELS
from lakehouse.schemas import GOLD_LIVE, SILVER
from lakehouse.tables import Lakehouse
from streaming.synthetic.market import Market, generate
from tests.integration.conftest import eventually, send
from tests.integration.test_parity import same
from tests.support import oracle
from tests.support.warm_start import EXCHANGE, WARM

pytestmark = pytest.mark.integration
LIVE_S = 90


def test_an_hour_is_warm_at_once(warmed: tuple[Settings, pl.DataFrame, Market]) -> None:
    settings, history, market = warmed
    start_us, end_us = market.now_us, market.now_us + (LIVE_S + 40) * 1_000_000
    fresh = pl.concat(generate(EXCHANGE, market.now_us, LIVE_S, market)).select(history.columns)
    ticks = [Tick(*row) for row in pl.concat([history, fresh]).iter_rows()]
    sent = send(
        settings, ((tick.key, encode(tick)) for tick in ticks[len(history) :]), start_us, end_us
    )
    assert sent == len(fresh) > 0

    expected = {
        place: row
        for place, row in oracle.rows(ticks).items()
        if start_us < place[1] * 1_000_000 < end_us - 60_000_000
    }
    assert {view for view, _ in expected} == {level.view for level in LEVELS}
    found = lambda: sum(len(read(settings, level.view, start_us, end_us)) for level in LEVELS)  # noqa: E731
    eventually(lambda: found() >= len(expected), f"{len(expected)} rows of the warm symbol")
    got = {
        (level.view, row["event_time_us"] // 1_000_000): row
        for level in LEVELS
        for row in read(settings, level.view, start_us, end_us).iter_rows(named=True)
    }
    wrong = [
        (place, n, got[place][n], v)
        for place, row in expected.items()
        for n, v in row.items()
        if not same(n, got[place][n], v)
    ]
    assert wrong == []
    hours = [row for (view, _), row in got.items() if view == "tick_1m"]
    assert hours and all(
        row["warm_s"] == 3600 and row["log_return_1h"] is not None for row in hours
    )

    stored = (
        Lakehouse(settings)
        .table(SILVER)
        .scan(row_filter=EqualTo("venue", "WARM"), selected_fields=("trade_id",))
    )
    assert sorted(stored.to_arrow()["trade_id"].to_pylist()) == sorted(
        tick.trade_id for tick in ticks
    )


def read(settings: Settings, view: str, start_us: int, end_us: int) -> pl.DataFrame:
    return Lakehouse(settings).read_features(
        view, start_us + 1, end_us - 60_000_000, [WARM], GOLD_LIVE
    )
