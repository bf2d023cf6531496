"""Errors on the wire: RFC 9457 problem documents that name what is wrong and what to do, and never
repeat the input.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.web import request_id as requests
from serving.web.schemas import ProblemDocument

MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
ERRORS_MAX = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}

log = structlog.get_logger("serving")


class ProblemError(HTTPException):
    """A refusal: HTTP `status`, a `code` a program can test, a `detail` and a `hint` a person can
    act on.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code
        self.hint = hint
        self.extra = extra

    def response(self) -> Response:
        """The problem document as an HTTP response."""
        fields = {
            "type": f"urn:lakehouse-tick:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status_code,
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            **self.extra,
        }
        body = orjson.dumps({name: value for name, value in fields.items() if value != ""})
        return Response(body, self.status_code, self.headers, MEDIA_TYPE)


def plain(name: object) -> str:
    """A field name as sent, if it is a plain identifier; anything else is not repeated."""
    text = str(name)
    return text if _PLAIN_NAME.fullmatch(text) else "?"


def _invalid(errors: list[Any]) -> ProblemError:
    found = [
        {
            "field": ".".join(plain(part) for part in error["loc"] if part != "body"),
            "error": error["type"],
            "message": error["msg"],
        }
        for error in errors[:ERRORS_MAX]
    ]
    return ProblemError(
        422,
        "invalid_request",
        "The request does not have the documented form.",
        "See /docs for examples.",
        errors=found,
    )


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, ProblemError):
        return error.response()
    code = _CODES.get(error.status_code, "refused")
    return ProblemError(
        error.status_code, code, str(error.detail), headers=error.headers
    ).response()


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _invalid(list(error.errors())).response()


async def _on_bug(request: Request, error: Exception) -> Response:
    # This runs outside of all middleware: what that would add to the line and to the answer is
    # added here.
    request_id = request.scope.get(requests.ID, "")
    log.error(
        "unexpected", path=request.url.path, error=type(error).__name__, request_id=request_id
    )
    headers = {requests.HEADER.decode(): request_id} if request_id else None
    return ProblemError(
        500, "internal_error", "An unexpected failure; it is in the log.", headers=headers
    ).response()


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_bug)
