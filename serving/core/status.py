"""What can become of one symbol in a request, and the HTTP status it has when it stands alone."""

from enum import StrEnum


class Status(StrEnum):
    """`ok` carries a prediction; every other one says why there is none."""

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
        """200, 404 for a symbol no one publishes, 503 for what may be well again later."""
        return {Status.OK: 200, Status.UNKNOWN_SYMBOL: 404}.get(self, 503)
