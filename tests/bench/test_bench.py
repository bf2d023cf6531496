"""The benches run and return their figures; no test asserts how fast anything is."""

from io import StringIO

import orjson
import polars as pl
import psutil
import pytest
from rich.console import Console

from bench import __main__ as command
from bench import (
    as_of_join,
    backfill,
    bulk_load,
    exchange,
    feature_rows,
    flink,
    flink_bound,
    flink_load,
    machine,
    online_read,
    parity,
    report,
    services,
)
from bench.figures import BenchError, Figure, Result, quantile, readable
from bench.load import Chunk
from bench.machine import jit_s
from contracts.features import columns
from contracts.messages.parsing import parse
from contracts.tick import Tick
from contracts.units import MINUTE_US
from contracts.windows import LEVELS
from feature_store.online.store import encode_row
from streaming.feeds.tick_frame import encode, reject_reasons

START_US = 1_800_000_000_000_000
TINY = 0.02


def test_exchange_yields_a_rate_per_market():
    figures = exchange.measure(TINY)
    assert [figure.unit for figure in figures] == ["ticks/s CPU"] * 2
    assert all(figure.value > 0 and figure.at_least == exchange.AIM_PER_S for figure in figures)


def test_bulk_load_is_measured_against_a_bare_append_and_a_copy():
    figures = bulk_load.measure(TINY / 5)
    assert [figure.unit for figure in figures] == [
        "ticks/s CPU",
        "ticks/s",
        *["ticks/s CPU"] * 4,
        "×",
    ]
    assert all(figure.value > 0 for figure in figures)


def test_parity_is_measured_against_a_bare_read(monkeypatch):
    monkeypatch.setattr(parity, "HOURS", 1)
    figures = parity.measure(TINY)
    assert figures[0].at_most == parity.AIM_S and "4,020 rows on each side" in figures[0].note
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.filterwarnings("ignore")  # Feast, dask and pandas warn of each other
def test_the_join_is_measured_against_polars_and_feast(monkeypatch):
    monkeypatch.setattr(as_of_join, "FEAST_ROWS", 50)
    figures = as_of_join.measure(TINY / 10)
    assert [figure.unit for figure in figures] == ["rows/s CPU", "rows/s CPU", "×", "rows/s CPU"]
    assert figures[0].note.startswith("2,000 decisions, 2,000 usable") and all(
        figure.value > 0 for figure in figures
    )


def test_a_backfill_is_measured_by_the_margin_and_by_memory():
    runs = [
        backfill.Run(p, n, c, 1e-5 * n, 1.0, m, 10 * m)
        for p, n, c, m in zip(
            (100, 100, 100, 100, 5, 5, 100, 100),
            (1, 10, 50, 200, 10, 30, 10, 50),
            (9, 1, 2, 5, 2, 4, 1, 3),
            (1, 10, 11, 12, 9, 9, 9, 9),
            strict=True,
        )
    ]
    dense, jit, sparse, copied, tile, client, worker = backfill.figures(runs, 160)
    assert jit.value == pytest.approx(10)
    assert (
        dense.value == pytest.approx(50)
        and sparse.value == pytest.approx(10)
        and copied.value == pytest.approx(20)
    )
    assert tile.value == pytest.approx((1e5 - 2e4) / (1 / 5 - 1 / 100))
    assert (
        client.value == pytest.approx(1.2)
        and client.met
        and worker.value == pytest.approx(0.75)
        and worker.met
    )


@pytest.mark.integration
def test_online_read_is_compared_with_a_raw_read_and_leaves_nothing_running():
    figures = online_read.measure(TINY)
    assert [figure.unit for figure in figures] == ["×"] * 3
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.integration
def test_a_platform_is_stopped_after_a_failure():
    with pytest.raises(BenchError), services.running(("redis",)) as settings:
        redis, home = services.process(settings, "redis"), settings.root
        raise BenchError("as if something never arrived")
    assert not redis.is_running()
    assert not home.exists()


def test_waiting_ends_with_what_was_missing():
    with pytest.raises(BenchError, match="in vain: the last row"):
        services.wait(lambda: False, "the last row", timeout_s=0.0)
    services.wait(lambda: True, "nothing", timeout_s=0.0)


