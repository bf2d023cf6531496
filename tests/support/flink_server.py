"""A loopback server that answers like Flink's REST API, with a live job that tests can change."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from contracts import live_job
from tests.support.loopback import serving

JOB_ID = "0123456789abcdef0123456789abcdef"
SOURCE = "Source: KafkaSource-default_catalog.default_database"
# As the planner names and links them. A separate operator follows the warm-up, as it does when the
# job has more parallel tasks than the topic has partitions.
NAMES = {
    "ticks": f"{SOURCE}.wire -> Calc[2] -> (Calc[3] -> IcebergStreamWriter, Calc[19])",
    "warm": f"{SOURCE}.wire_warm -> Calc[21]",
    "behind": "Calc[7]",
    "raw": f"{SOURCE}.wire_raw -> Calc[6] -> Correlate[7] -> dead_letter[12]: Writer",
    "served": f"{SOURCE}.served -> Calc[86] -> IcebergStreamWriter",
    "windows": "GlobalWindowAggregate[13] -> Calc[14] -> features_tick_1s[15]: Writer",
}
INPUTS = {"behind": ["warm"], "windows": ["ticks", "behind"]}


class FlinkServer:
    """Its job: name, state, task counts per key of NAMES, times of failures, restarts."""

    def __init__(self) -> None:
        self.name, self.state, self.restarts = live_job.NAME, "RUNNING", 0
        self.vertices: dict[str, dict[str, int]] = {key: {"RUNNING": 2} for key in NAMES}
        self.vertices |= {"warm": {"FINISHED": 2}, "behind": {"FINISHED": 2}}
        self.failed_ms: list[int] = []
        self.hanging = threading.Event()  # set: no answer
        self.ended = threading.Event()
        self.port = 0

    def answer(self, path: str) -> Any:
        """Flink's response for a path."""
        job = {
            "jid": JOB_ID,
            "name": self.name,
            "state": self.state,
            "start-time": 1,
            "duration": 1000,
        }
        trace = "a.B: outer\n\tat x\nCaused by: c.D: inner\n\tat y"
        failures = [{"timestamp": at, "stacktrace": trace} for at in self.failed_ms]
        vertices = [self._vertex(key) for key in NAMES]
        return {
            "/jobs/overview": {"jobs": [job]},
            f"/jobs/{JOB_ID}": job | {"vertices": vertices, "plan": {"nodes": _nodes()}},
            f"/jobs/{JOB_ID}/exceptions": {"exceptionHistory": {"entries": failures}},
            f"/jobs/{JOB_ID}/metrics": [{"id": "numRestarts", "value": str(self.restarts)}],
            f"/jobs/{JOB_ID}/checkpoints": {
                "counts": {"completed": 7},
                "latest": {"completed": {"state_size": 5}},
            },
        }[path.partition("?")[0]]

    def _vertex(self, key: str) -> dict[str, Any]:
        counts = {"RUNNING": 0, "FINISHED": 0, "FAILED": 0} | self.vertices[key]
        status = next(status for status in ("RUNNING", "FAILED", "FINISHED") if counts[status])
        return {
            "id": key,
            "name": NAMES[key],
            "status": status,
            "parallelism": sum(counts.values()),
            "tasks": counts,
        }


def _nodes() -> list[dict[str, Any]]:
    inputs = {key: [{"id": other} for other in INPUTS.get(key, ())] for key in NAMES}
    return [{"id": key, "inputs": edges} for key, edges in inputs.items()]


@contextlib.contextmanager
def flink_server() -> Iterator[FlinkServer]:
    """A running server; its thread ends with the block."""
    flink = FlinkServer()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if flink.hanging.is_set():
                flink.ended.wait(30)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(flink.answer(self.path)).encode())

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with serving(Answering) as flink.port:
        try:
            yield flink
        finally:
            flink.ended.set()
