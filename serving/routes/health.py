"""Readiness: the checks `model`, `redis`, `pipeline` (lag) and `job`, each with its detail.

`job` reports the health of the live job, but does not make the API unready. All replicas would
leave the rotation at once while their predictions are correct, e.g. when only dead letters are no
longer written. A job that stops the features fails `pipeline`.
"""

from contracts.clock import now_us
from feature_store.online.reader import OnlineStoreUnavailable
from serving.state.service import Service
from serving.web.schemas import Check, Readiness


async def check_readiness(service: Service) -> Readiness:
    """All checks as of now. A failed check is never an exception."""
    checks = [_check_model(service), *await _check_store(service), _check_job(service)]
    return Readiness(ready=all(check.ok for check in checks if check.required), checks=checks)


def _check_job(service: Service) -> Check:
    problems = service.job_watch.latest().problems
    detail = "; ".join(problems) or "all readers are running, all consumer groups keep up"
    return Check(name="job", ok=not problems, required=False, detail=detail)


def _check_model(service: Service) -> Check:
    models = service.models
    if models.production is None:
        return Check(name="model", ok=False, detail=models.explanation)
    model = models.production.model
    note = f" ({models.explanation})" if models.explanation else ""
    return Check(name="model", ok=True, detail=f"{model.name} version {model.version}{note}")


async def _check_store(service: Service) -> tuple[Check, Check]:
    settings = service.settings
    try:
        heartbeat_ms = await service.reader.heartbeat_ms()
    except OnlineStoreUnavailable:
        detail = f"Redis on port {settings.redis_port} does not answer"
        return (
            Check(name="redis", ok=False, detail=detail),
            Check(name="pipeline", ok=False, detail="unknown without Redis"),
        )
    return (
        Check(name="redis", ok=True, detail="Redis answers"),
        _check_lag(heartbeat_ms, settings.pipeline_lag_s_max),
    )


def _check_lag(heartbeat_ms: int | None, lag_s_max: float) -> Check:
    if heartbeat_ms is None:
        detail = "no heartbeat: the live job or the online writer has not run yet"
        return Check(name="pipeline", ok=False, detail=detail)
    lag_s = now_us() / 1e6 - heartbeat_ms / 1e3
    detail = f"lag {lag_s:.1f} s of {lag_s_max:g} s allowed"
    return Check(name="pipeline", ok=lag_s <= lag_s_max, detail=detail)
