"""Where a live feed continues after a restart: at what Kafka has acknowledged, never later."""

import pytest

from contracts.errors import FeedError
from streaming.feeds.trade_ids import TradeIds

STREAM = "wss://stream.example/stream"


@pytest.fixture
def ids(tmp_path):
    return TradeIds(tmp_path / "replay" / "live.json", STREAM)


def test_only_ids_of_acknowledged_items_are_kept(ids):
    ids.note(0, {"A": 1})
    ids.note(3, {"A": 4})
    ids.note(3, {"A": 4})
    ids.note(9, {"A": 9, "B": 2})
    ids.acknowledge(8)
    ids.save()
    assert ids.load(("A", "B")) == {"A": 4}
    ids.acknowledge(9)
    ids.save()
    assert ids.load(("A", "B", "C")) == {"A": 9, "B": 2}


def test_other_streams_and_symbols_keep_their_ids(ids):
    other = TradeIds(ids.file, "wss://other.example/stream")
    for each, symbol in ((ids, "A"), (other, "A"), (TradeIds(ids.file, STREAM), "B")):
        each.note(0, {symbol: 5 + len(each.stream)})
        each.acknowledge(0)
        each.save()
    assert ids.load(("A", "B")) == {"A": 5 + len(STREAM), "B": 5 + len(STREAM)}
    assert other.load(("A", "B")) == {"A": 5 + len(other.stream)}


def test_without_a_trade_nothing_is_written(ids):
    ids.acknowledge(0)
    ids.save()
    assert not ids.file.exists() and ids.load(("A",)) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"s": 1}', b'{"s": {"A": "x"}}', b"\xff"])
def test_a_file_with_another_content_says_what_to_do(ids, content):
    ids.file.parent.mkdir(parents=True)
    ids.file.write_bytes(content)
    with pytest.raises(FeedError, match="does not have the trade ids") as caught:
        ids.load(("A",))
    assert "delete it" in caught.value.hint
