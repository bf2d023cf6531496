"""The figures of each bench from given costs: units, ratios and aims."""

import pytest

from bench.cost.process import Cost
from bench.errors import BenchError
from bench.measures import bulk_load, freshness, online_read, online_write, replay
from bench.measures.online_read import ReadTimes
from feature_store.online.writer_stats import Counters, WriterReport


def by_name(figures):
    return {figure.what: figure for figure in figures}


def test_a_replay_is_compared_with_the_bare_loop():
    figures = by_name(replay._figures(1_000_000, Cost(4.0, 5.0), Cost(2.0, 2.5)))
    assert figures["replay, CPU of the producer"].value == 250_000
    assert figures["replay, by the clock"].value == 200_000
    assert figures["bare produce loop, CPU"].value == 500_000
    assert figures["CPU of a replay / bare loop"].value == 2.0
    assert figures["replay, CPU of the producer"].met


def test_a_bulk_load_is_compared_with_append_and_copy():
    first, again, text, copy, append = (Cost(cpu_s, 10.0) for cpu_s in (5.0, 1.0, 8.0, 2.0, 4.0))
    figures = by_name(bulk_load._figures(4_000_000, first, again, text, copy, append))
    assert figures["bulk load, CPU"].value == 800_000
    assert figures["bulk load, by the clock"].value == 400_000
    assert figures["the same file again, CPU"].value == 4_000_000
    assert figures["the same ticks from CSV, CPU"].value == 500_000
    assert figures["bare append of PyIceberg, CPU"].value == 1_000_000
    assert figures["polars scan and sink, CPU"].value == 2_000_000
    assert figures["CPU of a load / scan and sink"].value == 2.5


def test_writes_are_compared_with_feast_on_the_same_redis():
    figures = by_name(
        online_write._figures(60_000, Cost(0.6, 1.0), Cost(1.2, 1.5), 0.8, 5_000.0, 50.0)
    )
    assert figures["OnlineTable.write, by the clock"].value == 40_000
    assert figures["OnlineTable.write, by the clock"].met
    assert figures["OnlineTable.write, CPU of both sides"].value == pytest.approx(30_000)
    assert figures["with decoding, one after the other"].value == pytest.approx(24_000)
    assert figures["ours / Feast, many"].value == 8.0
    assert "CPU per row: 20 µs in the client, 13 µs in Redis" in (
        figures["OnlineTable.write, by the clock"].note
    )


@pytest.mark.parametrize(("size", "lengths"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_rows_are_written_in_batches_and_none_is_lost(size, lengths):
    batches = list(online_write._batches(range(5), size))
    assert [len(batch) for batch in batches] == lengths
    assert sum(batches, []) == list(range(5))


def test_a_read_is_compared_with_the_raw_one_at_the_median_and_in_the_tail():
    ours = ReadTimes([200.0] * 98 + [900.0] * 2, cpu_s=0.02)
    raw = ReadTimes([100.0] * 98 + [300.0] * 2, cpu_s=0.01)
    figures = by_name(online_read._figures(ours, raw))
    assert figures["one row p50 / raw HMGET"].value == 2.0
    assert figures["one row p50 / raw HMGET"].met
    assert figures["one row p99 / raw HMGET"].value == 3.0
    assert figures["one row p99 / raw HMGET"].met is False
    assert figures["one row, CPU / raw HMGET"].note == (
        "200 µs against 100 µs of this process, 100 reads each"
    )


def report_of(p50_ms, p99_ms):
    return WriterReport(Counters(), samples=1000, p50_ms=p50_ms, p99_ms=p99_ms)


def test_freshness_needs_a_row():
    with pytest.raises(BenchError, match="no row became readable"):
        freshness._figures(report_of(None, None), 10_000, 9_990.0, 0.5)


def test_freshness_is_the_age_at_which_rows_become_readable():
    p50, p99, cores = freshness._figures(report_of(350.0, 1200.0), 2_400_000, 9_984.0, 0.5)
    assert (p50.value, p50.met) == (350.0, True)
    assert (p99.value, p99.met) == (1200.0, False)
    assert p50.note == "1,000 rows of all views; 2,400,000 ticks of 50 symbols sent at 9,984/s"
    assert (cores.value, cores.unit) == (0.5, "cores")


def test_the_market_of_freshness_sends_the_rate_that_is_measured():
    feed = freshness._market(0, 60.0)
    assert feed.exchange.rate * len(feed.exchange.symbols) == freshness.TICKS_PER_S
    assert len(set(feed.exchange.symbols)) == freshness.SYMBOLS
