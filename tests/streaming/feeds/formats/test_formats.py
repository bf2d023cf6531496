"""Formats from handwritten files: columns, time units, broken rows, containers, bounded memory."""

import gzip
import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from contracts.errors import FeedError
from contracts.tick import Reason, Tick
from streaming.feeds import BY_NAME, FORMATS, open_feed
from streaming.feeds.formats import canonical
from streaming.feeds.tick_frame import SCHEMA
from streaming.synthetic.market import FIXTURE, generate
from tests.conftest import REPO
from tests.streaming.feeds.test_real import NOW_US, whole

AT_US = 1_723_161_255_342_000
SPOT = "1,100.5,0.25,25.125,1723161255342,True,True\n2,100.6,0.5,50.3,1723161255343,False,True\n"
AGG = "9,100.5,0.25,1,3,1723161255342,True,True\n10,100.6,0.5,4,4,1723161255343,False,True\n"


def read(tmp_path, name, text, **options):
    """The ticks and rejects of a file with this content."""
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    feed = open_feed([file], **options)
    got = whole(feed)
    return [Tick(*row) for row in got.ticks.rows()], got.rejected, feed.formats[0]


def test_spot_trades_of_the_official_name(tmp_path):
    ticks, rejected, name = read(tmp_path, "BTCUSDT-trades-2024-08-08.csv", SPOT)
    assert name == "binance-trades" and not rejected
    assert ticks[0] == Tick("BINANCE", "BTCUSDT", AT_US, AT_US, 100.5, 0.25, -1, "1", 1)
    assert ticks[1].side == 1


@pytest.mark.parametrize(
    ("header", "row", "key", "size"),
    [
        (
            "id,price,qty,quote_qty,time,is_buyer_maker",
            "7,2.5,40,100,1723161255342,false",
            "BINANCE_USDM:ETHUSDT",
            40.0,
        ),
        (
            "id,price,qty,base_qty,time,is_buyer_maker",
            "7,2.5,10,40,1723161255342,false",
            "BINANCE_COINM:ETHUSDT",
            40.0,
        ),
        ("", "7,2.5,40,100,1723161255342,false", "BINANCE_USDM:ETHUSDT", 40.0),
    ],
)
def test_futures_trades_with_and_without_header(tmp_path, header, row, key, size):
    ticks, rejected, _ = read(
        tmp_path, "ETHUSDT-trades-2024-08-08.csv", f"{header}\n{row}\n" if header else f"{row}\n"
    )
    assert not rejected
    assert (ticks[0].key, ticks[0].size, ticks[0].side) == (key, size, 1)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (AGG, "BINANCE:BTCUSDT"),
        (
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n9,100.5,0.25,1,3,1723161255342,true\n",
            "BINANCE_USDM:BTCUSDT",
        ),
        ("9,100.5,0.25,1,3,1723161255342,true\n", "BINANCE_USDM:BTCUSDT"),
    ],
)
def test_aggregated_trades_have_separate_ids(tmp_path, text, key):
    ticks, rejected, name = read(tmp_path, "BTCUSDT-aggTrades-2024-08-08.csv", text)
    assert name == "binance-agg-trades" and not rejected
    assert (
        ticks[0].key,
        ticks[0].trade_id,
        ticks[0].seq,
        ticks[0].event_time_us,
        ticks[0].side,
    ) == (key, "a9", 9, AT_US, -1)


def test_bybit(tmp_path):
    text = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"
        "1723161255.342,BTCUSDT,Buy,0.25,100.5,PlusTick,2f0e9eba-aaaa-5f2c-b7c0-3a1c29ed4e06,2512500000,0.25,25.125\n"
        "1723161255.3431,BTCUSDT,Sell,0.5,100.4,MinusTick,2f0e9eba-bbbb-5f2c-b7c0-3a1c29ed4e06,5020000000,0.5,50.2\n"
    )
    ticks, rejected, name = read(tmp_path, "BTCUSDT2024-08-08.csv", text)
    assert name == "bybit" and not rejected
    assert ticks[0] == Tick(
        "BYBIT", "BTCUSDT", AT_US, AT_US, 100.5, 0.25, 1, "2f0e9eba-aaaa-5f2c-b7c0-3a1c29ed4e06", 1
    )
    assert (ticks[1].event_time_us, ticks[1].side, ticks[1].seq) == (AT_US + 1_100, -1, 2)


