"""No locked package is older than the fix of a known hole; the list is kept by hand, and read
without the net.
"""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FLOORS: dict[str, list[str]] = json.loads(Path(__file__).with_name("floors.json").read_text())


def locked() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        found.setdefault(package["name"], []).append(package.get("version", "0"))
    return found


def too_old(lock: dict[str, list[str]]) -> list[str]:
    return [
        f"{name} {version} is older than {least}: {why}"
        for name, (least, why) in FLOORS.items()
        for version in lock.get(name, ())
        if Version(version) < Version(least)
    ]


def test_nothing_locked_is_older_than_its_fix():
    assert too_old(locked()) == []


@pytest.mark.parametrize("name", FLOORS)
def test_a_planted_old_version_is_found(name):
    assert [line.split()[0] for line in too_old({**locked(), name: ["0.0.1"]})] == [name]


def test_every_package_has_hashes():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    for package in packages:
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        assert "editable" in package["source"] or (
            files and all(file["hash"].startswith("sha256:") for file in files)
        ), package["name"]
