"""Airflow's REST interface, as far as the command line needs it: health, DAGs, runs, backfills."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from contracts.errors import ServiceError
from contracts.settings import Settings
from stack import secrets
from stack.probe import json_at

TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 5.0
USER = "admin"
RUNS_MAX = 100
ENDED = ("success", "failed")


class AirflowError(ServiceError):
    """Airflow refused what it was asked; `status` is HTTP's."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


def url(settings: Settings) -> str:
    """Address of the page and the interface."""
    return f"http://{settings.airflow_host or settings.host}:{settings.airflow_port}"


def health(settings: Settings) -> dict[str, Any] | None:
    """State of each part; None when nobody answers."""
    return json_at(f"{url(settings)}/api/v2/monitor/health", PROBE_TIMEOUT_S)


class Client:
    """Asks as `admin`. Raises AirflowError for what is refused, ServiceError when nobody answers."""

    def __init__(self, settings: Settings) -> None:
        self.url = url(settings)
        self._token = ""
        made = self._ask("POST", "/auth/token", {"username": USER, "password": secrets.airflow(settings).admin})
        self._token = str(made["access_token"])

    def get(self, path: str) -> dict[str, Any]:
        """What lies below /api/v2."""
        return self._ask("GET", f"/api/v2{path}")

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that could be imported, by name."""
        return list(self.get(f"/dags?limit={RUNS_MAX}&order_by=dag_id")["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """Files that could not be imported, with `filename` and `stack_trace`."""
        return list(self.get("/importErrors")["import_errors"])

    def unpause(self, dag: str) -> None:
        """Let a DAG run: a paused one keeps its runs waiting."""
        self._ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run by hand; returns its id."""
        return str(self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return self.get(f"/dags/{dag}/dagRuns/{_quoted(run_id)}")

    def runs(self, dag: str = "~") -> list[dict[str, Any]]:
        """The newest runs, of one DAG or all."""
        return list(self.get(f"/dags/{dag}/dagRuns?order_by=-run_after&limit={RUNS_MAX}")["dag_runs"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return list(self.get(f"/dags/{dag}/dagRuns/{_quoted(run_id)}/taskInstances")["task_instances"])

    def backfill(self, dag: str, from_date: str, to_date: str, conf: dict[str, Any]) -> int:
        """One run per interval of the DAG's schedule in [from, to], one at a time, oldest first; returns the backfill's id."""
        wanted = {"dag_id": dag, "from_date": from_date, "to_date": to_date, "dag_run_conf": conf, "max_active_runs": 1}
        return int(self._ask("POST", "/api/v2/backfills", {**wanted, "reprocess_behavior": "completed"})["id"])

    def backfill_is_over(self, number: int) -> bool:
        """Whether all its runs have ended."""
        return self.get(f"/backfills/{number}")["completed_at"] is not None

    def runs_of_backfill(self, dag: str, number: int) -> list[dict[str, Any]]:
        """Its runs: those of type backfill in its range."""
        known = self.get(f"/backfills/{number}")
        span = f"logical_date_gte={_quoted(known['from_date'])}&logical_date_lte={_quoted(known['to_date'])}"
        return list(self.get(f"/dags/{dag}/dagRuns?run_type=backfill&{span}&limit={RUNS_MAX}")["dag_runs"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise AirflowError(f"Airflow says {error.code}: {_detail(error)}", "see `tick airflow status`", error.code) from error
        except (OSError, ValueError) as error:
            raise ServiceError(f"Airflow does not answer at {self.url}: {error}", "start it: `tick airflow up`") from error


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:300]
