"""FLINK_HOME and config.yaml: each option that prevents a known failure is there."""

import json

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from feature_store.flink.program import base_options
from stack import bounded_value, jars
from stack.services import flink


def _config(settings) -> dict[str, object]:
    return {
        key: json.loads(value)
        for key, _, value in (line.partition(": ") for line in flink.config(settings).splitlines())
    }


def test_the_add_opens_of_the_distribution_are_kept(free_settings):
    """Without them jobs start, run, and then fail every checkpoint."""
    options = str(_config(free_settings)["env.java.opts.all"])
    assert "--add-opens=java.base/java.nio=ALL-UNNAMED" in options
    assert "jdk.compiler" not in options


def test_a_distribution_without_them_is_refused(monkeypatch, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("parallelism:\n  default: 1\n")
    monkeypatch.setattr(paths, "pyflink_home", lambda: tmp_path)
    with pytest.raises(ServiceError, match=r"env\.java\.opts\.all"):
        flink.java_options()


def test_every_address_is_the_host_of_the_settings(free_settings):
    config = _config(free_settings)
    addresses = [value for key, value in config.items() if key.endswith(("host", "address"))]
    assert len(addresses) == 6
    assert set(addresses) == {"127.0.0.1"}


def test_two_platforms_share_no_port(make_settings):
    one, two = _config(make_settings(flink_port=7211)), _config(make_settings(flink_port=7311))
    ports = [
        {value for key, value in config.items() if key.endswith(".port")} for config in (one, two)
    ]
    assert ports == [{7211, 7212, 7213}, {7311, 7312, 7313}]


def test_the_jobmanager_claims_its_configured_ports(make_settings):
    settings = make_settings(flink_port=7211)
    service = flink.jobmanager(settings)
    assert set(service.ports) == {
        value for key, value in _config(settings).items() if key.endswith(".port")
    }


def test_failures_are_noticed_in_seconds_and_three_checkpoints_stay(free_settings):
    config = _config(free_settings)
    assert (config["heartbeat.interval"], config["heartbeat.timeout"]) == (1000, 20_000)
    assert config["client.heartbeat.timeout"] == 10_000  # jobs of killed clients are looked for
    assert config["execution.checkpointing.num-retained"] == 3
    assert config["execution.checkpointing.dir"] == paths.checkpoints(free_settings).as_uri()
    assert (
        config["execution.checkpointing.savepoint-dir"] == paths.savepoints(free_settings).as_uri()
    )


def test_the_class_path_is_exactly_the_wheel_and_the_pinned_jars(free_settings):
    flink.prepare_home(free_settings)
    lib = paths.flink_lib(free_settings)
    (lib / "iceberg-of-last-year.jar").symlink_to("/nowhere")
    flink.prepare_home(free_settings)
    wheel = {jar.name for jar in (paths.pyflink_home() / "lib").glob("*.jar")}
    own = bounded_value.jar_path(free_settings).name
    assert {jar.name for jar in lib.iterdir()} == wheel | {own} | {
        jar.file for jar in jars.locked("flink")
    }
    assert (paths.flink_home(free_settings) / "plugins").is_dir()
    assert (paths.flink_home(free_settings) / "opt" / "flink-python-2.3.0.jar").exists()


def test_a_taskmanager_starts_without_what_a_killed_one_spilled(free_settings):
    tmp = paths.flink_tmp(free_settings)
    for folder in ("flink-io-1", "flink-netty-shuffle-1", "blobStore-1"):
        (tmp / folder).mkdir(parents=True)
        (tmp / folder / "file").write_bytes(b"content")
    flink.jobmanager(free_settings).prepare()
    assert len(list(tmp.iterdir())) == 3
    flink.taskmanager(free_settings).prepare()
    assert [folder.name for folder in tmp.iterdir()] == ["blobStore-1"]  # the running JobManager's


def test_clients_get_lib_and_conf_as_variables(free_settings):
    """The wheel's scripts resolve links: FLINK_HOME alone lacks the connectors."""
    flink.prepare_home(free_settings)
    env = paths.flink_env(free_settings)
    assert env["FLINK_LIB_DIR"] == str(paths.flink_lib(free_settings))
    for name in (
        "JAVA_HOME",
        "FLINK_HOME",
        "FLINK_LIB_DIR",
        "FLINK_CONF_DIR",
        "FLINK_OPT_DIR",
        "FLINK_PLUGINS_DIR",
        "FLINK_LOG_DIR",
    ):
        assert paths.Path(env[name]).is_dir(), name


def test_no_cluster_has_no_overview(free_settings):
    assert flink.fetch_overview(free_settings) is None
    assert not flink.taskmanager(free_settings).ready()


def test_a_job_without_a_taskmanager_waits_for_slots(free_settings):
    """By default every slot request fails at once after five minutes: all restarts are used up."""
    assert _config(free_settings)["resourcemanager.standalone.start-up-time"] == "0 s"


def test_the_restarts_of_every_job_are_bounded_by_its_own_options(make_settings):
    options = base_options(make_settings(restarts_max=7, restart_reset_s=60))
    delay = "restart-strategy.exponential-delay."
    assert options["restart-strategy.type"] == "exponential-delay"
    assert options[f"{delay}attempts-before-reset-backoff"] == "7"
    assert options[f"{delay}reset-backoff-threshold"] == "60000 ms"
    assert not [key for key in _config(make_settings()) if key.startswith("restart-strategy")]
