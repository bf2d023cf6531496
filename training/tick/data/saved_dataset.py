"""The training set in a run directory: saved by the step that prepares it, loaded by later ones."""

import json

import polars as pl

from contracts.errors import DatasetError
from training.run.directory import RunDirectory, replace_file
from training.tick.data.dataset import TickDataset, fingerprint

ROWS, DETAILS_FILE = "dataset.parquet", "dataset.json"
CLEAR_HINT = "train again, or in Airflow clear the task prepare_training_data"


def save_dataset(directory: RunDirectory, dataset: TickDataset) -> None:
    """Write the rows and the other fields."""
    details = {
        "dropped": dataset.dropped,
        "fingerprint": dataset.fingerprint,
        "snapshots": dataset.snapshots,
        "range_us": dataset.range_us,
    }
    replace_file(directory.path / ROWS, dataset.frame.write_parquet)
    replace_file(
        directory.path / DETAILS_FILE, lambda partial: partial.write_text(json.dumps(details))
    )


def load_dataset(directory: RunDirectory) -> TickDataset:
    """The data set that `save_dataset` wrote, bit for bit.

    Raises DatasetError if there is none, or its rows do not match its fingerprint.
    """
    try:
        frame = pl.read_parquet(directory.path / ROWS)
        details = json.loads((directory.path / DETAILS_FILE).read_bytes())
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DatasetError(f"{directory.path} holds no training set", CLEAR_HINT) from error
    if fingerprint(frame) != details["fingerprint"]:
        raise DatasetError(
            f"the rows in {directory.path} are not those that were prepared",
            CLEAR_HINT,
        )
    range_us = tuple(details["range_us"]) if details["range_us"] else None
    return TickDataset(
        frame, details["dropped"], details["fingerprint"], details["snapshots"], range_us
    )
