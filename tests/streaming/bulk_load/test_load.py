"""Bulk load into a real lakehouse: every row counts once, even after a kill or a second load."""

import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.tick import MESSAGE_BYTES_MAX
from lakehouse import leases
from lakehouse.leases import LeaseError
from lakehouse.maintenance.compaction import CompactionRule, compact
from lakehouse.schemas import DEAD_LETTER, SILVER
from lakehouse.tables import Lakehouse
from streaming.bulk_load.dedup import Deduplicator, fingerprints
from streaming.bulk_load.load import LoadReport, load, rows_expected
from streaming.feeds import open_feed, tick_frame
from streaming.feeds.formats import canonical
from streaming.feeds.source import expand
from tests.support.trade_files import ROOT, real

REPO = Path(__file__).parents[3]
START_US = 19_800 * DAY_US
NOW_US = 4_000_000_000_000_000
HOUR_US = 3_600_000_000


def ticks(
    count: int,
    start_us: int = START_US,
    step_us: int = 1_000_000,
    symbol: str = "S",
    first: int = 0,
) -> pl.DataFrame:
    """Ticks of one symbol, `step_us` apart, with ids from `first` on."""
    number = pl.int_range(first, first + count, eager=True)
    return tick_frame.conform(
        pl.DataFrame(
            {
                "venue": "V",
                "symbol": symbol,
                "event_time_us": start_us + (number - first) * step_us,
                "ingest_time_us": start_us + (number - first) * step_us + 5,
                "price": 100.0 + (number % 7),
                "size": 1.5,
                "side": 1,
                "trade_id": number.cast(pl.String),
                "seq": number,
            }
        )
    )


def written(file: Path, frame: pl.DataFrame) -> Path:
    canonical.write(file, iter([frame]))
    return file


@pytest.fixture
def lake(tmp_path):
    """Settings of a lakehouse with small commits, so that a load has many."""
    return Settings(home=tmp_path / "home", load_commit_rows=5_000)


def of(lake: Settings, *files: Path | str, **names: str) -> LoadReport:
    done = load(lake, open_feed(files, **names), NOW_US)
    assert done.read == done.loaded + done.already + done.duplicates + sum(done.rejected.values())
    return done


def fates(done: LoadReport) -> tuple[int, int, int, int]:
    return done.loaded, done.already, done.duplicates, sum(done.rejected.values())


def stored(lake: Settings, table: str = SILVER) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(Lakehouse(lake).table(table).scan().to_arrow()))


def digest(lake: Settings) -> str:
    """Every column of every row, in any order."""
    return sha256(stored(lake).sort("venue", "symbol", "trade_id").write_csv().encode()).hexdigest()


def partitions(lake: Settings) -> dict[str, int]:
    parts = Lakehouse(lake).table(SILVER).inspect.partitions().to_pylist()
    return {str(part["partition"]["event_day"]): part["record_count"] for part in parts}


def test_every_column_arrives_as_the_stream_would_have_written_it(lake, tmp_path):
    quoted = ticks(10).with_columns(bid=pl.lit(99.5), ask=pl.col("price") + 1)
    done = of(lake, written(tmp_path / "a.parquet", quoted))
    assert fates(done) == (10, 0, 0, 0)
    held = stored(lake).sort("seq")
    assert held.select(list(tick_frame.SCHEMA)).equals(quoted)
    assert held["event_time"].dt.epoch("us").equals(quoted["event_time_us"], check_names=False)
    assert not held["late"].any()
    assert Lakehouse(lake).read_ticks(START_US, START_US + DAY_US).height == 10


def test_rows_lie_in_the_partition_of_their_day_and_few_commits_write_them(lake, tmp_path):
    file = written(
        tmp_path / "days.parquet",
        ticks(12_000, start_us=START_US + 12 * HOUR_US, step_us=30_000_000),
    )
    assert fates(of(lake, file)) == (12_000, 0, 0, 0)
    assert partitions(lake) == {
        "2024-03-18": 1440,
        "2024-03-19": 2880,
        "2024-03-20": 2880,
        "2024-03-21": 2880,
        "2024-03-22": 1920,
    }
    table = Lakehouse(lake).table(SILVER)
    assert len(table.snapshots()) <= 3
    assert table.inspect.files().num_rows == 5  # a day waits until it is whole


