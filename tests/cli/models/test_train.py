"""`tick train tick` and `tick model …`; only the lakehouse is replaced by a dataset."""

import polars as pl
import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from tests.support.market import dataset
from training.tick.data import dataset as datasets

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def tick(mlflow_home, monkeypatch, request):
    """Runs the command line in a registry with a model of this test's own; returns exit code and
    all output.
    """
    for name, value in {
        "HOME": mlflow_home,
        "MODEL_NAME": request.node.name,
        "EXPERIMENT": request.node.name,
        "TRAIN_THREADS": 1,
    }.items():
        monkeypatch.setenv(f"TICK_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*arguments):
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.output

    yield run
    settings.cache_clear()


def test_training_promotes_and_model_commands_change_the_version(tick, monkeypatch):
    monkeypatch.setattr(
        datasets, "read_dataset", lambda *_: dataset(days=9, symbols=("SYNTH:AAAUSD",))
    )
    for version in ("1", "2"):
        code, output = tick("train", "tick", "--from", "2025-10-10", "--to", "2025-10-19")
        assert code == 0, output
        assert f"version {version} is Production" in output
    assert "planted" in output
    assert "sharpe_against_production" in output
    code, output = tick("model", "list")
    assert code == 0
    assert [line.split("│")[2].strip() for line in output.splitlines() if line.startswith("│")] == [
        "Production",
        "Archived",
    ]
    assert "version 1 is Production" in tick("model", "rollback")[1]
    assert "synthetic" in tick("model", "show")[1]
    assert "version 2 is Production" in tick("model", "promote", "2")[1]
    assert tick("model", "retire")[0] == 0
    code, output = tick("model", "show")
    assert code == 1
    assert "no Production version" in output


def test_a_refusal_by_the_gate_is_exit_code_3_with_its_reasons(tick, monkeypatch):
    monkeypatch.setattr(
        datasets,
        "read_dataset",
        lambda *_: dataset(days=9, symbols=("SYNTH:AAAUSD",), strength=0.0, seed=4),
    )
    code, output = tick("train", "tick")
    assert code == 3
    assert "refused" in output
    assert "is not >" in output
    assert "3:" in tick("train", "tick", "--help")[1]


def test_an_empty_range_is_an_error_with_a_hint(tick, monkeypatch):
    monkeypatch.setattr(
        datasets,
        "read_dataset",
        lambda settings, first, last: datasets.build_dataset(
            _no_ticks(), {}, first, last, settings
        ),
    )
    code, output = tick("train", "tick", "--from", "2026-01-02", "--to", "2026-01-01")
    assert code == 1
    assert "the range is empty" in output
    assert "→" in output


def _no_ticks():
    return pl.DataFrame(
        schema={"key": pl.String, "event_time_us": pl.Int64, "seq": pl.Int64, "price": pl.Float64}
    )
