"""`tick train power` and `tick predict power` as a person types them: exit codes, tables, and what
went wrong with a way on.
"""

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from tests.support.power_data import csv, readings, real

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("power-commands")


@pytest.fixture
def tick(home, mlflow_home, monkeypatch):
    """Runs the command line on one lakehouse for all tests; returns exit code and all output."""
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    values = {
        "HOME": home,
        "MLFLOW_TRACKING_URI": f"sqlite:///{mlflow_home}/mlflow/mlflow.db",
        "TRAIN_THREADS": 1,
    }
    values |= {
        "POWER_MODEL_NAME": "power-commands",
        "POWER_EXPERIMENT": "power-commands",
        "DOWNLOAD_TIMEOUT_S": 1,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"TICK_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*words):
        result = CliRunner().invoke(app, words)
        return result.exit_code, " ".join(result.output.split())

    yield run
    settings.cache_clear()


def test_before_there_is_data_every_command_says_how_to_get_some(tick):
    code, said = tick("predict", "power")
    assert code == 1
    assert "holds no power readings" in said
    code, said = tick("train", "power", "--data", "none.csv")
    assert code == 1
    assert "there is no file none.csv" in said


def test_a_wrong_file_is_refused_and_nothing_is_loaded(tick, tmp_path):
    (tmp_path / "wrong.csv").write_text(
        csv(readings(2)).replace("Zone 2  Power Consumption", "Zone Two")
    )
    code, said = tick("train", "power", "--data", str(tmp_path / "wrong.csv"))
    assert code == 1
    assert "has no column zone2" in said
    assert "holds no power readings" in tick("train", "power")[1]


def test_without_a_network_a_download_says_so(tick, monkeypatch):
    monkeypatch.setenv("TICK_POWER_URL", "http://127.0.0.1:9/power.zip")
    settings.cache_clear()
    code, said = tick("train", "power", "--download")
    assert code == 1
    assert "cannot be fetched" in said
    assert "--data" in said


def test_the_total_is_promoted_and_tomorrow_forecast(tick):
    code, said = tick("train", "power", "--data", str(real()), "--to", "2017-12-29")
    assert code == 0, said
    assert "157,248 readings loaded, 0 corrected, 0 already there" in said
    assert "promoted: version 1 is Production" in said
    assert "data through 2017-12-29" in said
    code, said = tick("predict", "power", "--day", "2017-12-30")
    assert code == 0, said
    assert "total on 2017-12-30, by power-commands version 1" in said
    assert "24 actuals written alongside forecasts" in said
    code, said = tick("predict", "power", "--day", "2017-12-29")
    assert code == 1
    assert "no version that was made before 2017-12-29" in said


def test_a_zone_that_last_week_forecasts_better_is_refused_with_exit_code_three(tick):
    code, said = tick("train", "power", "--data", str(real()), "--series", "zone1")
    assert code == 3, said
    assert "157,248 already there" in said
    assert "refused, nothing registered: skill" in said


def test_a_range_is_one_training_a_day_and_the_worst_day_decides(tick):
    code, said = tick("train", "power", "--from", "2017-12-30", "--to", "2017-12-31")
    assert code == 1, said
    assert "2017-12-30" in said
    assert "2017-12-31 lacks 24 of its 24 hours" in said
    assert "version 2" in said  # of 2017-12-30: its forecast of the next day stands
    code, said = tick("train", "power", "--from", "2018-01-02", "--to", "2018-01-01")
    assert code == 1
    assert "is after the last day" in said


def test_the_model_is_seen_and_moved_by_its_name(tick):
    assert "Production" in tick("model", "list", "--name", "power-commands")[1]
    code, said = tick("model", "show", "--name", "power-commands")
    assert code == 0, said
    assert "power:total" in said
    assert tick("model", "rollback", "--name", "power-commands") == (
        0,
        "power-commands: version 1 is Production now",
    )
    assert tick("model", "retire", "--name", "power-commands")[0] == 0
    code, said = tick("predict", "power")
    assert code == 1
    assert "no Production version" in said


def test_a_symbol_still_is_asked_of_the_api(tick):
    for words in (
        ("predict", "BINANCE:BTCUSDT"),
        ("predict", "--json", "BINANCE:BTCUSDT"),
        ("predict", "symbols", "BINANCE:BTCUSDT"),
    ):
        code, said = tick(*words)
        assert code == 1
        assert "tick up" in said
    assert "VENUE:SYMBOL" in tick("predict", "--help")[1]


def test_help_says_the_exit_codes_and_an_unknown_series_is_refused(tick):
    assert "3: trained, but refused by the gate" in tick("train", "power", "--help")[1]
    assert tick("train", "power", "--series", "zone4")[0] == 2
