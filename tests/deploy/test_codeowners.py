"""CODEOWNERS names an owner for DAGs, training, serving and deployment."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CODEOWNERS").read_text()
LINES = [line.split() for line in TEXT.splitlines() if line and not line.startswith("#")]
COVERED = ("dags/", "training/", "serving/", "deploy/", "docker-compose.yml", "CODEOWNERS")


def files(area: str) -> list[str]:
    """Paths of an area, from the root."""
    found = [ROOT / area] if (ROOT / area).is_file() else (ROOT / area).rglob("*")
    kept = (each for each in found if each.is_file() and "__pycache__" not in each.parts)
    return [str(each.relative_to(ROOT)) for each in kept]


def owners(file: str) -> list[str]:
    """The owners of a file: the last pattern that matches it decides."""
    matching = [names for pattern, *names in LINES if matches(pattern, file)]
    return matching[-1] if matching else []


def matches(pattern: str, file: str) -> bool:
    """Patterns from the root, of one file or of a folder (`/dags/`)."""
    path = pattern.removeprefix("/")
    return file.startswith(path) if path.endswith("/") else file == path


@pytest.mark.parametrize("area", COVERED)
def test_every_file_of_an_area_has_an_owner(area):
    assert files(area)
    assert [file for file in files(area) if not owners(file)] == []


def test_every_line_names_a_path_that_exists_and_a_team():
    for pattern, *names in LINES:
        assert (ROOT / pattern.removeprefix("/")).exists(), pattern
        assert names and all(name.startswith("@") for name in names), pattern


def test_the_owner_of_a_dag_reviews_its_file():
    """The owner in the code (`owner="…-team"`) is among the reviewers of the file."""
    from dags.factory.training_config import TRAINING_PROFILES

    for file in (name for name in files("dags/") if name.endswith("_dag.py")):
        text = (ROOT / file).read_text()
        dataset = re.search(r'dataset="(\w+)"', text)
        named = re.findall(r'owner="([\w-]+)"', text)
        wanted = [TRAINING_PROFILES[dataset[1]].owner] if dataset else named
        assert {f"@{owner}" for owner in wanted} <= set(owners(file)), file
