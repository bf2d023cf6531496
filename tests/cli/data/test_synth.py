"""`tick synth`: the synthetic market as a file."""

import polars as pl
import pytest

DAY = ("--days", 0.01, "--start", "2026-03-01", "--preset", "fixture")


def written(command, file, *arguments) -> tuple[pl.DataFrame, str]:
    result = command("synth", file, *DAY, *arguments)
    assert result.exit_code == 0, result.output
    return pl.read_parquet(file), result.stdout


def test_the_output_counts_what_is_in_the_file(lake_command, tmp_path):
    frame, output = written(lake_command, tmp_path / "market.parquet")
    assert output.startswith(f"{len(frame):,} ticks of ")
    assert "(planted ic " in output
    assert frame["symbol"].n_unique() == 3


def test_the_same_seed_is_the_same_market(lake_command, tmp_path):
    first, second, other = (
        written(lake_command, tmp_path / f"{name}.parquet", "--seed", seed)[0]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.equals(second)
    assert not first.equals(other)


def test_the_market_begins_at_the_start_and_has_the_length(lake_command, tmp_path):
    frame, _ = written(lake_command, tmp_path / "market.parquet", "--rate", 1)
    times_us = frame["event_time_us"]
    start_us = 1_772_323_200_000_000
    assert start_us <= times_us.min() < start_us + 60_000_000
    assert times_us.max() < start_us + 864_000_000


def test_a_higher_rate_is_more_ticks(lake_command, tmp_path):
    few, _ = written(lake_command, tmp_path / "few.parquet", "--rate", 0.5)
    many, _ = written(lake_command, tmp_path / "many.parquet", "--rate", 5)
    assert 5 * len(few) < len(many) < 20 * len(few)


def test_the_planted_signal_is_named(lake_command, tmp_path):
    _, output = written(lake_command, tmp_path / "market.parquet", "--ic", 0.25)
    assert output.endswith("(planted ic 0.25)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--preset", "none"), 1, "none"),
        (("--days", -1), 2, "--days"),
        (("--rate", -1), 2, "--rate"),
        (("--start", "noon"), 2, "'noon'"),
        (("--seed", "x"), 2, "--seed"),
    ],
)
def test_a_wrong_option_is_named_and_no_file_is_written(
    lake_command, tmp_path, arguments, code, named
):
    file = tmp_path / "market.parquet"
    result = lake_command("synth", file, *arguments)
    assert result.exit_code == code
    assert named in result.output
    assert not file.exists()
