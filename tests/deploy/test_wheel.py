"""What is shipped: a wheel with everything that is not Python, and a list of its dependencies."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        ["make", "-s", "dist", f"DIST={folder}"], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def test_the_wheel_holds_what_the_code_reads(dist):
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        str(file.relative_to(ROOT))
        for folder in ("serving", "stack", "dags")
        for file in (ROOT / folder).rglob("*")
        if file.is_file()
    }
    wanted = {name for name in data if "__pycache__" not in name and not name.endswith(".py")}
    assert wanted <= names and "serving/routes/page.html" in wanted
    assert not any(name.startswith(("tests/", "bench/")) for name in names)


def test_the_command_starts_from_the_wheel_alone(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import cli.main as c; assert"
        " c.__file__.startswith(sys.path[0]); c.main()"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "replay" in done.stdout


def test_the_bill_of_materials_names_what_is_installed(dist):
    listed = {
        part["name"]: part["version"]
        for part in json.loads((dist / "sbom.json").read_text())["components"]
        if "version" in part
    }
    assert {"apache-flink", "feast", "mlflow", "fastapi", "confluent-kafka"} <= listed.keys()
    assert "pytest" not in listed
