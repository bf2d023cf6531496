"""The unit of systemd starts and stops the platform of its settings, and contains no secret."""

import configparser
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from contracts.config import paths
from stack import systemd_unit
from tests.security.test_secrets import CANARY


def parse(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def environment(text: str) -> dict[str, str]:
    """Variables of the unit, as systemd reads them."""
    lines = [line for line in text.splitlines() if line.startswith("Environment=")]
    words = [shlex.split(line.partition("=")[2])[0] for line in lines]
    return dict(word.replace("%%", "%").split("=", 1) for word in words)


def test_the_unit_starts_and_stops_this_platform(make_settings):
    settings = make_settings(start_timeout_s=100, stop_timeout_s=20)
    unit = parse(systemd_unit.render(settings))
    service = unit["Service"]
    assert (service["Type"], service["RemainAfterExit"]) == ("oneshot", "yes")
    assert shlex.split(service["ExecStart"])[1:] == ["-m", "cli.main", "up"]
    assert shlex.split(service["ExecStop"])[1:] == ["-m", "cli.main", "down", "--for-reboot"]
    assert Path(service["WorkingDirectory"]) == paths.project(settings)
    assert float(service["TimeoutStartSec"]) > 2 * 100
    assert float(service["TimeoutStopSec"]) > 4 * 20
    assert unit["Install"]["WantedBy"] == "default.target"


def test_the_unit_has_the_settings_that_were_set_and_no_others(make_settings, tmp_path):
    home = tmp_path / 'with space, "quotes" and 100%'
    text = systemd_unit.render(make_settings(home, fresh_s=12.5, model_name="a\\b"))
    values = environment(text)
    assert values["TICK_HOME"] == str(home)
    assert values["TICK_FRESH_S"] == "12.5"
    assert values["TICK_MODEL_NAME"] == "a\\b"
    assert Path(values["TICK_CACHE"]).is_absolute()
    assert "TICK_STALE_S" not in values


def test_secrets_are_left_out_by_name(make_settings):
    text = systemd_unit.render(
        make_settings(
            redis_password=CANARY,
            api_key=CANARY,
            mlflow_tracking_uri=f"postgresql://mlflow:{CANARY}@h/mlflow",
        )
    )
    assert CANARY not in text
    for name in ("TICK_REDIS_PASSWORD", "TICK_API_KEY", "TICK_MLFLOW_TRACKING_URI"):
        assert f"# Left out: {name}\n" in text
    assert f"EnvironmentFile=-{make_settings().root}/units.env" in text


def test_systemd_accepts_the_unit(make_settings, tmp_path):
    """Where systemd is not installed, the parts of the unit are at least the ones it requires."""
    text = systemd_unit.render(make_settings(tmp_path / "50% of it"))
    file = tmp_path / systemd_unit.NAME
    file.write_text(text)
    assert {"Unit", "Service", "Install"} == set(parse(text).sections())
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        checked = subprocess.run(
            [analyze, "verify", "--man=no", str(file)],
            capture_output=True,
            text=True,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
            check=False,
        )
        assert (checked.returncode, systemd_unit.NAME in checked.stderr) == (0, False), (
            checked.stderr
        )