def test_metadata_are_those_that_an_ordinary_append_writes(lake, tmp_path):
    frame = ticks(100)
    of(lake, written(tmp_path / "a.parquet", frame))
    ordinary = Settings(home=tmp_path / "ordinary")
    Lakehouse(ordinary).create()
    Lakehouse(ordinary).append_ticks(frame)
    ours, theirs = (
        Lakehouse(home).table(SILVER).inspect.files().to_pylist()[0] for home in (lake, ordinary)
    )
    for name in (
        "record_count",
        "partition",
        "spec_id",
        "value_counts",
        "null_value_counts",
        "lower_bounds",
        "upper_bounds",
    ):
        assert ours.get(name) == theirs.get(name)
    assert "event_day=2024-03-18" in ours["file_path"]


def test_a_second_time_nothing_is_added(lake, tmp_path):
    file = written(tmp_path / "a.parquet", ticks(9_000, step_us=60_000_000))
    of(lake, file)
    before, snapshot = digest(lake), Lakehouse(lake).snapshot_ids()[SILVER]
    assert fates(of(lake, file)) == (0, 9_000, 0, 0)
    assert (digest(lake), Lakehouse(lake).snapshot_ids()[SILVER]) == (before, snapshot)


def test_duplicates_inside_the_files_count_once(lake, tmp_path):
    first = written(
        tmp_path / "a.parquet",
        pl.concat([ticks(50), ticks(50), ticks(20, start_us=START_US + 50_000_000, first=50)]),
    )
    second = written(tmp_path / "b.parquet", ticks(100))
    assert fates(of(lake, first, second)) == (120 - 50 + 30, 0, 50 + 70, 0)
    assert stored(lake)["trade_id"].n_unique() == stored(lake).height == 100


def test_only_what_is_missing_is_added_and_equal_ids_elsewhere_are_not_copies(lake, tmp_path):
    of(lake, written(tmp_path / "a.parquet", ticks(60)))
    other = ticks(40, symbol="T")
    next_day = ticks(10, start_us=START_US + DAY_US)
    more = written(
        tmp_path / "b.parquet",
        pl.concat([ticks(100), other, other.with_columns(venue=pl.lit("W")), next_day]),
    )
    assert fates(of(lake, more)) == (40 + 40 + 40 + 10, 60, 0, 0)


def test_what_the_stream_wrote_is_already_there(lake, tmp_path):
    Lakehouse(lake).create()
    Lakehouse(lake).append_ticks(ticks(30))
    assert fates(of(lake, written(tmp_path / "a.parquet", ticks(50)))) == (20, 30, 0, 0)


BAD = [
    "V,S,0,1,1,x",
    "V,S,T,-1,1,x",
    "V,S,T,1,1",
    "V,S,T,1,1,x,y",
    "V,S,T,1,1e300,x",
    "\udcff,S,T,1,1,x",
]


def csv(file: Path, lines: list[str], time_us: int = START_US) -> Path:
    text = "\n".join(
        [
            "venue,symbol,event_time_us,price,size,trade_id",
            *(line.replace("T", str(time_us)) for line in lines),
            "",
        ]
    )
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return file


def test_rows_that_are_not_ticks_lie_in_the_dead_letters_once(lake, tmp_path):
    file = csv(tmp_path / "bad.csv", ["V,S,T,1,1,a", *BAD, "", "V,S,T,1,1,b"])
    done = of(lake, file)
    assert fates(done) == (3, 0, 0, 5)  # a broken byte in a name is still a name
    assert done.skipped == {"blank": 1}
    assert done.rejected == {
        "time_out_of_bounds": 1,
        "invalid_field": 2,
        "not_positive": 1,
        "out_of_range": 1,
    }
    letters = stored(lake, DEAD_LETTER).sort("row_number")
    assert letters["source"].unique().to_list() == ["bad.csv"]
    assert letters.select("row_number", "reason").rows()[:3] == [
        (2, "time_out_of_bounds"),
        (3, "not_positive"),
        (4, "invalid_field"),
    ]
    assert letters["raw"][0] == b"V,S,0,1,1,x"
    assert letters["loaded_at"].dt.epoch("us").unique().to_list() == [NOW_US]
    again = of(lake, file)
    assert fates(again) == (0, 3, 0, 5)
    assert stored(lake, DEAD_LETTER).height == 5
    csv(tmp_path / "bad.csv", ["V,S,T,1,1,a", "V,S,T,-5,1,x"])
    of(lake, file)
    assert stored(lake, DEAD_LETTER).height == 6  # another row in the same place is another letter


