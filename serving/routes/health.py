"""Readiness: a model to serve, a store that answers, and a pipeline that keeps up; each check
apart, with its number.

The live job behind the pipeline is told too, but takes no API out of rotation: all replicas would
leave at once, while their answers are right, e.g. when only dead letters are no longer written. A
job that stops the features fails `pipeline`.
"""

from contracts.clock import now_us
from feature_store.online.reader import OnlineStoreUnavailable
from serving.state.service import Service
from serving.web.schemas import Check, Readiness


async def readiness(service: Service) -> Readiness:
    """All checks as of now; never raises for what it checks."""
    checks = [_model(service), *await _store(service), _job(service)]
    return Readiness(ready=all(check.ok for check in checks if check.required), checks=checks)


def _job(service: Service) -> Check:
    problems = service.job_watch.newest().problems
    detail = "; ".join(problems) or "every reader runs, every consumer group keeps up"
    return Check(name="job", ok=not problems, required=False, detail=detail)


def _model(service: Service) -> Check:
    if service.predictor is None:
        return Check(name="model", ok=False, detail=service.model_note)
    model = service.predictor.model
    note = f" ({service.model_note})" if service.model_note else ""
    return Check(name="model", ok=True, detail=f"{model.name} version {model.version}{note}")


async def _store(service: Service) -> tuple[Check, Check]:
    settings = service.settings
    try:
        beat_ms = await service.reader.heartbeat_ms()
    except OnlineStoreUnavailable:
        down = Check(
            name="redis", ok=False, detail=f"Redis on port {settings.redis_port} does not answer"
        )
        return down, Check(name="pipeline", ok=False, detail="unknown without Redis")
    return Check(name="redis", ok=True, detail="answers"), _pipeline(
        beat_ms, settings.pipeline_lag_s_max, now_us()
    )


def _pipeline(beat_ms: int | None, lag_s_max: float, now: int) -> Check:
    if beat_ms is None:
        return Check(
            name="pipeline",
            ok=False,
            detail="no heartbeat: the live job and the online writer have not run yet",
        )
    lag_s = now / 1e6 - beat_ms / 1e3
    return Check(
        name="pipeline",
        ok=lag_s <= lag_s_max,
        detail=f"lag {lag_s:.1f} s of {lag_s_max:g} s allowed",
    )
