"""`tick live` keeps the trade ids of what Kafka has acknowledged while it runs."""

import pytest

from cli.data.live import _keeper
from streaming.feeds.trade_ids import TradeIds
from streaming.replay.replay import ReplayProgress


@pytest.fixture
def trade_ids(tmp_path):
    ids = TradeIds(tmp_path / "live.json", "ws://stream.example")
    ids.note(3, {"BTCUSDT": 8})
    ids.note(5, {"BTCUSDT": 10})
    return ids


def test_the_ids_of_acknowledged_trades_are_saved_and_the_progress_is_shown(trade_ids):
    shown = []
    keep = _keeper(trade_ids, 3_600.0, shown.append)
    progress = ReplayProgress(acknowledged=4)
    keep(progress)
    assert trade_ids.load(("BTCUSDT",)) == {"BTCUSDT": 8} and shown == [progress]


def test_between_two_intervals_nothing_is_written(trade_ids):
    keep = _keeper(trade_ids, 3_600.0, lambda _progress: None)
    keep(ReplayProgress(acknowledged=3))
    keep(ReplayProgress(acknowledged=5))
    assert trade_ids.load(("BTCUSDT",)) == {"BTCUSDT": 8}
    trade_ids.save()  # what the command does at its end
    assert trade_ids.load(("BTCUSDT",)) == {"BTCUSDT": 10}
