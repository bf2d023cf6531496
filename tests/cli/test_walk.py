"""Every command that only reads, in every state of a platform: it succeeds, or prints an error with
advice; never a traceback.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from click import Command

from cli.main import app
from contracts.config.settings import Settings
from lakehouse import schemas
from models import tracking
from models.registry import Registry
from models.versions import GATE_PASS
from stack import platform as stack
from stack.services.project_services import settings_env
from tests.conftest import REPO, settings_in
from tests.support import model_folder, parity_tables

pytestmark = pytest.mark.integration

# These start, stop, send, train or overwrite something; compacting and expiring change no row.
CHANGING = {
    "demo",
    "up",
    "down",
    "run",
    "init",
    "env",
    "serve",
    "replay",
    "live",
    "load",
    "history",
    "backfill",
    "synth",
    "stats",
    "job submit",
    "job stop",
    "job resume",
    "job skip",
    "job skip-expired",
    "job upgrade",
    "lake rollback",
    "dead-letters replay",
    "features apply",
    "online rebuild",
    "train tick",
    "train power",
    "train mnist",
    "train cifar10",
    "model promote",
    "model rollback",
    "model retire",
    "model challenge",
    "airflow up",
    "airflow down",
    "airflow run",
    "airflow backfill",
    "airflow demo",
}
SILVER = "silver.tick_data"
WORDS = {  # arguments that a command requires, or that are worth a test
    "logs": ([], ["kafka"], ["spark"]),
    "open": (["flink"], ["api"], ["live"]),
    "ready": (["kafka"], ["api"], ["spark"]),
    "sql": (
        ["SELECT 1"],
        [f"SELECT count(*) FROM {SILVER}"],
        ["SELECT * FROM gold.predictions", "--format", "csv"],
        ["SELEC"],
    ),
    "drift": (["--from", "2024-01-01"],),
    "parity": ([], ["--json"]),
    "maintenance": ([], ["--dry"]),
    "lake expire": ([], ["--hours", "0"]),
    "lake compact": ([], ["--files", "2"]),
    "lake snapshots": (*([name] for name in schemas.COLUMNS_OF), ["nothing.here"]),
    "dead-letters list": ([], ["--reason", "late"]),
    "features show": (["flow_imbalance_5m"], ["nothing"]),
    "features test": (["nothing.py"],),
    "features try": (["SUM(size)", "nothing.parquet"],),
    "model show": ([], ["1"], ["x"]),
    "model list": ([], ["--name", "power-forecast"]),
    "model compare": ([], ["--champion", "1", "--challenger", "1"]),
    "dataset rebuild": (["0" * 32],),
    "predict symbols": (["V:A"],),
    "predict mnist": (["nothing.png"],),
    "predict cifar10": (["nothing.png"],),
}
ADVICE = ("→", "`tick ", "--help")


def commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Command]]:
    """All commands below one, by their full names."""
    children = getattr(command, "commands", None)
    if not children:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from commands(child, (*path, name))


EVERY = dict(commands(typer.main.get_command(app)))
READING = tuple(name for name in EVERY if name not in CHANGING)


def complaint(code: int, output: str, error: BaseException | None) -> str | None:
    """The problem with the result of a command; None if there is none."""
    if error is not None and not isinstance(error, SystemExit):
        return f"traceback: {error!r}"
    if "Traceback" in output:
        return f"traceback in the output: {output[-300:]}"
    if code not in (0, 1, 2):
        return f"exit code {code}"
    return (
        f"no advice in: {output!r}"
        if code and not any(advice in output for advice in ADVICE)
        else None
    )


def walk(tick, settings: Settings) -> dict[str, str]:
    """Every complaint, by command line."""
    complaints = {}
    for name in READING:
        for arguments in WORDS.get(name, ([],)):
            result = tick(settings, *name.split(), *arguments)
            if problem := complaint(result.exit_code, result.output, result.exception):
                complaints[" ".join(("tick", name, *arguments))] = problem
    return complaints


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home that these tests, in their order, take through the life of a platform."""
    settings = settings_in(tmp_path_factory.mktemp("walk") / "tick")
    try:
        yield settings
    finally:
        stack.down(settings)


def fill(settings: Settings, folder) -> None:
    """Write what a demo leaves: ticks, features, and a run whose model is in Production."""
    ticks = parity_tables.ticks()
    parity_tables.put_ticks(settings, ticks)
    features = parity_tables.features(ticks)
    parity_tables.put_both(settings, features, features)
    client = tracking.client(settings)
    run = client.create_run(tracking.experiment_id(settings, client, settings.experiment))
    registry = Registry(settings)
    model_files = model_folder.export_small_forest(folder)
    registry.promote(registry.register_version(model_files, run.info.run_id, {GATE_PASS: "true"}))


def test_the_lists_know_every_command():
    assert set(EVERY) >= CHANGING and set(READING) >= set(WORDS)
    needy = {
        name for name in READING if any(parameter.required for parameter in EVERY[name].params)
    }
    assert needy - set(WORDS) == set()  # without arguments, these would only print their usage


def test_an_empty_home(tick, home):
    assert walk(tick, home) == {}


def test_after_up(tick, home):
    """Before any tick arrives the live job commits snapshots without files to its tables."""
    assert tick(home, "up").exit_code == 0
    for name in schemas.COLUMNS_OF:
        parity_tables.put_nothing(home, name)
    assert walk(tick, home) == {}


def test_after_a_demo(tick, home, tmp_path):
    fill(home, tmp_path)
    assert walk(tick, home) == {}


def test_after_down(tick, home):
    assert tick(home, "down").exit_code == 0
    assert walk(tick, home) == {}


@pytest.mark.parametrize("name", ["lake tables", "job status", "model list"])
def test_as_a_process(home, name):
    """Only a separate process shows the messages of libraries at its start and its end."""
    env = {**os.environ, **settings_env(home), "PYTHONPATH": str(REPO)}
    process = subprocess.run(
        [sys.executable, "-m", "cli.main", *name.split()],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert complaint(process.returncode, process.stdout + process.stderr, None) is None
