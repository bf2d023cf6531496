"""`tick up | status | logs | doctor | open | jars | down`: output and exit codes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.platform import Page, _finding_cells, _format_duration, _page_address, _status_table
from contracts.config import paths
from stack import systemd_unit
from stack.doctor import Finding
from stack.process.service import ServiceStatus
from stack.services.project_services import mlflow_url, settings_env
from tests.cli.screens import cells, render, screen, text


def test_status_without_services(tick, free_settings):
    result = tick(free_settings, "status")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" off ") == 4
    assert str(free_settings.root) in result.stdout


def test_down_without_services(tick, free_settings):
    assert tick(free_settings, "down").stdout == "nothing was running\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min")],
)
def test_durations_are_readable(seconds, text):
    assert _format_duration(seconds) == text


def test_logs_print_the_end_of_each_file(tick, free_settings):
    paths.logs(free_settings).mkdir(parents=True)
    for name in ("kafka", "redis"):
        (paths.logs(free_settings) / f"{name}.log").write_text(
            f"first [of] {name}\nlast of {name}\n"
        )
    assert tick(free_settings, "logs", "kafka", "-n", "1").stdout == "last of kafka\n"
    everything = tick(free_settings, "logs").stdout
    assert "first [of] kafka" in everything
    assert "redis.log <==" in everything
    assert tick(free_settings, "logs", "spark").exit_code == 1


def test_logs_follow(free_settings, tmp_path):
    log = paths.logs(free_settings) / "kafka.log"
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cli.main", "logs", "kafka", "--follow"]
    with (
        out.open("w") as stream,
        subprocess.Popen(
            command, stdout=stream, env={**settings_env(free_settings), "PATH": ""}
        ) as follower,
    ):
        try:
            _wait_for(out, "before")
            with log.open("a") as written:
                written.write("after\n")
            _wait_for(out, "after")
            log.write_text("again\n")
            _wait_for(out, "again")
        finally:
            follower.kill()


def _wait_for(out, text: str) -> None:
    while text not in out.read_text():
        time.sleep(0.05)


def test_doctor_exits_1_when_something_must_be_done(tick, make_settings, tmp_path):
    result = tick(make_settings(cache=tmp_path / "empty"), "doctor")
    assert result.exit_code == 1
    assert "missing or damaged" in result.stdout
    assert "tick up" in " ".join(result.stdout.split())


def test_the_page_of_the_api_needs_the_key(tick, make_settings):
    closed = make_settings()
    open_ = make_settings(api_open=True)
    result = tick(closed, "open", "api")
    assert result.stdout == f"{closed.api_url}/docs\n"
    assert "TICK_API_KEY" in result.stderr and "secrets.env" in result.stderr.replace("\n", "")
    assert tick(open_, "open", "api").stderr == ""


@pytest.mark.integration
def test_up_open_jars_and_logs(tick, platform):
    result = tick(platform, "up", "--no-supervise")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" ready ") == 4
    assert tick(platform, "open", "flink").stdout == f"{platform.flink_url}\n"
    assert "all as pinned" in " ".join(tick(platform, "jars").stdout.split())
    assert "started" in tick(platform, "logs", "kafka").stdout


def status_of(**fields) -> ServiceStatus:
    defaults = {"name": "redis", "version": "8.0", "state": "off", "ports": (), "log": Path("x")}
    return ServiceStatus(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({}, ["redis", "8.0", "off"]),
        ({"state": "died", "ports": (6379,)}, ["redis", "8.0", "died", "6379"]),
        (
            {
                "state": "ready",
                "pid": 12,
                "ports": (1, 2),
                "memory_mb": 90,
                "memory_limit_mb": 256,
                "uptime_s": 61.5,
            },
            ["redis", "8.0", "ready", "12", "1 2", "90 / 256", "1 min 01 s"],
        ),
        (
            {"state": "not ready", "pid": 12, "memory_mb": 0, "uptime_s": 0.0},
            ["redis", "8.0", "not ready", "12", "0", "0 s"],
        ),
    ],
    ids=["off", "died", "ready", "not ready"],
)
def test_a_service_is_one_line_whatever_is_known_of_it(fields, row):
    printed = render(_status_table([status_of(**fields)]))
    assert cells(printed[1]) == row
    assert max(map(len, printed)) <= 80


def test_every_state_of_a_service_has_a_colour():
    for state in ("ready", "not ready", "died", "FAILED", "off"):
        console = screen(terminal=True)
        console.print(_status_table([status_of(state=state)]))
        assert f"{state}\x1b[0m" in text(console)


def test_a_failed_check_comes_with_advice_and_a_passed_one_without():
    assert _finding_cells(Finding("Disk", ok=True, observed="9 GB", advice="free some"))[2:] == (
        "9 GB",
        "",
    )
    mark, *others = _finding_cells(Finding("Disk", ok=False, observed="1 GB", advice="free some"))
    assert "✗" in mark
    assert others == ["Disk", "1 GB", "→ free some"]


@pytest.mark.parametrize(
    ("page", "path"), [("flink", ""), ("api", "/docs"), ("live", "/live"), ("mlflow", "")]
)
def test_each_page_has_its_address(make_settings, page, path):
    settings = make_settings()
    bases = {"flink": settings.flink_url, "mlflow": mlflow_url(settings)}
    address = _page_address(settings, Page(page))
    assert address == bases.get(page, settings.api_url) + path


def test_another_mlflow_server_is_not_started(tick, make_settings):
    result = tick(make_settings(mlflow_tracking_uri="http://mlflow.test:5000"), "open", "mlflow")
    assert result.stdout == "http://mlflow.test:5000\n"
    assert result.exit_code == 0


@pytest.mark.parametrize("name", ["nothing", "kafkaa"])
def test_an_unknown_service_cannot_be_stopped(tick, free_settings, name):
    result = tick(free_settings, "down", "kafka", name)
    assert result.exit_code == 1
    assert f"unknown service '{name}'" in result.stderr
    assert "kafka, redis" in result.stderr
    assert "nothing was running" not in result.stdout


def test_a_service_that_does_not_run_is_not_an_error(tick, free_settings):
    result = tick(free_settings, "down", "kafka", "redis")
    assert (result.exit_code, result.stdout) == (0, "nothing was running\n")


@pytest.mark.parametrize("option", [[], ["--write"]])
def test_the_command_prints_or_writes_the_unit(tick, free_settings, monkeypatch, tmp_path, option):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "config" / "systemd" / "user" / systemd_unit.NAME
    result = tick(free_settings, "units", *option)
    assert result.exit_code == 0, result.output
    text = file.read_text() if option else result.stdout
    assert f'Environment="TICK_HOME={free_settings.root}"' in text
    assert file.exists() is bool(option)
    assert ("systemctl --user enable --now lakehouse-tick" in result.stdout) is bool(option)
