"""The training set of a run, in its folder: written by the step that prepares it, read by those
that follow, equal in every bit.
"""

import json

import polars as pl

from contracts.errors import DatasetError
from training.run.directory import Folder, whole
from training.tick.dataset import Dataset, fingerprint

ROWS, FACTS = "dataset.parquet", "dataset.json"


def store(at: Folder, dataset: Dataset) -> None:
    """Keep the rows and what is known of them."""
    facts = {
        "dropped": dataset.dropped,
        "fingerprint": dataset.fingerprint,
        "snapshots": dataset.snapshots,
        "range_us": dataset.range_us,
    }
    whole(at.path / ROWS, dataset.frame.write_parquet)
    whole(at.path / FACTS, lambda part: part.write_text(json.dumps(facts)))


def load(at: Folder) -> Dataset:
    """The same again. Raises DatasetError when nothing is kept there, or something else than was
    prepared.
    """
    try:
        frame, facts = pl.read_parquet(at.path / ROWS), json.loads((at.path / FACTS).read_bytes())
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DatasetError(
            f"{at.path} holds no training set", "run prepare_training_data first"
        ) from error
    if fingerprint(frame) != facts["fingerprint"]:
        raise DatasetError(
            f"the rows in {at.path} are not those that were prepared",
            "run prepare_training_data again",
        )
    range_us = (int(facts["range_us"][0]), int(facts["range_us"][1])) if facts["range_us"] else None
    return Dataset(frame, facts["dropped"], facts["fingerprint"], facts["snapshots"], range_us)
