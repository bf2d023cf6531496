"""`python -m serving.main`: the prediction API under uvicorn, on the address of the settings
(loopback by default).
"""

import os
import tempfile

import uvicorn

from contracts.config.settings import Settings, settings
from serving.web.security import api_keys

KEEP_ALIVE_S = 30
# By default uvicorn kills a worker that is silent for 5 s: on a busy machine its imports take
# longer.
WORKER_SILENT_S = 60
GRACE_S = 10  # requests at work at SIGTERM may finish


def serve(given: Settings) -> None:
    """Run until SIGTERM or SIGINT, then finish what is at work. Raises ServiceError without an API
    key.
    """
    api_keys(given)
    with tempfile.TemporaryDirectory(prefix="tick-metrics-") as folder:
        if given.api_workers > 1:  # figures of all workers are summed through files
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        uvicorn.run(
            "serving.app:factory",
            factory=True,
            host=given.host,
            port=given.api_port,
            workers=given.api_workers,
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_worker_healthcheck=WORKER_SILENT_S,
            timeout_graceful_shutdown=GRACE_S,
        )


if __name__ == "__main__":
    serve(settings())
