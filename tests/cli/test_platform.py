"""`tick up | status | logs | doctor | open | jars | down`: output and exit codes."""

import subprocess
import sys
import time

import pytest

from cli.platform import _format_duration
from contracts.config import paths
from stack.services.own import settings_env


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
    result = tick(platform, "up")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(" ready ") == 4
    assert tick(platform, "open", "flink").stdout == f"{platform.flink_url}\n"
    assert "all as pinned" in " ".join(tick(platform, "jars").stdout.split())
    assert "started" in tick(platform, "logs", "kafka").stdout