@pytest.mark.parametrize(("seconds", "per_tile"), [(1, 3), (61, 5), (130, 100)])
def test_a_chunk_has_the_ticks_tiles_and_rows_it_promises(seconds, per_tile):
    chunk = Chunk(START_US, seconds, per_tile, symbols=4)
    ticks = pl.concat(chunk.frames())
    second = pl.col("event_time_us") // 1_000_000
    per_level = [ticks.select("symbol", second // level.tile_s).n_unique() for level in LEVELS]
    assert (ticks.height, per_level[0], sum(per_level)) == (chunk.ticks, chunk.tiles, chunk.rows)
    assert ticks["trade_id"].n_unique() == chunk.ticks
    assert ticks["event_time_us"].is_sorted()
    assert set(ticks.group_by("symbol", second).len()["len"]) == {per_tile}


def test_a_chunk_is_accepted_whole_and_closed_before_the_next():
    chunk = Chunk(START_US, 70, 5, symbols=2)
    ticks = pl.concat(chunk.frames())
    assert reject_reasons(ticks, chunk.next_us).null_count() == ticks.height
    assert all(isinstance(parse(message, chunk.next_us), Tick) for message in encode(ticks)[:50])
    last_bar_us = -(-(ticks["event_time_us"].max() + 1) // MINUTE_US) * MINUTE_US
    assert last_bar_us < chunk.close_us < chunk.next_us
    assert chunk.next_us % MINUTE_US == 0


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
def test_the_plan_of_the_live_job_is_in_the_past_without_overlap(scale):
    chunks = flink.chunks(START_US, scale)
    assert all(
        earlier.next_us == later.start_us
        for earlier, later in zip(chunks, chunks[1:], strict=False)
    )
    assert START_US - 2 * MINUTE_US < chunks[-1].next_us <= START_US
    _, _, *pairs = chunks
    assert all(
        short.ticks < long.ticks and short.per_tile == long.per_tile
        for short, long in (pairs[:2], pairs[2:])
    )


def test_ticks_and_tiles_are_separated_by_density():
    tick_us, tile_us = 3.0, 100.0
    dense_us, sparse_us = (tick_us + tile_us / density for density in (flink.DENSE, flink.SPARSE))
    figures = {
        figure.what: figure.value
        for figure in flink.figures(dense_us, sparse_us, 1.0, 1.5, 0.1, [])
    }
    assert figures["a tile, all windows"] == pytest.approx(tile_us)
    assert figures["a tick without its tile"] == pytest.approx(tick_us)
    assert figures[f"ticks at {flink.DENSE} a tile"] == pytest.approx(250_000)


def test_the_compiler_of_the_jvm_is_reported_separately():
    short, long = (
        flink_load.Run(Chunk(START_US, seconds, 10, 1), 2.0 * seconds, 1.0 * seconds, [], [])
        for seconds in (1, 3)
    )
    assert flink._marginal_us(short, long) == pytest.approx(0.2e6) and flink._marginal_us(
        short, long, jit=True
    ) == pytest.approx(0.1e6)
    assert jit_s(psutil.Process()) == 0.0, (
        "no thread of this process is called like a compiler of the JVM"
    )


def test_the_bound_reads_exactly_these_offsets(free_settings):
    ddl = flink_bound.program(free_settings, [0, 5], [10, 20]).ddl[0]
    assert "'scan.startup.specific-offsets'='partition:0,offset:0;partition:1,offset:5'" in ddl
    assert "'scan.bounded.specific-offsets'='partition:0,offset:10;partition:1,offset:20'" in ddl


def test_feature_rows_are_accepted_by_the_writer():
    rows = list(feature_rows.stream(feature_rows.symbols(3), 60, START_US // 1000))
    assert len(rows) == 3 * (60 + 6 + 1)
    assert [encode_row(row).view for row in rows] == [row["view"] for row in rows]
    for level in LEVELS:
        row = next(row for row in rows if row["view"] == level.view)
        assert {column.name for column in columns(level)} < set(row)


def test_an_aim_is_met_or_not_or_absent():
    assert [
        Figure("", 2.0, "", at_least=1).met,
        Figure("", 2.0, "", at_most=1).met,
        Figure("", 2.0, "").met,
    ] == [True, False, None]
    assert [
        Figure("", 0, "", at_least=30_000).aim,
        Figure("", 0, "", at_most=1.5).aim,
        Figure("", 0, "").aim,
    ] == ["≥ 30,000", "≤ 1.5", ""]


def test_numbers_are_short():
    assert [readable(value) for value in (0, 0.01234, 1.5, 99.44, 1234567.8)] == [
        "0",
        "0.0123",
        "1.5",
        "99.4",
        "1,234,568",
    ]
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(100), 0.99) == 99


def test_the_report_is_a_table_and_a_file(tmp_path):
    result = Result(
        "flink",
        [Figure("a tile", 99.5, "µs CPU", at_most=120.0, note="from both")],
        "",
        3.2,
        0.5,
        1.5,
    )
    file = report.save(tmp_path / "bench", machine.describe(), [result], START_US)
    saved = orjson.loads(file.read_bytes())
    assert file.name == "20270115T080000Z.json"
    assert saved["machine"]["cores"] >= 1
    assert saved["results"][0]["figures"][0] | {"met": True} == saved["results"][0]["figures"][0]
    console = Console(file=StringIO(), record=True, width=100)
    report.show(console, result)
    text = console.export_text()
    assert all(
        part in text for part in ("load 0.5 → 1.5", "a tile", "99.5", "≤ 120", "yes", "from both")
    )


def test_a_failure_is_a_result_and_the_next_bench_runs(monkeypatch):
    def fails(scale):
        raise BenchError(f"nothing came at {scale}", "look [here]")

    monkeypatch.setattr(exchange, "measure", fails)
    result = command.run_bench(command.Name.EXCHANGE, 0.5)
    assert (result.figures, result.failure) == (
        [],
        "BenchError: nothing came at 0.5\n  → look [here]",
    )
    console = Console(file=StringIO(), record=True, width=100)
    report.show(console, result)
    assert "look [here]" in console.export_text()


def test_every_name_is_a_module_that_measures():
    for name in command.Name:
        assert callable(command.load_bench(name))
