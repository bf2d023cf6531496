"""The training set in a run directory is bit for bit the prepared one, or an error."""

import json
from dataclasses import replace

import polars as pl
import pytest

from contracts.errors import DatasetError
from tests.support.market import T0, dataset
from training.run.directory import RunDirectory
from training.tick.data import manifest
from training.tick.data.saved_dataset import DETAILS_FILE, ROWS, load_dataset, save_dataset


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


@pytest.mark.parametrize("range_us", [None, (T0, T0 + 5)])
def test_every_field_is_restored(directory, range_us):
    saved = replace(dataset(days=1), range_us=range_us)
    save_dataset(directory, saved)
    loaded = load_dataset(directory)
    assert loaded.frame.equals(saved.frame)
    assert vars(loaded) | {"frame": None} == vars(saved) | {"frame": None}


def test_nothing_saved_and_a_truncated_file_name_the_step(directory):
    for _ in range(2):
        with pytest.raises(DatasetError, match="holds no training set") as error:
            load_dataset(directory)
        assert error.value.hint == "train again, or in Airflow clear the task prepare_training_data"
        save_dataset(directory, dataset(days=1))
        (directory.path / ROWS).write_bytes(b"PAR1")


def test_rows_of_another_data_set_are_refused(directory):
    save_dataset(directory, dataset(days=1))
    dataset(days=1, seed=2).frame.write_parquet(directory.path / ROWS)
    with pytest.raises(DatasetError, match="not those that were prepared"):
        load_dataset(directory)


def test_the_details_are_readable_json(directory):
    save_dataset(directory, dataset(days=1))
    details = json.loads((directory.path / DETAILS_FILE).read_text())
    assert details["dropped"] == {"late_entry": 3}
    assert details["snapshots"] == {"made.market": 11}


def test_a_manifest_has_the_range_of_the_rows_and_a_digest_for_each_day():
    from contracts.config.settings import Settings

    rows = dataset(days=2)
    described = manifest.describe_dataset(rows, Settings())
    assert (described.from_us, described.to_us) == (T0, rows.frame["decision_us"].max() + 1)
    assert list(described.days) == ["2025-10-10", "2025-10-11"]
    assert [count for count, _ in described.days.values()] == [2 * 1440] * 2
    one_day = dataset(days=2).frame.filter(pl.col("decision_us") < T0 + 86_400_000_000)
    assert described.days["2025-10-10"][1] == manifest.fingerprint(one_day)


def test_a_difference_that_no_digest_locates_is_still_reported():
    from contracts.config.settings import Settings

    recorded = manifest.describe_dataset(dataset(days=1), Settings())
    (difference,) = manifest.list_differences(recorded, replace(recorded, fingerprint="0" * 64))
    assert difference.endswith("but all other digests are equal")
