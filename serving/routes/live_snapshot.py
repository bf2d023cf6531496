"""The platform at a glance: symbols with features and predictions, model and gate, parity, drift,
dead letters, lag of the stream.
"""

from collections.abc import Mapping
from typing import Any

from contracts.clock import now_us
from contracts.features import CORE
from feature_store.online.reader import OnlineStoreUnavailable
from serving.routes.health import readiness
from serving.state.service import Service

SYMBOLS_MAX = 50


async def take(service: Service) -> dict[str, Any]:
    """One document; a part that cannot be had is missing or null, never a failure of the rest."""
    now = now_us()
    checks = await readiness(service)
    figures, symbols = await service.figures.read(), await _symbols(service)
    return {
        "now_us": now,
        "ready": checks.ready,
        "checks": [check.model_dump() for check in checks.checks],
        "model": _model(service),
        "gate": [_gate(version) for version in service.versions],
        "symbols": symbols,
        "core": list(CORE),
        "fresh_s": service.settings.fresh_s,
        "stale_s": service.settings.stale_s,
        "stream": figures.as_dict(),
    }


async def _symbols(service: Service) -> list[dict[str, Any]]:
    predictor = service.predictor
    try:
        names = await service.reader.symbols(SYMBOLS_MAX)
    except OnlineStoreUnavailable:
        return []
    if predictor is None or not names:
        return [{"symbol": name, "status": "no_model"} for name in names]
    answers = await predictor.for_symbols(names, now_us())
    prices = service.prices.newest()
    return [
        predictor.result(answer, include_features=True) | {"price": prices.get(answer.symbol)}
        for answer in answers
    ]


def _model(service: Service) -> dict[str, Any] | None:
    if service.predictor is None:
        return None
    model = service.predictor.model
    rival = service.challenger.model.version if service.challenger else None
    known = {
        "name": model.name,
        "version": model.version,
        "trained_on": model.trained_on,
        "trained_to_us": model.trained_to_us,
    }
    return known | {"horizon_s": model.horizon_s, "challenger": rival, "note": service.model_note}


def _gate(version: Mapping[str, Any]) -> dict[str, Any]:
    tags = {name: version["tags"].get(name) for name in ("gate_pass", "sharpe", "max_drawdown")}
    return {
        "version": version["version"],
        "stage": version["stage"],
        "created_us": version["created_us"],
        **tags,
    }
