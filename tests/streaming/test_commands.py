"""Output and errors of `tick replay` and `tick synth`."""

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.errors import TickError
from streaming.feeds.tick_frame import SCHEMA
from streaming.synthetic.market import DEMO, FIXTURE, preset_with
from tests.streaming.feeds.formats.test_formats import SPOT
from tests.streaming.replay.test_replay import command, finish
from tests.support import topic_reader


def test_synth_writes_a_market_that_replay_reads(tmp_path):
    file = tmp_path / "market.parquet"
    words = [
        "synth",
        str(file),
        "--preset",
        "fixture",
        "--days",
        "0.05",
        "--start",
        "2024-01-01",
        "--ic",
        "0",
        "--seed",
        "3",
    ]
    result = CliRunner().invoke(app, words)
    ticks = pl.read_parquet(file)
    assert (
        result.exit_code == 0
        and f"{ticks.height:,} ticks of AAAUSD, BBBUSD, CCCUSD" in result.output
    )
    assert dict(ticks.schema) == SCHEMA
    assert ticks["event_time_us"][0] // 86_400_000_000 == 19_723  # 2024-01-01


def test_presets_are_named_and_changeable():
    assert preset_with("demo") == DEMO
    assert preset_with("fixture", ic=0.0, seed=None).ic == 0.0 != FIXTURE.ic
    with pytest.raises(TickError, match="unknown preset"):
        preset_with("nasdaq")


@pytest.mark.integration
def test_replay_tells_what_it_did(kafka, tmp_path):
    file = tmp_path / "spot_BTCUSDT-trades-2024-08-08.csv"
    file.write_text(SPOT + "3,0,1,1,1723161255342,true,true\n\n")
    marks = topic_reader.ends(kafka, "ticks")
    code, output = finish(command(kafka, "replay", file, "--speed", "0"))
    assert code == 0, output
    assert "2 ticks sent" in output and "from binance-trades" in output
    assert "1 rows rejected" in output and "blank 1" in output
    assert "no live job runs" in output
    assert sum(not m.is_beat for m in topic_reader.since(kafka, "ticks", marks)) == 2
    assert (
        finish(command(kafka, "replay", file, "--speed", "0"))[0] == 0
    )  # a finished replay may be repeated


@pytest.mark.integration
def test_a_synthetic_market_can_be_replayed_by_name(kafka):
    code, output = finish(
        command(
            kafka,
            "replay",
            "synthetic",
            "--preset",
            "fixture",
            "--history",
            "5",
            "--minutes",
            "0.02",
        )
    )
    assert code == 0 and "from synthetic" in output, output


def test_an_unknown_file_is_reported(tmp_path, free_settings):
    (tmp_path / "x.csv").write_text("hello\n")
    code, output = finish(command(free_settings, "replay", tmp_path / "x.csv"))
    assert code == 1 and "cannot tell the format" in output and "databento" in output