def test_maintenance_merges_the_dead_letters_of_a_day_too(lake, tmp_path):
    for number in range(4):
        of(lake, csv(tmp_path / f"{number}.csv", ["V,S,T,-1,1,x"]))
    before = stored(lake, DEAD_LETTER).sort("source")
    assert compact(Lakehouse(lake), CompactionRule(3, 2**20), lambda *_: None).partitions == 1
    assert stored(lake, DEAD_LETTER).sort("source").equals(before)
    assert Lakehouse(lake).table(DEAD_LETTER).inspect.files().num_rows == 1


def test_an_endless_line_is_cut(lake, tmp_path):
    file = csv(tmp_path / "long.csv", ["V,S,T,1,1,a", "x" * 3 * MESSAGE_BYTES_MAX])
    assert fates(of(lake, file)) == (1, 0, 0, 1)
    assert stored(lake, DEAD_LETTER)["raw"].bin.size().to_list() == [MESSAGE_BYTES_MAX]


def test_a_file_without_order_is_loaded_as_well(lake, tmp_path):
    frame = ticks(12_000, step_us=60_000_000).sample(fraction=1, shuffle=True, seed=1)
    file = written(tmp_path / "a.parquet", pl.concat([frame, frame.head(500)]))
    assert fates(of(lake, file)) == (12_000, 0, 500, 0)
    assert stored(lake)["trade_id"].n_unique() == 12_000


def test_a_second_load_at_the_same_time_is_refused(lake, tmp_path):
    file = written(tmp_path / "a.parquet", ticks(10))

    def meanwhile(*_: object) -> None:
        with pytest.raises(LeaseError, match=r"^a load \(host .*\) is running"):
            load(lake.model_copy(update={"lease_wait_s": 0}), open_feed([file]), NOW_US)

    assert load(lake, open_feed([file]), NOW_US, meanwhile).loaded == 10


def test_a_load_whose_lease_was_taken_over_writes_nothing_more(lake, tmp_path):
    file = written(tmp_path / "a.parquet", ticks(10))
    short = lake.model_copy(update={"lease_s": 0.2})

    def take_over(*_: object) -> None:
        with leases.lease(short, leases.LOAD, guarded=(SILVER,)):
            pass

    with (
        patch.object(leases.Lease, "renew", lambda _: None),
        pytest.raises(LeaseError, match="was taken over"),
    ):
        load(short, open_feed([file]), NOW_US, take_over)
    assert stored(lake).height == 0


def test_progress_ends_at_its_total(lake, tmp_path):
    steps: list[tuple[str, int, int]] = []
    files = [written(tmp_path / f"{name}.parquet", ticks(100, symbol=name)) for name in "ab"]
    load(lake, open_feed(files), NOW_US, lambda *step: steps.append(step))
    assert steps[0][1:] == (100, 200)
    assert steps[-1][1:] == (200, 200)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zip"])
def test_the_rows_of_a_file_are_guessed_from_its_size(tmp_path, name):
    import gzip
    import zipfile

    plain = csv(tmp_path / "a.csv", [f"V,S,T,1,1,{i:06}" for i in range(5000)])
    file = tmp_path / name
    if name.endswith("gz"):
        file.write_bytes(gzip.compress(plain.read_bytes()))
    if name.endswith("zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "a.csv")
    assert rows_expected(expand([file])[0]) == pytest.approx(5000, rel=0.05)


def test_forgotten_days_are_read_again_from_silver(lake, tmp_path):
    of(lake, written(tmp_path / "a.parquet", ticks(100)))
    known = Deduplicator(Lakehouse(lake).table(SILVER), fingerprints_max=1)
    for number in (19_800, 19_801, 19_800):
        part = known.remove_duplicates(number, ticks(100, start_us=number * DAY_US))
        assert (part.already, part.duplicates) == ((100, 0) if number == 19_800 else (0, 0))


def test_names_that_run_together_have_different_fingerprints():
    names = [("A", "BC", "1"), ("AB", "C", "1"), ("A", "B", "C1"), ("A", "BC1", "")]
    frame = pl.DataFrame(names, schema=["venue", "symbol", "trade_id"], orient="row")
    assert fingerprints(pl.concat([frame, frame])).n_unique() == 4


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.booleans()), max_size=30),
    held=st.sets(st.integers(0, 8)),
)
@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mix_of_new_old_duplicate_and_broken_rows_is_counted(tmp_path_factory, rows, held):
    """Compare with sets of the ids that were stored and that the file contains."""
    home = tmp_path_factory.mktemp("mix")
    lake = Settings(home=home / "home", load_commit_rows=7)
    Lakehouse(lake).create()
    if held:
        Lakehouse(lake).append_ticks(ticks(9).filter(pl.col("seq").is_in(sorted(held))))
    frame = pl.DataFrame(
        [
            (
                f"S{s}" if s else "S",
                str(i),
                START_US + i * 1_000_000 + s * DAY_US,
                -1.0 if bad else 1.0,
            )
            for s, i, bad in rows
        ],
        schema={
            "symbol": pl.String,
            "trade_id": pl.String,
            "event_time_us": pl.Int64,
            "price": pl.Float64,
        },
        orient="row",
    ).with_columns(venue=pl.lit("V"), size=pl.lit(1.0))
    frame.write_parquet(home / "mix.parquet")
    done = of(lake, home / "mix.parquet")
    good = [(s, i) for s, i, bad in rows if not bad]
    new = {(s, i) for s, i in good if s or i not in held}
    assert done.loaded == len(new)
    assert sum(done.rejected.values()) == len(rows) - len(good)
    assert done.already >= len({(s, i) for s, i in good} - new)
    assert (
        stored(lake).select("symbol", "trade_id").n_unique()
        == stored(lake).height
        == len(new) + len(held)
    )
    assert of(lake, home / "mix.parquet").loaded == 0


