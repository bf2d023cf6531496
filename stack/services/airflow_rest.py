"""Airflow's REST interface, as far as the command line needs it: health, DAGs, runs, backfills."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import secrets
from stack.process.probe import json_at

TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 5.0
USER = "admin"
PAGE = 100  # rows of one answer: Airflow's own limit
PAGES_MAX = 1000
BACKFILL_TIMEOUT_S = 600.0  # one request creates every run
ENDED = ("success", "failed")
UNAUTHORIZED = 401


class AirflowError(ServiceError):
    """Airflow refused what it was asked; `status` is HTTP's."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


def url(settings: Settings) -> str:
    """Address of the page and the interface."""
    return f"http://{settings.airflow_host or settings.host}:{settings.airflow_port}"


def health(settings: Settings) -> dict[str, Any] | None:
    """State of each part; None when no one answers."""
    return json_at(f"{url(settings)}/api/v2/monitor/health", PROBE_TIMEOUT_S)


class Client:
    """Asks as `admin`. Raises AirflowError for what is refused, ServiceError when no one
    answers."""

    def __init__(self, settings: Settings) -> None:
        self.url = url(settings)
        self._password = secrets.airflow(settings).admin
        self._token = ""
        self._log_in()

    def get(self, path: str) -> dict[str, Any]:
        """What lies below /api/v2."""
        return self._ask("GET", f"/api/v2{path}")

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that could be imported, by name."""
        return self._all("/dags?order_by=dag_id", "dags")

    def import_errors(self) -> list[dict[str, Any]]:
        """Files that could not be imported, with `filename` and `stack_trace`."""
        return self._all("/importErrors?order_by=id", "import_errors")

    def unpause(self, dag: str) -> None:
        """Let a DAG run: a paused one keeps its runs waiting."""
        self._ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run by hand; returns its id."""
        return str(
            self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})[
                "dag_run_id"
            ]
        )

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return self.get(f"/dags/{dag}/dagRuns/{_quoted(run_id)}")

    def runs(self, dag: str = "~") -> list[dict[str, Any]]:
        """The newest runs, of one DAG or all."""
        return list(self.get(f"/dags/{dag}/dagRuns?order_by=-run_after&limit={PAGE}")["dag_runs"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{dag}/dagRuns/{_quoted(run_id)}/taskInstances?order_by=map_index"
        return self._all(path, "task_instances")

    def backfill(self, dag: str, from_date: str, to_date: str, conf: dict[str, Any]) -> int:
        """One run per interval of the DAG's schedule in [from, to], one at a time, oldest first;
        returns the backfill's id.
        """
        body = {
            "dag_id": dag,
            "from_date": from_date,
            "to_date": to_date,
            "dag_run_conf": conf,
            "max_active_runs": 1,
            "reprocess_behavior": "completed",
        }
        return int(self._ask("POST", "/api/v2/backfills", body, BACKFILL_TIMEOUT_S)["id"])

    def backfill_is_over(self, number: int) -> bool:
        """Whether all its runs have ended, and Airflow accepts the DAG's next backfill."""
        return self.get(f"/backfills/{number}")["completed_at"] is not None

    def backfill_progress(self, dag: str, number: int) -> tuple[int, int]:
        """How many of its runs have ended, and how many there are."""
        path = self._backfill_path(dag, number)
        unfinished = self._count(f"{path}&state=queued&state=running")
        total = self._count(path)
        return total - unfinished, total

    def runs_of_backfill(self, dag: str, number: int) -> list[dict[str, Any]]:
        """All its runs, oldest first: those of type backfill in its range."""
        path = self._backfill_path(dag, number)
        return self._all(f"{path}&order_by=logical_date", "dag_runs")

    def scheduled_under_way(self, dag: str, from_date: str, to_date: str) -> list[dict[str, Any]]:
        """Unfinished scheduled runs in [from, to]: a backfill leaves their intervals out."""
        unfinished = "run_type=scheduled&state=queued&state=running&order_by=logical_date"
        return self._all(f"{_runs_path(dag, from_date, to_date)}&{unfinished}", "dag_runs")

    def _backfill_path(self, dag: str, number: int) -> str:
        known = self.get(f"/backfills/{number}")
        return f"{_runs_path(dag, known['from_date'], known['to_date'])}&run_type=backfill"

    def _count(self, path: str) -> int:
        return int(self.get(f"{path}&limit=1")["total_entries"])

    def _all(self, path: str, name: str) -> list[dict[str, Any]]:
        """Every row below a path that has a query, page by page, in its order."""
        rows: list[dict[str, Any]] = []
        for _ in range(PAGES_MAX):
            answer = self.get(f"{path}&limit={PAGE}&offset={len(rows)}")
            rows += answer[name]
            if not answer[name] or len(rows) >= answer["total_entries"]:
                return rows
        raise ServiceError(f"Airflow lists more than {len(rows):,} {name}", "ask for fewer days")

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """One request; logs in again when the token has expired, which it does after a day."""
        try:
            return self._send(method, path, body, timeout_s)
        except AirflowError as error:
            if error.status != UNAUTHORIZED or not self._token:
                raise
        self._log_in()
        return self._send(method, path, body, timeout_s)

    def _log_in(self) -> None:
        self._token = ""
        login = {"username": USER, "password": self._password}
        self._token = str(self._send("POST", "/auth/token", login, TIMEOUT_S)["access_token"])

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        timeout_s: float,
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except urllib.error.HTTPError as error:
            said = f"Airflow says {error.code}: {_detail(error)}"
            raise AirflowError(said, "see `tick airflow status`", error.code) from error
        except (OSError, ValueError) as error:
            said = f"Airflow does not answer at {self.url}: {error}"
            raise ServiceError(said, "start it: `tick airflow up`") from error


def _runs_path(dag: str, from_date: str, to_date: str) -> str:
    span = f"logical_date_gte={_quoted(from_date)}&logical_date_lte={_quoted(to_date)}"
    return f"/dags/{dag}/dagRuns?{span}"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:300]
