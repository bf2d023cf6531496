"""`python -m serving.main`: the prediction API under uvicorn, on the host and port of the settings
(loopback by default).
"""

import os
import tempfile

import uvicorn

from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import settings
from serving.web.auth import load_api_keys

KEEP_ALIVE_S = 30
# uvicorn's default of 5 s kills a worker during its imports on a busy machine.
WORKER_HEALTHCHECK_S = 60
SHUTDOWN_S_MAX = 10  # requests in progress at SIGTERM may finish


def serve_api(settings: ServingSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress.

    Raises ServiceError without an API key.
    """
    load_api_keys(settings)
    with tempfile.TemporaryDirectory(prefix="tick-metrics-") as directory:
        if settings.api_workers > 1:  # the workers' metrics are summed through files
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", directory)
        uvicorn.run(
            "serving.app:create_default_app",
            factory=True,
            host=settings.host,
            port=settings.api_port,
            workers=settings.api_workers,
            loop="uvloop",
            http="serving.web.http_protocol:BoundedHttpProtocol",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_worker_healthcheck=WORKER_HEALTHCHECK_S,
            timeout_graceful_shutdown=SHUTDOWN_S_MAX,
        )


if __name__ == "__main__":
    serve_api(settings())
