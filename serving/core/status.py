"""The statuses of a symbol in a response, and their HTTP status codes."""

from enum import StrEnum


class Status(StrEnum):
    """`ok` comes with a prediction; every other status is a reason why there is none."""

    OK = "ok"
    UNKNOWN_SYMBOL = "unknown_symbol"
    MISSING_FEATURES = "missing_features"
    TOO_OLD = "too_old"
    FUTURE_FEATURES = "future_features"
    STORE_EMPTY = "store_empty"
    STORE_UNREACHABLE = "store_unreachable"
    MODEL_FAILED = "model_failed"

    @property
    def http(self) -> int:
        """The HTTP status code when all symbols of a request have this status: 200, 404, or 503
        for conditions that may pass.
        """
        return {Status.OK: 200, Status.UNKNOWN_SYMBOL: 404}.get(self, 503)
