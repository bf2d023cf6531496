"""GET /v1/…: the features of a symbol, predictions as a stream of events, and what the live page
shows.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from contracts.clock import now_us
from feature_store.online.reader import OnlineStoreUnavailable
from serving.core.freshness import judge
from serving.core.status import Status
from serving.routes import live_snapshot, pages
from serving.routes.predict import ready
from serving.state.service import Service
from serving.web import problems
from serving.web.problems import ProblemError
from serving.web.schemas import SYMBOL_PATTERN, FeaturesResponse, Symbol
from serving.web.security import STREAM
from serving.web.strict_json import StrictRoute

EVENTS = "text/event-stream"
REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"description": "Nothing was ever published for this symbol.", **problems.SCHEMA},
    503: {"description": "The store does not answer.", **problems.SCHEMA},
}
STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {EVENTS: {"schema": {"type": "string"}}},
        "description": "Events `prediction` with one result each, as JSON.",
    },
    503: {"description": "No model now, or too many streams.", **problems.SCHEMA},
}

router = APIRouter(route_class=StrictRoute)
AskedSymbol = Annotated[
    str, Path(pattern=SYMBOL_PATTERN, max_length=65, description="VENUE:SYMBOL")
]


@router.get(
    "/v1/features/{symbol:path}",
    response_model=FeaturesResponse,
    responses=REFUSED,
    tags=["features"],
)
async def features(symbol: AskedSymbol, request: Request) -> Response:
    """The model's features of one symbol as they are online now, with their age and what they are
    good for.
    """
    service: Service = request.app.state.service
    names, now = service.reader.plan.names, now_us()
    try:
        (row,) = await service.reader.read([symbol], now)
    except OnlineStoreUnavailable:
        reason = "the online feature store does not answer"
        raise ProblemError(
            503, Status.STORE_UNREACHABLE.value, reason, headers={"Retry-After": "1"}
        ) from None
    verdict = judge(row, names, service.settings, now)
    if verdict.status is Status.UNKNOWN_SYMBOL:
        raise ProblemError(404, verdict.status.value, verdict.reason)
    told: dict[str, Any] = {
        "symbol": symbol,
        "status": verdict.status.value,
        "reason": verdict.reason or None,
        "age_s": row.age_s,
        "stale": verdict.stale,
    }
    told |= {
        "event_times_us": row.event_time_us,
        "warm_s": row.warm_s,
        "features": dict(zip(names, row.values, strict=True)),
    }
    return Response(orjson.dumps(told), media_type="application/json")


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
    """Server-Sent Events: a `prediction` for each symbol whenever its features are newer, and once
    for each refusal.

    A comment every few seconds keeps the connection; it ends after `stream_s_max`, and a browser
    then connects again by itself.
    """
    service: Service = request.app.state.service
    if len(symbols) > service.settings.symbols_max:
        raise ProblemError(
            422,
            "too_many_symbols",
            f"at most {service.settings.symbols_max} symbols are answered at once.",
        )
    ready(service)
    return StreamingResponse(
        _events(service, symbols), media_type=EVENTS, headers={"X-Accel-Buffering": "no"}
    )


async def _events(service: Service, symbols: list[str]) -> AsyncIterator[bytes]:
    seen: dict[str, Any] = {}
    ends = asyncio.get_running_loop().time() + service.settings.stream_s_max
    while service.predictor is not None and asyncio.get_running_loop().time() < ends:
        predictor = service.predictor
        for answer in await predictor.for_symbols(symbols, now_us()):
            mark = (answer.status, answer.verdict.event_time_us, predictor.model.version)
            if seen.get(answer.symbol) != mark:
                seen[answer.symbol] = mark
                yield (
                    b"event: prediction\ndata: "
                    + orjson.dumps(predictor.result(answer, include_features=False))
                    + b"\n\n"
                )
        yield b": still here\n\n"
        await asyncio.sleep(service.settings.stream_poll_s)


@router.get("/v1/live", tags=["operation"])
async def live(request: Request) -> Response:
    """Everything the live page shows, as one JSON document."""
    return Response(
        orjson.dumps(await live_snapshot.take(request.app.state.service)),
        media_type="application/json",
    )


@router.get(pages.LIVE, tags=["operation"], response_class=FileResponse)
async def page() -> Response:
    """The live page. A browser asks for name and password: any name, and the API key."""
    return FileResponse(pages.PAGE, media_type="text/html; charset=utf-8")
