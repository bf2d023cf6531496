"""Every real file is read completely, with the market's counts, ends and sides."""

from collections import Counter

import polars as pl
import pytest

from contracts.tick import Tick
from streaming.feeds import Batch, Feed, Span, open_feed
from streaming.feeds.tick_frame import SCHEMA
from tests.support.trade_files import ROOT, real

NOW_US = 1_760_000_000_000_000


def whole(feed: Feed) -> Batch:
    """Everything a feed holds, in one batch."""
    batches = list(feed.batches(NOW_US))
    return Batch(
        pl.concat([batch.ticks for batch in batches]),
        pl.concat([batch.rows for batch in batches]),
        [reject for batch in batches for reject in batch.rejected],
        sum((batch.skipped for batch in batches), Counter()),
        sum(batch.sides_inferred for batch in batches),
    )


DUMPS = [
    (
        "spot_BTCUSDT-trades-2024-08-08",
        "BINANCE:BTCUSDT",
        9_738,
        1723161255342000,
        61837.63,
        -1,
        1723161599717000,
        61685.99,
    ),
    (
        "spot_ETHUSDT-trades-2024-08-08",
        "BINANCE:ETHUSDT",
        6_098,
        1723161255611000,
        2683.8,
        -1,
        1723161599939000,
        2682.5,
    ),
    (
        "spot_BTCUSDT-trades-2023-04-04",
        "BINANCE:BTCUSDT",
        1,
        1680652799999000,
        28165.47,
        -1,
        1680652799999000,
        28165.47,
    ),
    (
        "usdm_BTCUSDT-trades-2024-08-08",
        "BINANCE_USDM:BTCUSDT",
        21_313,
        1723161256322000,
        61800.3,
        1,
        1723161599643000,
        61659.8,
    ),
    (
        "usdm_ETHUSDT-trades-2024-07-19",
        "BINANCE_USDM:ETHUSDT",
        12_015,
        1721347202808000,
        3424.99,
        1,
        1721347502276000,
        3418.56,
    ),
    (
        "cm_BTCUSD_PERP-trades-2024-08-08",
        "BINANCE_COINM:BTCUSD_PERP",
        2_285,
        1723161257679000,
        61804.8,
        1,
        1723161599242000,
        61668.6,
    ),
]


@pytest.mark.parametrize(
    ("name", "key", "count", "first_us", "first_price", "first_side", "last_us", "last_price"),
    DUMPS,
)
def test_a_binance_dump_is_read_whole(
    name, key, count, first_us, first_price, first_side, last_us, last_price
):
    feed = open_feed([real(f"binance_dump/{name}.csv")])
    read = whole(feed)
    first, last = (Tick(*read.ticks.row(i)) for i in (0, -1))
    assert feed.formats == ("binance-trades",)
    assert (read.ticks.height, read.rejected) == (count, [])
    assert dict(read.ticks.schema) == SCHEMA
    assert (first.key, first.event_time_us, first.price, first.side) == (
        key,
        first_us,
        first_price,
        first_side,
    )
    assert (last.event_time_us, last.price) == (last_us, last_price)
    assert feed.span(NOW_US) == Span(first_us, last_us)
    assert read.ticks["trade_id"].n_unique() == count


def test_coin_margined_contracts_become_base_units():
    first = Tick(
        *whole(open_feed([real("binance_dump/cm_BTCUSD_PERP-trades-2024-08-08.csv")])).ticks.row(0)
    )
    assert first.size * first.price == pytest.approx(4 * 100, rel=1e-6)  # 4 contracts of 100 USD


SOCKETS = [
    ("spot_btcusdt_20240808.gz", "spot_BTCUSDT-trades-2024-08-08", 9_757, 41_249),
    ("spot_btcusdt_20230405.dat.gz", "spot_BTCUSDT-trades-2023-04-05", 3_144, 15_088),
    ("usdm_btcusdt_20230405.dat.gz", "usdm_BTCUSDT-trades-2023-04-05", 10_737, 60_381),
    ("cm_btcusd_perp_20240808.gz", "cm_BTCUSD_PERP-trades-2024-08-08", 2_286, 48_270),
]


