"""`tick dataset rebuild`: the comparison with what was recorded, and its errors."""

import pytest

from cli.models.dataset import _comparison_table
from tests.cli.screens import render
from training.tick.data.manifest import DatasetManifest
from training.tick.data.reproduce import ReproducedDataset

RECORDED = DatasetManifest(
    from_us=1_709_251_200_000_000,
    to_us=1_709_337_600_000_000,
    snapshots={"silver.tick_data": 7, "gold.tick_features": None},
    settings={"horizon_s": 60.0},
    fingerprint="a" * 64,
    rows=12_345,
    columns={},
    days={},
    dropped={},
)


def rows(rebuilt: ReproducedDataset) -> dict[str, list[str]]:
    table = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in render(_comparison_table(rebuilt), 120)
        if line.startswith("│")
    ]
    return {row[0]: row[1:] for row in table}


def test_recorded_and_rebuilt_are_next_to_each_other():
    rebuilt = ReproducedDataset("f" * 32, RECORDED, 12_344, "b" * 64, ["rows differ"])
    table = rows(rebuilt)
    assert table["rows"] == ["12,345", "12,344"]
    assert table["SHA-256"] == ["a" * 16, "b" * 16]
    assert table["decisions from"][0].startswith("2024-03-01")
    assert table["to"][0].startswith("2024-03-02")
    assert table["snapshot of silver.tick_data"] == ["7", ""]
    assert table["snapshot of gold.tick_features"] == ["None", ""]
    assert table["horizon_s"] == ["60.0", ""]


def test_the_title_is_the_run():
    rebuilt = ReproducedDataset("f" * 32, RECORDED, 12_345, "a" * 64, [])
    printed = " ".join(" ".join(render(_comparison_table(rebuilt))).split())
    assert f"training set of run {'f' * 32}" in printed


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
def test_an_unknown_run_is_named(tick, make_settings, mlflow_home, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = tick(make_settings(home=mlflow_home), "dataset", "rebuild", "0" * 32)
    assert result.exit_code == 1
    assert "0" * 32 in result.stderr
    assert "→" in result.stderr
