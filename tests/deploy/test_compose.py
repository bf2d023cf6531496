"""docker-compose.yml and the Dockerfile, held to their rules without an engine: pinned, small
rights, limits, loopback, no secret.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.config import paths
from contracts.config.settings import Settings, require_known
from lakehouse.catalog_options import BUSY_TIMEOUT_MS
from stack import compose_env, platform
from streaming.job import job

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)([^}]*)\}")
PUBLISHED = re.compile(r"127\.0\.0\.1:\$\{([A-Z]+_PUBLISHED_PORT):-(\d+)\}:(\d+)")
TEXT = (ROOT / "docker-compose.yml").read_text()
each = pytest.mark.parametrize("name", SERVICES)


def environment(name: str) -> dict[str, str]:
    """The variables of a service, with what .env gives."""
    given = SERVICES[name].get("environment", {})
    return {key: VARIABLE.sub(_value, value) for key, value in given.items()}


def _value(variable: re.Match[str]) -> str:
    """The default of a variable, else a stand-in for the secret that .env holds."""
    return variable[2].removeprefix(":-") if variable[2].startswith(":-") else variable[1].lower()


def megabytes(size: str) -> int:
    """A memory limit such as 3g or 768m, in MB."""
    return int(size[:-1]) * {"m": 1, "g": 1024}[size[-1]]


def limit(name: str, resource: str) -> str:
    """A resource limit of a service, as written."""
    return str(SERVICES[name]["deploy"]["resources"]["limits"][resource])


@each
def test_an_image_is_pinned(name):
    assert re.fullmatch(r"[a-z0-9./\-]+:v?\d+[\w.\-]*", SERVICES[name]["image"])


@each
def test_a_container_has_few_rights(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if (
        name == "owner"
    ):  # root with the one right that its one command needs, and no network service
        assert (service["cap_add"], service["command"][0], service["user"]) == (
            ["CHOWN"],
            "find",
            "0:0",
        )
    else:
        assert "cap_add" not in service and int(service["user"].partition(":")[0]) > 0
    assert not {"privileged", "pid", "ipc", "network_mode", "devices"} & service.keys()


@each
def test_a_container_has_limits(name):
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert SERVICES[name]["logging"]["options"]["max-size"]


@each
def test_whatever_stays_has_a_health_check(name):
    assert (
        name in ONE_SHOT
        or {"test", "interval", "timeout", "retries"} <= SERVICES[name]["healthcheck"].keys()
    )


@each
def test_ports_are_published_on_loopback_alone(name):
    service = SERVICES[name]
    # A variable each: the containers and a local `tick up` can then run on one machine.
    for port in service.get("ports", ()):
        published = PUBLISHED.fullmatch(port)
        assert published, f"{port} is fixed or not on loopback"
        assert published[2] == published[3]
    assert ("outside" in service["networks"]) == bool(service.get("ports"))


@each
def test_it_waits_for_the_services_of_its_profiles(name):
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert set(SERVICES[name]["profiles"]) <= set(SERVICES[needed]["profiles"])
        assert how["condition"] == (
            "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
        )


@each
def test_no_secret_stands_in_the_file(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        assert isinstance(value, str), f"{key}: YAML would change an unquoted value"
        secret = re.search("PASSWORD|SECRET|TOKEN|API_KEY|ACCESS_KEY", key)
        assert not secret or VARIABLE.fullmatch(value), f"{key} holds its secret"


@each
def test_every_setting_exists_and_is_valid(name, monkeypatch):
    own = {key: value for key, value in environment(name).items() if key.startswith("TICK_")}
    require_known(own)
    for key, value in own.items():
        monkeypatch.setenv(key, value)
    Settings()


@each
def test_every_tick_command_of_a_service_exists(name):
    command = SERVICES[name].get("command", [])
    asked = {command[1]} if command[:1] == ["run"] else set()
    check = SERVICES[name].get("healthcheck", {}).get("test", [])
    asked |= {check[3]} if check[1:3] == ["tick", "ready"] else set()
    assert asked <= platform.FACTORIES.keys()


@each
def test_mounts_exist(name):
    for mount in SERVICES[name].get("volumes", ()):
        source, target = mount.split(":")[:2]
        assert target.startswith("/")
        if source.startswith("./"):
            assert source == "./data" or (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]
    # An engine copies configs and secrets into the container, which a read-only one refuses.
    assert not {"configs", "secrets"} & SERVICES[name].keys()


def test_seaweedfs_understands_checksum_trailers_and_owns_its_folders():
    images = {SERVICES[name]["image"] for name in ("seaweedfs", "bucket")}
    (image,) = images
    name, _, version = image.partition(":")
    assert name == "chrislusf/seaweedfs"
    # Older ones store the framing of a trailing checksum as content.
    assert tuple(map(int, version.split("."))) >= (4, 2)
    assert {SERVICES[name]["user"] for name in ("seaweedfs", "bucket", "iceberg-rest")} == {
        "1000:1000"
    }
    # One level: the image keeps a folder of root's in /data, and below it are folders (0700) that
    # root without CAP_DAC_OVERRIDE cannot enter at the second start, so `chown -R` fails there.
    depth, action = ["-maxdepth", "1"], ["-exec", "chown", "1000:1000", "{}", "+"]
    assert SERVICES["owner"]["command"] == ["find", "/seaweedfs", "/iceberg", *depth, *action]


def test_every_client_of_the_object_store_sends_no_checksum_trailers():
    secret = re.compile("S3_SECRET_KEY|AWS_SECRET_ACCESS_KEY")
    clients = {name for name in SERVICES if any(map(secret.search, environment(name)))} - {
        "seaweedfs"
    }
    assert {"taskmanager", "job", "init", "tick", "iceberg-rest", "mlflow", "trino"} <= clients
    setting = "AWS_REQUEST_CHECKSUM_CALCULATION"
    assert {environment(name).get(setting) for name in clients} == {"when_required"}


def test_checkpoints_outlive_the_containers_and_the_job():
    settings = Settings()
    for name in ("jobmanager", "taskmanager", "job"):
        home = SERVICES[name]["environment"]["TICK_HOME"]
        for folder in (paths.checkpoints(settings), paths.savepoints(settings)):
            assert (
                f"{folder.name}:{home}/{folder.relative_to(settings.root)}"
                in SERVICES[name]["volumes"]
            )
    # In config.yaml it has no effect on a submitted job: `docker compose down` deletes every
    # checkpoint.
    retention = "execution.checkpointing.externalized-checkpoint-retention"
    assert job.options(settings)[retention] == "RETAIN_ON_CANCELLATION"


def test_flink_spills_to_a_volume_and_the_taskmanager_has_memory_for_its_process():
    settings = Settings()
    spill = paths.flink_tmp(settings).relative_to(settings.root)
    home = SERVICES["taskmanager"]["environment"]["TICK_HOME"]
    assert f"spill:{home}/{spill}" in SERVICES["taskmanager"]["volumes"]
    assert f"{home}/{spill}" in TestDockerfile.text, (
        "the volume takes over the owner of the image's folder"
    )
    # tmpfs counts as memory, so the limit is above the size of Flink's process.
    assert megabytes(limit("taskmanager", "memory")) >= max(
        3072, settings.flink_taskmanager_mb + 512
    )


def test_the_catalog_has_one_writer():
    catalog = environment("iceberg-rest")
    assert catalog["CATALOG_URI"].startswith("jdbc:sqlite:")
    # A second connection meets the lock of the first: SQLITE_BUSY, "commit state unknown".
    assert catalog["CATALOG_CLIENTS"] == "1"
    assert catalog["CATALOG_URI"].endswith(f"?busy_timeout={BUSY_TIMEOUT_MS}")


@each
def test_two_cpus_are_enough(name):
    """The engine refuses a limit above what the host has."""
    assert float(limit(name, "cpus")) <= 2


def test_core_fits_the_memory_that_the_documentation_names():
    core = {name for name in SERVICES if "core" in SERVICES[name]["profiles"]}
    assert sum(megabytes(limit(name, "memory")) for name in core - ONE_SHOT) <= 12 * 1024
    text = (ROOT / "docs" / "deployment.md").read_text()
    assert "2 CPUs" in text and "12 GB" in text


def test_every_published_port_is_documented():
    text = (ROOT / "docs" / "deployment.md").read_text()
    named = {match[1] for match in PUBLISHED.finditer(TEXT)}
    assert len(named) == sum(len(service.get("ports", ())) for service in SERVICES.values())
    assert [name for name in named if name not in text] == []


def test_every_volume_is_used():
    used = {
        mount.partition(":")[0]
        for service in SERVICES.values()
        for mount in service.get("volumes", ())
    }
    assert COMPOSE["volumes"].keys() <= used


def test_whoever_resumes_the_job_can_delete_old_states():
    volumes = SERVICES["job"]["volumes"]
    assert {volume.partition(":")[0] for volume in volumes} == {"checkpoints", "savepoints"}
    assert not [volume for volume in volumes if volume.endswith(":ro")]


def test_the_env_file_gives_what_is_asked_for_and_nothing_else(tmp_path):
    file = tmp_path / ".env"
    added = compose_env.complete_env(file)
    asked = {
        name: rest for name, rest in VARIABLE.findall(TEXT) if not name.endswith("_PUBLISHED_PORT")
    }
    assert asked.keys() == set(compose_env.SECRETS)
    assert all(rest.startswith(":?") for rest in asked.values()), (
        "a missing secret must stop everything"
    )
    assert set(added) == {*compose_env.SECRETS, *compose_env.DEFAULTS}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_env_changes_no_secret_and_a_deleted_one_is_new(tmp_path):
    file = tmp_path / ".env"
    compose_env.complete_env(file)
    before = file.read_text()
    assert compose_env.complete_env(file) == []
    assert file.read_text() == before
    file.write_text(re.sub(r"REDIS_PASSWORD=.*\n", "", before))
    assert compose_env.complete_env(file) == ["REDIS_PASSWORD"]
    assert len({line.partition("=")[2] for line in file.read_text().splitlines()}) == len(
        file.read_text().splitlines()
    )


def test_the_profiles():
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}
    assert profiles == {"core", "airflow", "observability", "lakehouse", "tools"}


class TestDockerfile:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = text.replace("\\\n", " ").splitlines()

    def test_bases_are_pinned(self):
        names = {line.split()[-1] for line in self.lines if line.startswith("FROM")}
        bases = [line.split()[1] for line in self.lines if line.startswith("FROM")]
        assert all(
            base in names or re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases
        )

    def test_nothing_runs_as_root(self):
        assert [line for line in self.lines if line.startswith("USER")][-1] == "USER 10001:10001"

    def test_packages_are_pinned_and_leave_no_lists(self):
        run = next(line for line in self.lines if "apt-get install" in line)
        assert "--no-install-recommends" in run and "rm -rf /var/lib/apt/lists/*" in run
        wanted = run.partition("--no-install-recommends")[2].partition("&&")[0].split()
        assert all("=" in package for package in wanted)

    def test_python_comes_from_the_lock(self):
        assert all(
            "--frozen" in line and "--no-cache" in line for line in self.lines if "uv sync" in line
        )

    def test_nothing_is_fetched_by_address_or_kept_secret(self):
        assert not re.search(r"^ADD|https?://|PASSWORD|SECRET|TOKEN", self.text, re.MULTILINE)

    def test_what_is_not_listed_stays_out(self):
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert ignored[0] == "**"
        assert {line[1:] for line in ignored if line.startswith("!")} <= {
            path.name for path in ROOT.iterdir()
        }

    def test_targets_are_those_of_compose(self):
        targets = {
            service["build"]["target"] for service in SERVICES.values() if "build" in service
        }
        assert targets <= {line.split()[-1] for line in self.lines if line.startswith("FROM")}
