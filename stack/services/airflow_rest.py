"""Client of Airflow's REST API for the command line: health, DAGs, runs, backfills."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tenacity import retry, retry_if_exception, stop_after_attempt

from contracts.config.groups.airflow import AirflowSettings
from contracts.errors import ServiceError
from stack import secrets
from stack.process.probe import fetch_json

TIMEOUT_S = 30.0
GET_TRIES = 3  # on a busy machine the api-server leaves single requests without a response
PROBE_TIMEOUT_S = 5.0
USER = "admin"
PAGE_ROWS = 100  # rows of one response: Airflow's own limit
PAGES_MAX = 1000
BACKFILL_TIMEOUT_S = 600.0  # one request creates all runs of a backfill
ENDED_STATES = ("success", "failed")
UNAUTHORIZED = 401


class AirflowError(ServiceError):
    """Airflow rejected a request; `status` is the HTTP status."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


def url(settings: AirflowSettings) -> str:
    """Address of the web page and the REST API."""
    return f"http://{settings.airflow_host or settings.host}:{settings.airflow_port}"


def fetch_health(settings: AirflowSettings) -> dict[str, Any] | None:
    """State of each component; None when the api-server does not respond."""
    return fetch_json(f"{url(settings)}/api/v2/monitor/health", PROBE_TIMEOUT_S)


class Client:
    """Sends requests as `admin`. Raises AirflowError when one is rejected, ServiceError when the
    api-server does not respond.
    """

    def __init__(self, settings: AirflowSettings) -> None:
        self.url = url(settings)
        self._password = secrets.airflow_secrets(settings).admin
        self._token = ""
        self._log_in()

    @retry(
        retry=retry_if_exception(lambda error: type(error) is ServiceError),
        stop=stop_after_attempt(GET_TRIES),
        reraise=True,
    )
    def get(self, path: str) -> dict[str, Any]:
        """GET a path below /api/v2; repeated when there is no response."""
        return self._request("GET", f"/api/v2{path}")

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that was imported, by name."""
        return self._get_all("/dags?order_by=dag_id", "dags")

    def import_errors(self) -> list[dict[str, Any]]:
        """Files that could not be imported, with `filename` and `stack_trace`."""
        return self._get_all("/importErrors?order_by=id", "import_errors")

    def unpause(self, dag: str) -> None:
        """Unpause a DAG: the runs of a paused DAG stay queued."""
        self._request("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a manual run; returns its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self._request("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def get_run(self, dag: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return self.get(f"/dags/{dag}/dagRuns/{_quote(run_id)}")

    def runs(self, dag: str = "~") -> list[dict[str, Any]]:
        """The newest runs of one DAG, by default of all."""
        path = f"/dags/{dag}/dagRuns?order_by=-run_after&limit={PAGE_ROWS}"
        return list(self.get(path)["dag_runs"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        path = f"/dags/{dag}/dagRuns/{_quote(run_id)}/taskInstances?order_by=map_index"
        return self._get_all(path, "task_instances")

    def create_backfill(self, dag: str, from_date: str, to_date: str, conf: dict[str, Any]) -> int:
        """Create one run per interval of the DAG's schedule in [from, to], run one at a time,
        oldest first; returns the id of the backfill.
        """
        body = {
            "dag_id": dag,
            "from_date": from_date,
            "to_date": to_date,
            "dag_run_conf": conf,
            "max_active_runs": 1,
            "reprocess_behavior": "completed",
        }
        return int(self._request("POST", "/api/v2/backfills", body, BACKFILL_TIMEOUT_S)["id"])

    def backfill_has_completed(self, backfill_id: int) -> bool:
        """Whether all its runs have ended and Airflow accepts the next backfill of the DAG."""
        return self.get(f"/backfills/{backfill_id}")["completed_at"] is not None

    def backfill_progress(self, dag: str, backfill_id: int) -> tuple[int, int]:
        """Number of its runs that have ended, and of all its runs."""
        path = self._backfill_path(dag, backfill_id)
        unfinished = self._count(f"{path}&state=queued&state=running")
        total = self._count(path)
        return total - unfinished, total

    def backfill_runs(self, dag: str, backfill_id: int) -> list[dict[str, Any]]:
        """All its runs, oldest first: the runs of type backfill in its range."""
        path = self._backfill_path(dag, backfill_id)
        return self._get_all(f"{path}&order_by=logical_date", "dag_runs")

    def unfinished_scheduled_runs(
        self, dag: str, from_date: str, to_date: str
    ) -> list[dict[str, Any]]:
        """Unfinished scheduled runs in [from, to]: a backfill skips their intervals."""
        unfinished = "run_type=scheduled&state=queued&state=running&order_by=logical_date"
        return self._get_all(f"{_runs_path(dag, from_date, to_date)}&{unfinished}", "dag_runs")

    def _backfill_path(self, dag: str, backfill_id: int) -> str:
        backfill = self.get(f"/backfills/{backfill_id}")
        return f"{_runs_path(dag, backfill['from_date'], backfill['to_date'])}&run_type=backfill"

    def _count(self, path: str) -> int:
        return int(self.get(f"{path}&limit=1")["total_entries"])

    def _get_all(self, path: str, name: str) -> list[dict[str, Any]]:
        """All rows of a list, page by page; `path` must already have a query."""
        rows: list[dict[str, Any]] = []
        for _ in range(PAGES_MAX):
            page = self.get(f"{path}&limit={PAGE_ROWS}&offset={len(rows)}")
            rows += page[name]
            if not page[name] or len(rows) >= page["total_entries"]:
                return rows
        raise ServiceError(
            f"Airflow lists more than {len(rows):,} {name}", "choose a shorter range of days"
        )

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """Send one request; logs in again when the token has expired (after a day)."""
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
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                content: dict[str, Any] = json.load(response)
                return content
        except urllib.error.HTTPError as error:
            message = f"Airflow returned HTTP {error.code}: {_error_detail(error)}"
            raise AirflowError(message, "see `tick airflow status`", error.code) from error
        except (OSError, ValueError) as error:
            message = f"Airflow does not respond at {self.url}: {error}"
            raise ServiceError(message, "start it with `tick airflow up`") from error


def _runs_path(dag: str, from_date: str, to_date: str) -> str:
    interval = f"logical_date_gte={_quote(from_date)}&logical_date_lte={_quote(to_date)}"
    return f"/dags/{dag}/dagRuns?{interval}"


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _error_detail(error: urllib.error.HTTPError) -> str:
    with error:
        text = error.read(2000).decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:300]