def test_real_dumps_arrive_whole_whatever_order_they_come_in(lake):
    real("binance_dump/spot_BTCUSDT-trades-2024-08-08.csv")
    done = of(lake, str(ROOT / "binance_dump" / "*.csv"))
    assert fates(done) == (95_651, 0, 0, 0)
    assert stored(lake).select("venue", "symbol").n_unique() == 6
    expected = pl.concat(
        [b.ticks for b in open_feed([ROOT / "binance_dump" / "*.csv"]).batches(NOW_US)]
    )
    names = ["venue", "symbol", "trade_id"]
    assert stored(lake).select(expected.columns).sort(names).equals(expected.sort(names))
    assert fates(of(lake, real("binance_dump/usdm_ETHUSDT-trades-2024-08-08.csv")))[0] == 0


def test_real_recordings_and_gold_arrive_and_the_dump_of_the_same_trades_adds_the_rest(lake):
    recorded = of(lake, real("raw/spot_btcusdt_20240808.gz"))
    assert recorded.loaded > 0 and recorded.skipped.total() > 0
    dump = of(lake, real("binance_dump/spot_BTCUSDT-trades-2024-08-08.csv"))
    assert dump.already > 0
    assert of(lake, real("raw/xauusd_28june_trades_0501.parquet")).loaded == 88_646


def killed_in_the_middle(lake: Settings, files: str) -> int:
    """Load in a child that dies by SIGKILL after its first commits; returns the rows it left."""
    code = (
        "import sys; from contracts.config.settings import Settings;from streaming.feeds import"
        " open_feed; from streaming.bulk_load.load import load;load(Settings(home=sys.argv[1],"
        f" load_commit_rows=2_000), open_feed([sys.argv[2]]), {NOW_US})"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(lake.home), files], cwd=REPO)
    try:
        while len(Lakehouse(lake).table(SILVER).snapshots()) < 3 and child.poll() is None:
            time.sleep(0.02)
        assert child.poll() is None, "the load ended before it could be killed"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return stored(lake).height


def test_killed_and_loaded_again_it_is_as_if_nothing_had_happened(lake, tmp_path):
    frame = ticks(60_000, step_us=20_000_000)
    bad = frame.with_columns(price=pl.when(pl.col("seq") % 1000 == 7).then(-1.0).otherwise("price"))
    for part in range(12):
        written(tmp_path / f"{part:02}.parquet", bad.slice(part * 5000, 5000))
    Lakehouse(lake).create()
    files, undisturbed = str(tmp_path / "*.parquet"), Settings(home=tmp_path / "undisturbed")
    left = killed_in_the_middle(lake, files)
    assert 0 < left < 59_940
    done = of(lake, files)
    assert (done.loaded, done.already, sum(done.rejected.values())) == (59_940 - left, left, 60)
    of(undisturbed, files)
    assert digest(lake) == digest(undisturbed)
    assert stored(lake, DEAD_LETTER).height == stored(undisturbed, DEAD_LETTER).height == 60
    names = [
        sorted(file.name for file in (home.root / "lakehouse").iterdir())
        for home in (lake, undisturbed)
    ]
    assert names[0] == names[1]  # nothing remembers it but the lake
