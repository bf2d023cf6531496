"""One added line in contracts/features.py reaches everything derived from it.

An existing table gains the column.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from contracts.config.settings import Settings
from contracts.features import COLUMNS, CORE
from feature_store.backfill import run as backfill
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse
from tests.support import added_feature
from tests.support.added_feature import NEW

ROW_END = datetime(2024, 1, 1, 12, tzinfo=UTC)

# Runs with the edited contracts and prints everything derived from them.
CHILD = """
import json
from pathlib import Path

import contracts.features
from cli.reports.features_page import features_page
from contracts.features import AGGREGATES, COLUMNS, CORE, FEATURES
from contracts.config.settings import Settings
from contracts.windows import LEVELS
from feature_store.backfill import run as backfill
from feature_store.definition import reference
from feature_store.definition.checks import check_lines
from feature_store.feast_repo import objects as feast_objects
from feature_store.online import store as online_store
from feature_store.online.reader import ReadPlan
from feature_store.sql import windows
from lakehouse.tables import Lakehouse
from streaming.job import job
from training.tick.data.dataset import CORE_OF

settings = Settings()
check_lines(FEATURES, AGGREGATES)
lake = Lakehouse(settings)
lake.create()
program, batch = job.program(settings), "\\n".join(view.select for view in windows.ladder("batch"))
entity, *views, service = feast_objects.objects(settings)
views = [view for view in views if view.name in {level.view for level in LEVELS}]
plan = ReadPlan(CORE, settings)
by_reference = reference.features(lake.read_ticks(0, 1))
reference_columns = {view: frame.columns for view, frame in by_reference.items()}
print(json.dumps({
    "contracts": str(Path(contracts.features.__file__).parent),
    "columns": {column.name: column.view for column in COLUMNS},
    "core": list(CORE),
    "stream": {"ddl": program.ddl, "views": dict(program.views), "inserts": program.inserts},
    "batch": batch + windows.union_rows(),
    "definition": backfill.definition(),
    "feast": {view.name: [field.name for field in view.schema] for view in views},
    "service": [
        feature.name for view in service.feature_view_projections for feature in view.features
    ],
    "plan": list(plan.names),
    "training": CORE_OF,
    "online": {level.view: online_store.script(level) for level in LEVELS},
    "reference": reference_columns,
    "page": features_page(),
    "old_row": lake.read_features("tick_1s", 0, 2 * 10**15).to_dicts(),
}, default=str))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """An older platform: its tables exist, and gold has a row."""
    made = Settings(home=tmp_path_factory.mktemp("platform"))
    Lakehouse(made).create()
    row = {
        "view": ["tick_1s"],
        "symbol": ["A:B"],
        "event_time": pa.array([ROW_END], pa.timestamp("us", tz="UTC")),
        "volume_1m": [7.0],
    }
    with tables.ignore_row_group_warning():
        Lakehouse(made).table(GOLD).append(pa.table(row))
    return made


@pytest.fixture(scope="module")
def derived(settings, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("edited")
    environment = added_feature.contracts(folder) | {"TICK_HOME": str(settings.root)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert Path(report["contracts"]) == folder / "contracts"
    return report


def test_the_columns_and_the_core_set_gain_it(derived):
    assert derived["columns"] == {column.name: column.view for column in COLUMNS} | NEW
    assert sorted(derived["core"]) == sorted((*CORE, "burstiness_1m"))


def test_the_stream_s_sql_computes_and_publishes_it(derived):
    views, inserts, ddl = (derived["stream"][part] for part in ("views", "inserts", "ddl"))
    for name, view in NEW.items():
        assert f" AS {name}" in views[f"rows_{view}"]
        assert sum(f"{name} DOUBLE" in text for text in ddl) == 1
        assert (
            sum(f"INSERT INTO features_{view} " in text and f", {name}" in text for text in inserts)
            == 1
        )
        assert any(GOLD_LIVE in text and f"`{name}`" in text for text in inserts)
    assert (
        "MAX(x_v_max) OVER w" in views["win_tick_1s_10s"]
        and "x_v_max" not in views["terms_tick_1m"]
    )


def test_the_batch_s_sql_computes_it_and_every_chunk_is_due_again(derived):
    assert all(f" AS {name}" in derived["batch"] for name in NEW)
    assert derived["definition"] != backfill.definition()


@pytest.mark.parametrize("table", [GOLD, GOLD_LIVE])
def test_tables_that_exist_gain_the_columns_at_their_end(settings, derived, table):
    names = Lakehouse(settings).table(table).schema().column_names
    assert set(names[-len(NEW) :]) == set(NEW)
    assert {column.name for column in COLUMNS} <= set(names[: -len(NEW)])


def test_old_rows_stay_readable_with_null_in_the_new_columns(derived):
    (row,) = derived["old_row"]
    assert (row["symbol"], row["volume_1m"]) == ("A:B", 7.0)
    assert (
        row["burstiness_10s"] is None
        and row["burstiness_1m"] is None
        and "burstiness_5m" not in row
    )


def test_feast_the_online_store_and_its_reader_have_it(derived):
    for name, view in NEW.items():
        assert [other for other, names in derived["feast"].items() if name in names] == [view]
    assert "burstiness_1m" in derived["service"] and "burstiness_10s" not in derived["service"]
    assert derived["plan"] == derived["core"]
    own = len([name for name, view in derived["columns"].items() if view == "tick_10s"])
    assert f"v[{own}]" in derived["online"]["tick_10s"]


def test_training_and_the_reference_implementation_have_it(derived):
    assert "burstiness_1m" in derived["training"]["tick_1s"]
    assert all(name in derived["reference"][view] for name, view in NEW.items())


def test_the_page_describes_it(derived):
    assert "| `burstiness` |" in derived["page"] and "| `v_max` | max | `v` |" in derived["page"]


def test_an_older_program_still_reads_the_evolved_table(settings, derived):
    frame = Lakehouse(settings).read_features("tick_1s", 0, 2 * 10**15)
    assert frame["volume_1m"].to_list() == [7.0] and not set(NEW) & set(frame.columns)