@pytest.mark.parametrize(("recorded", "dump", "trades", "lines"), SOCKETS)
def test_a_recorded_socket_tells_the_same_trades_as_the_dump(recorded, dump, trades, lines):
    feed = open_feed([real(f"raw/{recorded}")])
    read, dumped = whole(feed), whole(open_feed([real(f"binance_dump/{dump}.csv")])).ticks
    assert feed.formats == ("binance-socket",)
    assert (read.ticks.height, read.rejected) == (trades, [])
    assert read.ticks.height + sum(read.skipped.values()) == lines
    same = ["venue", "symbol", "event_time_us", "price", "size", "side", "trade_id", "seq"]
    assert read.ticks.join(dumped, on=same, how="inner").height == dumped.height
    assert (
        read.ticks["ingest_time_us"] >= read.ticks["event_time_us"]
    ).all()  # the 2024 receive clock lags by 1.2 s


def test_the_newest_quote_goes_with_a_trade():
    ticks = whole(open_feed([real("raw/spot_btcusdt_20240808.gz")])).ticks
    first = Tick(*ticks.row(0))
    assert (first.bid, first.ask, first.bid_size, first.ask_size) == (
        61837.63,
        61837.64,
        3.78826,
        1.54698,
    )
    assert (ticks["bid"] <= ticks["ask"]).all()


def test_a_buyer_pays_the_offer():
    ticks = whole(open_feed([real("raw/cm_btcusd_perp_20240808.gz")])).ticks
    assert (
        (ticks["price"] - (ticks["bid"] + ticks["ask"]) / 2).sign() == ticks["side"]
    ).mean() > 0.99


def test_a_recording_in_microseconds_arrives_in_the_right_year():
    first = Tick(*whole(open_feed([real("raw/usdm_btcusdt_20230404.dat.gz")])).ticks.row(0))
    assert (first.event_time_us, first.ingest_time_us) == (
        1680652700452000,
        1680652700452000,
    )  # received 11 ms "before" the event
    assert first.bid == 28145.1


def test_fills_of_the_insurance_fund_are_rejected():
    assert whole(open_feed([real("raw/usdm_btcusdt_20230405.dat.gz")])).skipped["not_market"] == 1


def test_cme_gold_is_read_whole():
    feed = open_feed([real("raw/xauusd_28june_trades_0501.parquet")])
    ticks = whole(feed).ticks
    first, last = (Tick(*ticks.row(i)) for i in (0, -1))
    assert feed.formats == ("cme-parquet",)
    assert ticks.height == ticks["trade_id"].n_unique() == 88_646  # the file's own ids repeat
    assert (first.key, first.event_time_us, first.size, first.side) == (
        "CME:GC",
        1682899200032000,
        1.0,
        1,
    )
    assert first.price == pytest.approx(1995.6)
    assert last.event_time_us == 1682985597200000
    assert ticks["side"].value_counts().sort("side").rows() == [(-1, 44_926), (1, 43_720)]
    assert ticks.select("event_time_us", "seq").rows() == sorted(
        ticks.select("event_time_us", "seq").rows()
    )


def test_the_side_of_cme_is_the_side_that_was_hit():
    ticks = whole(open_feed([real("raw/xauusd_28june_trades_0501.parquet")])).ticks
    quotes = pl.read_parquet(real("raw/xauusd_28june_quotes_0501.parquet")).select(
        at=pl.col("transact_time").dt.epoch("us") + 1,
        mid=(pl.col("bid_price_0") + pl.col("offer_price_0")) / 2,
    )
    joined = ticks.join_asof(quotes.sort("at"), left_on="event_time_us", right_on="at").drop_nulls(
        "mid"
    )
    assert ((joined["price"] - joined["mid"]).sign() == joined["side"]).mean() > 0.9


def test_many_files_are_one_stream_in_order_of_time():
    real("binance_dump/spot_BTCUSDT-trades-2024-08-08.csv")
    feed = open_feed([ROOT / "binance_dump" / "*.csv"])
    ticks = whole(feed).ticks
    assert ticks.height == 95_651
    assert ticks["event_time_us"].is_sorted()
    assert ticks.select("venue", "symbol").n_unique() == 6
    alone = whole(open_feed([ROOT / "binance_dump" / "usdm_ETHUSDT-trades-2024-08-08.csv"])).ticks
    together = ticks.filter(pl.col("venue") == "BINANCE_USDM", pl.col("symbol") == "ETHUSDT").tail(
        alone.height
    )
    assert together.equals(alone)  # rows of one file keep their order
    assert feed.span(NOW_US) == Span(ticks["event_time_us"][0], ticks["event_time_us"][-1])


def test_quotes_are_not_taken_for_trades():
    from contracts.errors import FeedError

    with pytest.raises(FeedError, match="quotes, not trades"):
        open_feed([real("raw/xauusd_28june_quotes_0501.parquet")])
