"""Routes under /v1: features of a symbol, predictions as an event stream, and the live page."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from contracts.clock import now_us
from feature_store.online.reader import OnlineStoreUnavailable
from serving.core.freshness import evaluate_row
from serving.core.status import Status
from serving.routes import pages
from serving.routes.live_snapshot import take_snapshot
from serving.routes.predict import get_predictor
from serving.state.service import Service
from serving.web import problems
from serving.web.limits import STREAM
from serving.web.problems import ProblemError
from serving.web.results import result_fields
from serving.web.schemas import SYMBOL_PATTERN, FeaturesResponse, Symbol
from serving.web.strict_json import StrictRoute

EVENT_STREAM = "text/event-stream"
FEATURES_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {
        "description": "There are no features of this symbol within `redis_ttl_s`.",
        **problems.SCHEMA,
    },
    503: {"description": "The online store does not answer.", **problems.SCHEMA},
}
STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        "description": "Events `prediction`, each with one result as JSON.",
    },
    503: {"description": "There is no model, or too many open streams.", **problems.SCHEMA},
}

router = APIRouter(route_class=StrictRoute)
SymbolPath = Annotated[str, Path(pattern=SYMBOL_PATTERN, max_length=65, description="VENUE:SYMBOL")]


@router.get(
    "/v1/features/{symbol:path}",
    response_model=FeaturesResponse,
    responses=FEATURES_RESPONSES,
    tags=["features"],
)
async def features(symbol: SymbolPath, request: Request) -> Response:
    """The online features of one symbol, with their age and whether a prediction can be made from
    them.
    """
    service: Service = request.app.state.service
    reader = service.reader
    read_us = now_us()
    try:
        (row,) = await reader.read([symbol], read_us)
    except OnlineStoreUnavailable:
        detail = "the online feature store does not answer"
        raise ProblemError(
            503, Status.STORE_UNREACHABLE.value, detail, headers={"Retry-After": "1"}
        ) from None
    outcome = evaluate_row(row, reader.plan.names, service.settings, read_us)
    if outcome.status is Status.UNKNOWN_SYMBOL:
        raise ProblemError(404, outcome.status.value, outcome.reason)
    fields: dict[str, Any] = {
        "symbol": symbol,
        "status": outcome.status.value,
        "reason": outcome.reason or None,
        "age_s": row.age_s,
        "stale": outcome.stale,
        "event_times_us": row.event_time_us,
        "warm_s": row.warm_s,
        "features": dict(zip(reader.plan.names, row.values, strict=True)),
    }
    return Response(orjson.dumps(fields), media_type="application/json")


@router.get(
    STREAM, responses=STREAM_RESPONSES, tags=["prediction"], response_class=StreamingResponse
)
async def stream(
    request: Request,
    symbols: Annotated[
        list[Symbol],
        Query(min_length=1, max_length=100, description="VENUE:SYMBOL, repeated for several"),
    ],
) -> Response:
    """Server-Sent Events: a `prediction` for each symbol when its features or its status change.

    A comment after each poll keeps the connection open. The stream ends after `stream_s_max`; a
    browser then reconnects by itself.
    """
    service: Service = request.app.state.service
    symbols_max = service.settings.symbols_max
    if len(symbols) > symbols_max:
        detail = f"{len(symbols)} symbols requested, at most {symbols_max} are allowed."
        raise ProblemError(422, "too_many_symbols", detail)
    get_predictor(service)
    return StreamingResponse(
        _events(service, symbols), media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"}
    )


async def _events(service: Service, symbols: list[str]) -> AsyncIterator[bytes]:
    sent: dict[str, Any] = {}
    loop = asyncio.get_running_loop()
    end_s = loop.time() + service.settings.stream_s_max
    while service.models.production is not None and loop.time() < end_s:
        predictor = service.models.production
        for answer in await predictor.predict_symbols(symbols, now_us()):
            state = (answer.status, answer.outcome.event_time_us, predictor.model.version)
            if sent.get(answer.symbol) != state:
                sent[answer.symbol] = state
                data = orjson.dumps(result_fields(answer, include_features=False))
                yield b"event: prediction\ndata: " + data + b"\n\n"
        yield b": still here\n\n"
        await asyncio.sleep(service.settings.stream_poll_s)


@router.get("/v1/live", tags=["operation"])
async def live(request: Request) -> Response:
    """The data of the live page as one JSON document."""
    snapshot = await take_snapshot(request.app.state.service)
    return Response(orjson.dumps(snapshot), media_type="application/json")


@router.get(pages.LIVE, tags=["operation"], response_class=FileResponse)
async def page() -> Response:
    """The live page. A browser prompts for a user name (any) and a password (the API key)."""
    return FileResponse(pages.LIVE_PAGE, media_type="text/html; charset=utf-8")
