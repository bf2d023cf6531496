"""The check of a new model, without the child process: what it accepts and what it reports."""

import json
import subprocess
import sys

from models import runtime
from models.load_check import find_problem
from tests.support.model_folder import export_small_forest


def test_a_model_that_reproduces_its_golden_rows_has_no_problem(tmp_path):
    exported = export_small_forest(tmp_path)
    assert find_problem(exported.folder, exported.digest) is None


def test_a_wrong_digest_is_reported_with_its_file(tmp_path):
    exported = export_small_forest(tmp_path)
    problem = find_problem(exported.folder, "0" * 64)
    assert problem == f"{tmp_path / 'manifest.json'} is not the one that was registered"


def test_a_golden_forecast_that_differs_is_reported_by_how_much(tmp_path):
    exported = export_small_forest(tmp_path)
    values = json.loads((tmp_path / runtime.MANIFEST_FILE).read_bytes())
    values["golden_forecasts"][3] += 0.25
    digest = runtime.Manifest(**values).write(exported.folder)
    assert find_problem(exported.folder, digest) == "golden forecasts differ by 0.25"


def test_a_nan_difference_is_a_problem(tmp_path):
    exported = export_small_forest(tmp_path)
    values = json.loads((tmp_path / runtime.MANIFEST_FILE).read_bytes())
    values["golden_forecasts"][0] = float("nan")
    digest = runtime.Manifest(**values).write(exported.folder)
    assert find_problem(exported.folder, digest) == "golden forecasts differ by nan"


def test_the_process_exits_with_zero_or_with_the_problem_on_standard_error(tmp_path):
    exported = export_small_forest(tmp_path)
    for digest, code in ((exported.digest, 0), ("0" * 64, 1)):
        command = [sys.executable, "-m", "models.load_check", str(tmp_path), digest]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = find_problem(tmp_path, digest)
        assert (child.returncode, child.stderr.strip()) == (code, problem or "")
