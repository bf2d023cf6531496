"""Service logs: one JSON line per event, with its level, time and request id."""

import structlog


def configure() -> None:
    """Make structlog write JSON lines to standard output, for the whole process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )
