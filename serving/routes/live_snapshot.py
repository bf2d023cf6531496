"""The document of the live page: symbols with predictions, model, gate, pipeline."""

from collections.abc import Mapping
from typing import Any

from contracts.clock import now_us
from contracts.features import CORE
from feature_store.online.reader import OnlineStoreUnavailable
from serving.core.predictor import Predictor
from serving.routes.health import check_readiness
from serving.state.service import Service
from serving.web.results import result_fields


async def take_snapshot(service: Service) -> dict[str, Any]:
    """The document as of now. A part that is not available is null or empty."""
    taken_us = now_us()
    readiness = await check_readiness(service)
    platform = await service.platform_metrics.read()
    symbols = await _symbol_rows(service)
    return {
        "now_us": taken_us,
        "ready": readiness.ready,
        "checks": [check.model_dump() for check in readiness.checks],
        "model": _model_fields(service),
        "gate": [_gate_fields(version) for version in service.models.versions],
        "symbols": symbols,
        "core": list(CORE),
        "fresh_s": service.settings.fresh_s,
        "stale_s": service.settings.stale_s,
        "stream": platform.as_dict(),
    }


async def _symbol_rows(service: Service) -> list[dict[str, Any]]:
    predictor = service.models.production
    try:
        symbols = await service.symbol_list.read(service.reader)
    except OnlineStoreUnavailable:
        return []
    if predictor is None or not symbols:
        return [{"symbol": symbol, "status": "no_model"} for symbol in symbols]
    return await _predicted_rows(service, predictor, symbols)


async def _predicted_rows(
    service: Service, predictor: Predictor, symbols: list[str]
) -> list[dict[str, Any]]:
    answers = await predictor.predict_symbols(symbols, now_us())
    prices = service.prices.latest()
    return [
        result_fields(answer, include_features=True) | {"price": prices.get(answer.symbol)}
        for answer in answers
    ]


def _model_fields(service: Service) -> dict[str, Any] | None:
    models = service.models
    if models.production is None:
        return None
    model = models.production.model
    return {
        "name": model.name,
        "version": model.version,
        "trained_on": model.trained_on,
        "trained_to_us": model.trained_to_us,
        "horizon_s": model.horizon_s,
        "challenger": models.challenger.model.version if models.challenger else None,
        "note": models.explanation,
    }


def _gate_fields(version: Mapping[str, Any]) -> dict[str, Any]:
    tags = version["tags"]
    return {
        "version": version["version"],
        "stage": version["stage"],
        "created_us": version["created_us"],
        "gate_pass": tags.get("gate_pass"),
        "sharpe": tags.get("sharpe"),
        "max_drawdown": tags.get("max_drawdown"),
    }
