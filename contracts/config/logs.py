"""The log of a service: a line of JSON per event, with its level, its time, and the id of the
request it belongs to.
"""

import structlog


def configure() -> None:
    """Make structlog write JSON lines to standard output, from now on and for the whole process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )
