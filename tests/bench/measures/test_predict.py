"""`/predict` and its peers: ratios of requests per core, aims, and the servers of the peers."""

import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from bench.errors import BenchError
from bench.load.http_load import Load
from bench.measures import predict
from bench.measures.predict import Loads
from tests.support.loopback import serving

# A server that answers with the folders in which it looks for programs.
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["PATH"].encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def load_of(requests, cpu_s, ms=2.0):
    return Load([ms] * requests, {200: requests}, cpu_s, wall_s=4.0)


def loads(per_core):
    return Loads(load_of(100, 1.0, ms=1.5), load_of(1000, 1000 / per_core))


def by_name(figures):
    return {figure.what: figure for figure in figures}


def test_the_forest_is_compared_with_mlflow_per_core():
    figures = by_name(predict._forest_figures(loads(2000.0), loads(100.0)))
    ratio = figures["ours / mlflow, forest, req/s/core"]
    assert ratio.value == pytest.approx(20) and ratio.met
    assert figures["/predict, forest, at c=32"].value == pytest.approx(2000)
    assert figures["/predict, forest, p99 at c=1"].value == 1.5


def test_lightgbm_has_its_own_aim():
    figures = by_name(predict._lightgbm_figures(loads(1000.0), loads(400.0)))
    ratio = figures["ours / mlflow, LightGBM, req/s/core"]
    assert (ratio.value, ratio.at_least, ratio.met) == (pytest.approx(2.5), 3.0, False)


def test_feast_is_compared_without_an_aim():
    figures = by_name(predict._feast_figures(loads(1000.0), loads(200.0)))
    ratio = figures["ours with model / Feast without, req/s/core"]
    assert (ratio.value, ratio.met) == (pytest.approx(5), None)


def test_throughput_is_by_the_clock_and_the_tail_is_named():
    load = Load([1.0] * 98 + [9.0] * 2, {200: 100}, 1.0, wall_s=0.5)
    assert predict._throughput(load) == "200 req/s by the clock, p99 9.0 ms"


def test_requests_that_failed_during_a_swap_are_counted(free_settings):
    swap = Load([1.0, 120.0, 3.0], {200: 1, 503: 1, 500: 1})
    figures = by_name(predict._process_figures(free_settings, swap, started_s=2.5))
    longest = figures["longest answer during a swap"]
    assert (longest.value, longest.met) == (120.0, False)
    assert longest.note == "3 requests while a new version was promoted, 2 failed"
    assert figures["start to ready"].value == 2.5


@pytest.mark.parametrize("statuses", [{503: 10}, {200: 9, 500: 1}])
def test_a_load_with_another_status_than_200_is_not_measured(statuses):
    failed = Load([1.0] * 10, statuses)
    for pair in (Loads(failed, load_of(1, 1.0)), Loads(load_of(1, 1.0), failed)):
        with pytest.raises(BenchError) as caught:
            predict._require_success(pair, "/predict")
        assert f"/predict: responses by status {statuses}" in str(caught.value)


def test_loads_of_200_are_measured():
    predict._require_success(Loads(load_of(1, 1.0), load_of(2, 1.0)), "/predict")


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_a_server_answers_even_when_it_refuses():
    with serving(Refusing) as port:
        url = f"http://127.0.0.1:{port}/ping"
        assert predict._answers(url)
    assert not predict._answers(url)


def test_the_server_of_a_peer_runs_for_the_block_and_finds_our_programs_first(free_settings):
    port = free_settings.mlflow_port
    url = f"http://127.0.0.1:{port}/"
    with (
        predict._run_server([sys.executable, "-c", SERVER, str(port)], url) as process,
        urllib.request.urlopen(url) as response,
    ):
        path = response.read().decode()
    assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert not psutil.pid_exists(process.pid)


def test_a_peer_that_does_not_start_is_named_and_ended(monkeypatch):
    monkeypatch.setattr(predict.api, "READY_S", 0.0)
    child = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    before = {process.pid for process in psutil.Process().children()}
    with (
        pytest.raises(BenchError, match="in vain: .* to start"),
        predict._run_server(child, "http://127.0.0.1:9/"),
    ):
        pytest.fail("the block of a server that did not start must not run")
    assert {process.pid for process in psutil.Process().children()} == before
