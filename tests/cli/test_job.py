"""`tick job …` with a Flink that has lost its job: its state is never ignored by accident."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.config import paths
from contracts.config.settings import settings
from stack import platform
from stack.services.project_services import settings_env
from tests.conftest import settings_in

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    """A JobManager alone, without any job: as after a kill -9."""
    own = settings_in(tmp_path_factory.mktemp("flink"), flink_jobmanager_mb=768)
    try:
        platform.start(own, "jobmanager")
        yield own
    finally:
        platform.down(own)


@pytest.fixture
def tick(flink, monkeypatch):
    for name, value in settings_env(flink).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, list(words))
    settings.cache_clear()


@pytest.fixture
def checkpoint(flink):
    """A complete checkpoint of the lost job."""
    file = paths.checkpoints(flink) / "lost" / "chk-7" / "_metadata"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    yield file.parent
    file.unlink()


def test_without_job_and_state_status_suggests_submit(tick):
    result = tick("job", "status")
    assert result.exit_code == 1
    assert "`tick job submit`" in result.stdout


def test_with_a_state_status_suggests_resume(tick, checkpoint):
    result = tick("job", "status")
    assert result.exit_code == 1
    assert str(checkpoint) in result.stdout
    assert "`tick job resume`" in result.stdout and "submit" not in result.stdout


def test_submit_refuses_to_ignore_a_state(tick, checkpoint):
    result = tick("job", "submit")
    assert result.exit_code == 1
    assert str(checkpoint) in result.stderr
    assert "`tick job resume`" in result.stderr and "--fresh" in result.stderr


def test_resume_without_a_state_suggests_submit(tick):
    result = tick("job", "resume")
    assert result.exit_code == 1
    assert "`tick job submit`" in result.stderr
