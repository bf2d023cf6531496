"""A JSON reader without the usual holes: NaN, infinities, lone surrogates, deep nesting and
repeated keys are refused.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from serving.web.problems import ProblemError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ProblemError(400, "repeated_key", "The body names a key twice in one object.")
    return {}


# Numbers stay text here: orjson has judged them, and Python's int() is slow on long ones.
_check_keys = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str).decode


def strict_json(body: bytes) -> Any:
    """The value of a JSON text. Raises ProblemError 400 for anything that two readers could take
    differently.
    """
    try:
        value = orjson.loads(body)
        _check_keys(body.decode())
    except (ValueError, RecursionError):
        raise ProblemError(
            400,
            "malformed_json",
            "The body is not well-formed JSON of finite numbers and reasonable depth.",
        ) from None
    return value


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body as a JSON value. Raises ProblemError 400."""
        return strict_json(await self.body())


class StrictRoute(APIRoute):
    """A route that hands its handler a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler on a strict request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