def test_tardis_infers_unknown_sides_by_the_tick_rule(tmp_path):
    text = (
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        f"binance-futures,btcusdt,{AT_US},{AT_US + 900},11,buy,100.5,0.25\n"
        f"binance-futures,btcusdt,{AT_US + 1},{AT_US + 901},12,unknown,100.4,0.25\n"
        f"binance-futures,btcusdt,{AT_US + 2},{AT_US + 902},,unknown,100.4,0.25\n"
        f"okex-swap,btcusdt,{AT_US + 3},{AT_US + 903},13,unknown,100.4,0.25\n"
    )
    file = tmp_path / "tardis.csv"
    file.write_text(text)
    got = whole(open_feed([file]))
    ticks = [Tick(*row) for row in got.ticks.rows()]
    assert ticks[0] == Tick("BINANCE_USDM", "BTCUSDT", AT_US, AT_US + 900, 100.5, 0.25, 1, "11", 11)
    assert [tick.side for tick in ticks] == [1, -1, -1, 0]  # no earlier price of this venue
    assert (ticks[2].trade_id, ticks[3].venue, got.sides_inferred) == ("tardis:3", "OKEX_SWAP", 2)


DATABENTO = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence"


def test_databento(tmp_path):
    text = (
        f"{DATABENTO}\n"
        "1723161255342000900,1723161255342000800,0,1,5482,T,B,0,1995600000000,3,0,14000,77\n"
        "1723161255342001900,1723161255342001800,0,1,5482,T,A,0,1995.5,3,0,14000,77\n"
        "1723161255342001900,1723161255342001800,0,1,5482,T,N,0,1995.6,3,0,14000,77\n"
        "1723161255342001900,1723161255342001800,0,1,5482,A,B,0,1995.6,3,0,14000,77\n"
        "1723161255342001900,2024-08-08T23:54:15.342001800Z,0,1,5482,T,B,0,9223372036854775807,3,0,14000,78\n"
    )
    ticks, rejected, name = read(tmp_path, "glbx-mdp3.trades.csv", text, symbol="GCQ4")
    assert name == "databento"
    assert ticks[0] == Tick("CME", "GCQ4", AT_US, AT_US, 1995.6, 3.0, 1, "glbx-mdp3:1", 1)
    assert [tick.price for tick in ticks] == [1995.6, 1995.5, 1995.6]
    assert [tick.side for tick in ticks] == [1, -1, 1]  # sides from the tick rule
    assert [(r.row, r.rejected.reason) for r in rejected] == [
        (4, Reason.INVALID_FIELD),
        (5, Reason.OUT_OF_RANGE),
    ]


def test_the_unit_of_time_is_judged_row_by_row(tmp_path):
    times = (
        "1723161255",
        "1723161255342",
        "1723161255342000",
        "1723161255342000999",
        "1723161255.342",
        "2024-08-08T23:54:15.342Z",
    )
    rows = "".join(f"{i},100,1,100,{time},true,true\n" for i, time in enumerate(times, 1))
    ticks, rejected, _ = read(tmp_path, "BTCUSDT-trades-x.csv", rows)
    assert not rejected
    assert [tick.event_time_us for tick in ticks] == [AT_US - 342_000, *[AT_US] * 5]
    assert (
        datetime.fromtimestamp(ticks[0].event_time_us / 1e6, UTC).isoformat()
        == "2024-08-08T23:54:15+00:00"
    )


def test_broken_rows_are_values_with_reason_and_raw_text(tmp_path):
    bad = {
        b"x,1,1,1,1723161255342,true,true": None,  # a trade id may be any text
        b"2,abc,1,1,1723161255342,true,true": Reason.INVALID_FIELD,
        b"3,100,1,1,1723161255342,maybe,true": Reason.INVALID_FIELD,
        b"4,100,1": Reason.INVALID_FIELD,
        b"5,100,1,1,1723161255342,true,true,more": Reason.INVALID_FIELD,
        b"6,NaN,1,1,1723161255342,true,true": Reason.INVALID_FIELD,
        b"7,100,1,1,1723161255342,tr\xff\xfe,true": Reason.INVALID_FIELD,
        b"8,-100,1,1,1723161255342,true,true": Reason.NOT_POSITIVE,
        b"9,100,1e13,1,1723161255342,true,true": Reason.OUT_OF_RANGE,
        b"10,100,1,1,-5,true,true": Reason.TIME_OUT_OF_BOUNDS,
        b"11,100,1,1,253370764800000,true,true": Reason.TIME_OUT_OF_BOUNDS,
        b",100,1,1,1723161255342,true,true": Reason.INVALID_FIELD,
        b'"12","100","1","1","1723161255342","true","true"': None,  # quoted cells are cells
    }
    content = SPOT.encode() * 20 + b"\n".join(bad) + b"\n\n  \r\n" + SPOT.encode()
    file = tmp_path / "spot_BTCUSDT-trades-2024-08-08.csv"
    file.write_bytes(content)
    got = whole(open_feed([file]))
    refused = {raw: reason for raw, reason in bad.items() if reason}
    assert {reject.rejected.raw: reject.rejected.reason for reject in got.rejected} == refused
    assert [content.split(b"\n")[reject.row] for reject in got.rejected] == list(refused)
    assert all(reject.origin == file.name for reject in got.rejected)
    assert got.ticks.height + len(got.rejected) + got.skipped["blank"] == content.count(b"\n")
    assert got.rejected[0].rejected.detail == "unreadable: price"


def test_a_broken_line_of_a_recording_is_rejected(tmp_path):
    def line(**fields):
        data = {
            "e": "trade",
            "E": 1,
            "s": "BTCUSDT",
            "t": 5,
            "p": "100",
            "q": "1",
            "T": 1723161255342,
            "m": True,
            "M": True,
        } | fields
        return f"1723161254342000000 {json.dumps({'stream': 'btcusdt@trade', 'data': data})}\n"

    quote = '1 {"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"99","B":"1","a":"101","A":"2"}}\n'
    crossed = quote.replace('"99"', '"105"')
    lines = [
        line(),
        quote,
        line(t=6),
        crossed,
        line(t=7),
        line(t=8, m="?"),
        line(p=None, t=9),
        "173 {not json\n",
        line(t=10, T=5),
    ]
    ticks, rejected, name = read(tmp_path, "rec.txt", "".join(lines))
    assert name == "binance-socket"
    assert [(tick.trade_id, tick.bid, tick.ask_size) for tick in ticks] == [
        ("5", None, None),
        ("6", 99.0, 2.0),
        ("7", 99.0, 2.0),
    ]
    assert [(r.row, r.rejected.reason) for r in rejected] == [
        (5, Reason.INVALID_FIELD),
        (6, Reason.INVALID_FIELD),
        (7, Reason.INVALID_FIELD),
        (8, Reason.TIME_OUT_OF_BOUNDS),
    ]
    assert rejected[2].rejected.raw == b"173 {not json"


