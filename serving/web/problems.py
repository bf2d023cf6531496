"""Errors as RFC 9457 problem documents, which say what is wrong and what to do, and never repeat
the caller's input.
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

from serving.web.request_id import REQUEST_ID_HEADER, REQUEST_ID_KEY
from serving.web.schemas import ProblemDocument

MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
ERRORS_MAX = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}

log = structlog.get_logger("serving")


class ProblemError(HTTPException):
    """A refused request: the HTTP `status`, a `code` for programs, a `detail` and a `hint` for
    people.
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


def sanitize_name(name: object) -> str:
    """A caller's field name if it is a plain identifier, else "?"."""
    text = str(name)
    return text if _PLAIN_NAME.fullmatch(text) else "?"


def _invalid_request(errors: list[Any]) -> ProblemError:
    field_errors = [
        {
            "field": ".".join(sanitize_name(part) for part in error["loc"] if part != "body"),
            "error": error["type"],
            "message": error["msg"],
        }
        for error in errors[:ERRORS_MAX]
    ]
    return ProblemError(
        422,
        "invalid_request",
        "The request does not match the schema.",
        "See /docs for the schema and examples.",
        errors=field_errors,
    )


async def _handle_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, ProblemError):
        return error.response()
    code = _CODES.get(error.status_code, "refused")
    return ProblemError(
        error.status_code, code, str(error.detail), headers=error.headers
    ).response()


async def _handle_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _invalid_request(list(error.errors())).response()


async def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    # Starlette calls this outside of all other middleware, so the request id is added to the log
    # line and to the response here.
    request_id = request.scope.get(REQUEST_ID_KEY, "")
    log.error(
        "unexpected", path=request.url.path, error=type(error).__name__, request_id=request_id
    )
    return ProblemError(
        500,
        "internal_error",
        "An unexpected error; see the log of the API.",
        headers={REQUEST_ID_HEADER.decode(): request_id} if request_id else None,
    ).response()


def install_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(Exception, _handle_unexpected_error)
