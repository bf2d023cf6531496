"""`tick model …` on a real registry in SQLite: versions, promotion, history, trial."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config.settings import settings
from models import tracking
from models.registry import Registry
from models.versions import GATE_PASS
from tests.support import model_folder

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
PASSED = {GATE_PASS: "true", "sharpe": "1.5", "note": "[/red] of others"}


@pytest.fixture
def tick(mlflow_home, monkeypatch, request):
    """Runs `tick model …` on a model of this test's own; returns exit code and all output."""
    name = request.node.name.replace("[", "-").replace("]", "")
    for variable, value in {"HOME": mlflow_home, "MODEL_NAME": name, "EXPERIMENT": name}.items():
        monkeypatch.setenv(f"TICK_{variable}", str(value))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["model", *arguments])
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, result.output

    yield run
    settings.cache_clear()


@pytest.fixture
def versions(tick, tmp_path):
    """Two versions, of which the first passed the gate, and the second did not."""
    client = tracking.client(settings())
    experiment = tracking.experiment_id(settings(), client, settings().experiment)
    return [
        Registry(settings()).register_version(
            model_folder.export_small_forest(tmp_path / str(seed), seed),
            client.create_run(experiment).info.run_id,
            tags,
        )
        for seed, tags in ((1, PASSED), (2, PASSED | {GATE_PASS: "false"}))
    ]


def test_a_registry_without_the_model_names_the_next_command(tick):
    code, output = tick("list")
    assert code in (0, 1)
    code, output = tick("show")
    assert code == 1
    assert "no Production version" in output and "`tick train --help`" in output
    code, output = tick("history")
    assert code == 0
    assert "Production was never changed" in output
    code, output = tick("rollback")
    assert code == 1 and "→" in output
    code, output = tick("promote", "7")
    assert code == 1 and "7" in output and "→" in output


def test_versions_are_promoted_retired_and_remembered(tick, versions):
    first, second = versions
    code, output = tick("list")
    assert code == 0 and "1.5" in output and "–" in output
    code, output = tick("promote", second)
    assert code == 1 and "gate" in output, "a version that did not pass is never promoted"
    code, output = tick("promote", first)
    assert (code, output.split(": ")[1]) == (0, f"version {first} is Production now\n")
    code, output = tick("show")
    assert code == 0
    assert "[/red] of others" in output and "synthetic" in output and "a, b, c" in output
    assert tick("show", second)[0] == 0
    assert tick("show", "99")[0] == 1
    code, output = tick("challenge", second)
    assert code == 1 and "→" in output
    code, output = tick("retire")
    assert code == 0 and "no version is Production now" in output
    assert tick("show")[0] == 1
    _, output = tick("history")
    actions = [line.split()[2] for line in output.splitlines()[1:]]
    assert actions == ["retire", "promote"]


def test_a_trial_begins_and_ends(tick, versions):
    first = versions[0]
    code, output = tick("challenge", first)
    assert code == 0, output
    assert f"version {first} is the challenger now: `tick model compare`" in output
    code, output = tick("challenge", "--end")
    assert (code, output) == (0, "the trial has ended\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote",),
        ("challenge",),
        ("challenge", "1", "--end"),
        ("compare", "--from", "noon"),
        ("show", "1", "2"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_exit_code_2(tick, arguments):
    assert tick(*arguments)[0] == 2