def test_containers_hold_the_same_trades(tmp_path):
    plain = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    plain.write_text(SPOT * 30_000)  # more than one block
    expected = whole(open_feed([plain])).ticks
    assert expected.height == 60_000
    packed = {
        name: tmp_path / name / f"{plain.name}{end}"
        for name, end in (("gz", ".gz"), ("zst", ".zst"), ("zip", ""))
    }
    for file in packed.values():
        file.parent.mkdir()
    packed["gz"].write_bytes(gzip.compress(plain.read_bytes()))
    with pa.output_stream(str(packed["zst"]), compression="zstd") as out:
        out.write(plain.read_bytes())
    packed["zip"] = tmp_path / "zip" / "BTCUSDT-trades-2024-08-08.zip"
    with zipfile.ZipFile(packed["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, plain.name)
    for file in packed.values():
        feed = open_feed([file])
        assert whole(feed).ticks.equals(expected), file
        assert feed.span(NOW_US).last_us == AT_US + 1_000


def test_a_cut_off_archive_gives_what_it_has_and_says_so(tmp_path):
    file = tmp_path / "BTCUSDT-trades-2024-08-08.csv.gz"
    file.write_bytes(gzip.compress(SPOT.encode() * 200_000)[:-2_000])
    got = whole(open_feed([file]))
    assert got.ticks.height > 0
    assert [reject.rejected.detail[:19] for reject in got.rejected] == ["the file ends early"]


def test_canonical_files_come_back_as_they_went(tmp_path):
    ticks = pl.concat(list(generate(FIXTURE, AT_US, 3_600))).with_columns(
        bid=pl.col("price") - 0.1, ask=pl.col("price") + 0.1
    )
    parquet, csv = tmp_path / "ticks.parquet", tmp_path / "ticks.csv"
    assert canonical.write(parquet, iter([ticks.head(100), ticks.tail(-100)])) == ticks.height
    ticks.write_csv(csv)
    for file, name in ((parquet, "canonical-parquet"), (csv, "canonical-csv")):
        feed = open_feed([file])
        assert feed.formats == (name,)
        assert whole(feed).ticks.equals(ticks)
        assert feed.span(NOW_US).first_us == ticks["event_time_us"][0]


def test_a_small_canonical_file_gets_defaults(tmp_path):
    ticks, rejected, _ = read(
        tmp_path,
        "my.csv",
        f"symbol,event_time_us,price,size\nABC,{AT_US},1.5,2\nABC,{AT_US // 1000},1.5,2\nABC,,1,1\n",
    )
    assert ticks[0] == Tick("FILE", "ABC", AT_US, AT_US, 1.5, 2.0, 0, "my:1", 1)
    assert ticks[1].event_time_us == AT_US
    assert [reject.row for reject in rejected] == [3]


def test_a_broken_row_of_a_parquet_file_is_rejected(tmp_path):
    file = tmp_path / "mine.parquet"
    times = [datetime(2024, 8, 8, tzinfo=UTC), None, datetime(1980, 1, 1, tzinfo=UTC)]
    pl.DataFrame(
        {"symbol": ["A"] * 3, "event_time_us": times, "price": [1.0] * 3, "size": [1.0] * 3}
    ).write_parquet(file)
    got = whole(open_feed([file], venue="V"))
    assert got.ticks.rows()[0][:3] == ("V", "A", int(times[0].timestamp() * 1e6))
    assert [r.rejected.reason for r in got.rejected] == [
        Reason.INVALID_FIELD,
        Reason.TIME_OUT_OF_BOUNDS,
    ]
    assert json.loads(got.rejected[0].rejected.raw)["symbol"] == "A"


def test_venue_and_symbol_of_the_user_win(tmp_path):
    ticks, _, _ = read(tmp_path, "whatever.csv", SPOT, venue="MINE", symbol="XYZ")
    assert {tick.key for tick in ticks} == {"MINE:XYZ"}


def test_a_name_without_symbol_is_reported_before_anything_is_read(tmp_path):
    with pytest.raises(FeedError, match="does not contain a symbol") as caught:
        read(tmp_path, "whatever.csv", SPOT)
    assert "--symbol" in caught.value.hint


@pytest.mark.parametrize("text", ["", "hello world\n", "a,b,c\n1,2,3\n", "\x00\x01\x02"])
def test_an_unknown_format_names_the_known_ones_and_what_was_seen(tmp_path, text):
    with pytest.raises(FeedError) as caught:
        read(tmp_path, "strange.csv", text)
    assert "strange.csv" in caught.value.message and (
        ascii(text.split("\n")[0]) in caught.value.message or "empty" in caught.value.message
    )
    assert all(format_.name in caught.value.hint for format_ in FORMATS)


def test_names_that_do_not_exist_are_reported(tmp_path):
    with pytest.raises(FeedError, match="no file matches"):
        open_feed([tmp_path / "*.csv"])
    with pytest.raises(FeedError, match="unknown format") as caught:
        open_feed([__file__], format="excel")
    assert "bybit" in caught.value.hint and set(BY_NAME) >= {"bybit", "tardis", "databento"}


def test_a_file_of_another_format_than_named_is_all_rejected(tmp_path):
    ticks, rejected, _ = read(tmp_path, "x.csv", SPOT, format="tardis")
    assert not ticks and len(rejected) == 2


MEMORY = """
import resource, sys
from streaming.feeds import open_feed
print(sum(batch.ticks.height for batch in open_feed([sys.argv[1]]).batches(1_760_000_000_000_000)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_forty_times_the_file_needs_no_more_memory(tmp_path):
    peaks = []
    for copies in (1, 40):
        file = tmp_path / "BTCUSDT-trades-2024-08-08.csv.gz"
        with gzip.open(file, "wb", compresslevel=1) as out:
            for _ in range(copies):
                out.write(SPOT.encode() * 30_000)
        output = subprocess.run(
            [sys.executable, "-c", MEMORY, str(file)],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        rows, peak_mb = map(int, output.stdout.split())
        assert rows == copies * 60_000
        peaks.append(peak_mb)
    assert peaks[1] < peaks[0] + 60


def test_batches_have_the_contract_columns_even_when_empty(tmp_path):
    file = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    file.write_text("id,price,qty,quote_qty,time,is_buyer_maker\n")
    batches = list(open_feed([file]).batches(NOW_US))
    assert [dict(batch.ticks.schema) for batch in batches] == [SCHEMA] * len(batches)
    with pytest.raises(FeedError, match="no tick"):
        open_feed([file]).span(NOW_US)
