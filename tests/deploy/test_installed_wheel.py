"""The wheel, installed into an empty environment outside of any checkout, starts the platform."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from stack.services.project_services import settings_env
from tests.conftest import REPO, settings_in

pytestmark = pytest.mark.integration
TIMEOUT_S = 600
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and the locked versions of its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv") or str(REPO / ".uv" / "bin" / "uv")

    def call(*words: str) -> None:
        subprocess.run((uv, *words), cwd=REPO, check=True, capture_output=True, timeout=TIMEOUT_S)

    call("build", "-q", "--wheel", "-o", str(folder))
    (wheel,) = folder.glob("*.whl")
    locked = ("--frozen", "--no-dev", "--no-emit-project", "--no-hashes")
    call("export", "-q", *locked, "-o", str(folder / "requirements.txt"))
    call("venv", "-q", str(folder / "venv"))
    packages = ("-r", str(folder / "requirements.txt"), str(wheel))
    call("pip", "install", "-q", "--no-deps", "--python", str(folder / "venv"), *packages)
    return folder / "venv"


@pytest.fixture
def tick(environment: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs the installed command in an empty folder, with an empty HOME."""
    settings: Settings = settings_in(tmp_path / "home")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    variables = {**kept, **settings_env(settings), "HOME": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (str(environment / "bin" / "tick"), *words),
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    yield run
    run("down")


def test_the_platform_starts_from_the_installed_wheel(tick: Run) -> None:
    doctor = tick("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    up = tick("up")
    assert up.returncode == 0, up.stdout + up.stderr
    status = tick("status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert all(name in status.stdout for name in ("kafka", "redis", "jobmanager", "taskmanager"))
