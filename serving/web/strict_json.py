"""A strict JSON parser: NaN, infinities, lone surrogates, deep nesting and duplicate keys are
errors.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from serving.web.problems import ProblemError


def _forbid_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ProblemError(400, "repeated_key", "An object in the body has a duplicate key.")
    return {}


# Only the keys matter here. Numbers stay text: orjson has validated them already, and Python's
# int() is slow on long ones.
_check_keys = json.JSONDecoder(
    object_pairs_hook=_forbid_duplicates, parse_int=str, parse_float=str
).decode


def parse_strict_json(body: bytes) -> Any:
    """The value of a JSON text. Raises ProblemError 400 for text that parsers read differently."""
    try:
        value = orjson.loads(body)
        _check_keys(body.decode())
    except (ValueError, RecursionError):
        raise ProblemError(
            400,
            "malformed_json",
            "The body is not valid JSON, has a non-finite number, or is nested too deeply.",
        ) from None
    return value


class StrictRequest(Request):
    """A request whose JSON is parsed strictly."""

    async def json(self) -> Any:
        """The body as a JSON value. Raises ProblemError 400."""
        return parse_strict_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose handler gets a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, called with a StrictRequest."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly
