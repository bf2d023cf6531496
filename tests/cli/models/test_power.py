"""`tick train power` and `tick predict power`: readings, ranges, and their errors."""

import pytest

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def command(tick, make_settings, mlflow_home, monkeypatch):
    """Runs a command on a lakehouse of this test's own and the MLflow of the session."""
    monkeypatch.setenv("COLUMNS", "300")
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    own = make_settings(mlflow_tracking_uri=f"sqlite:///{mlflow_home / 'mlflow' / 'mlflow.db'}")

    def run(*arguments: object):
        result = tick(own, *map(str, arguments))
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result

    return run


@pytest.mark.parametrize("words", [("train", "power"), ("predict", "power")])
def test_without_readings_the_command_that_loads_them_is_named(command, words):
    result = command(*words)
    assert result.exit_code == 1
    assert "--data" in result.stderr or "`tick train power" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--to", "2017-12-31T00:00:00"), "'%Y-%m-%d'"),
        (("--from", "yesterday"), "'yesterday'"),
        (("--series", "zone9"), "'zone9'"),
    ],
)
def test_a_wrong_option_is_named(command, arguments, named):
    result = command("train", "power", *arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_a_range_that_ends_before_it_begins_is_an_error(command):
    result = command("train", "power", "--from", "2017-12-02", "--to", "2017-12-01")
    assert result.exit_code == 1
    assert "--from 2017-12-02 is after the last day" in result.stderr
    assert "a later --to (which is included)" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.csv", None),
        ("empty.csv", b""),
        ("other.csv", b"a,b\n1,2\n"),
        ("broken.parquet", b"PAR1"),
        ("broken.zip", b"PK"),
        ("unknown.txt", b"x"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(command, tmp_path, name, content):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    result = command("train", "power", "--data", file)
    assert result.exit_code == 1, result.output
    assert name in result.stderr
    assert "→" in result.stderr


def test_readings_are_counted_and_loaded_once(command, tmp_path):
    header = (
        "DateTime,Temperature,Humidity,Wind Speed,general diffuse flows,diffuse flows,"
        "Zone 1 Power Consumption,Zone 2  Power Consumption,Zone 3  Power Consumption\n"
    )
    row = "1/1/2017 0:{:02},6.5,73.8,0.083,0.051,0.119,34055.7,16128.9,20240.9\n"
    file = tmp_path / "readings.csv"
    file.write_text(header + "".join(row.format(minute) for minute in range(0, 60, 10)))
    first = command("train", "power", "--data", file)
    assert "18 readings loaded, 0 corrected, 0 already there" in first.stdout
    assert first.exit_code == 1, "an hour is too short to train on"
    assert "→" in first.stderr
    file.write_text(file.read_text().replace("34055.7", "34055.8"))
    second = command("train", "power", "--data", file)
    assert "0 readings loaded, 6 corrected, 12 already there" in second.stdout
    third = command("train", "power", "--data", file)
    assert "0 readings loaded, 0 corrected, 18 already there" in third.stdout
