"""`python -m serving.state.registry_child`: what the registry holds of every model that the API
serves, as JSON.

MLflow costs five seconds of CPU and 200 MB to import; the API asks this child instead, and answers
meanwhile. Settings come as JSON on standard input; the last line of the output is the answer.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from contracts.config.settings import Settings
from contracts.errors import TickError
from serving.state.production_model import model_names

VERSIONS_MAX = 20


def main(text: str) -> bytes:
    """The answer to settings given as JSON: production, challenger, others by name, and the newest
    versions with their gate.
    """
    from models import registry

    settings = Settings.model_validate_json(text)
    others = model_names(settings)[1:]
    told: dict[str, Any] = {
        "production": _told(lambda: registry.fetch_production(settings)),
        "challenger": _told(lambda: registry.fetch_challenger(settings)),
        "others": {
            name: _told(partial(registry.fetch_production, settings, name)) for name in others
        },
    }
    versions, reached = _versions(settings)
    absent = reached and not any(version["stage"] == registry.STAGE for version in versions)
    return orjson.dumps(told | {"versions": versions, "absent": absent})


def _told(ask: Callable[[], Any]) -> dict[str, str] | None:
    try:
        found = ask()
    except TickError as error:
        return {"error": error.message, "hint": error.hint}
    if found is None:
        return None
    return {
        "name": found.name,
        "version": found.version,
        "path": str(found.path),
        "digest": found.digest,
    }


def _versions(settings: Settings) -> tuple[list[dict[str, Any]], bool]:
    """The newest versions, Production among them however old it is; False where the registry does
    not say.
    """
    from models import registry

    try:
        known = registry.list_versions(settings)
    except TickError:
        return [], False
    shown = [v for at, v in enumerate(known) if at < VERSIONS_MAX or v.production]
    return [
        {"version": v.version, "stage": v.stage, "created_us": v.created_us, "tags": v.tags}
        for v in shown
    ], True


if __name__ == "__main__":
    sys.stdout.buffer.write(b"\n" + main(sys.stdin.read()) + b"\n")
