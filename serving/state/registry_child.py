"""`python -m serving.state.registry_child`: prints the registry's state of all served models as
JSON.

Importing MLflow takes five seconds of CPU and 200 MB. The API runs this child process instead, and
answers requests meanwhile. The settings are JSON on standard input; the result is the last line of
standard output.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from contracts.config.settings import Settings
from contracts.errors import TickError
from serving.state.registry_state import served_model_names

if TYPE_CHECKING:
    from models.registry import Registry

VERSIONS_MAX = 20


def dump_registry(settings_json: str) -> bytes:
    """The Production version, its challenger, the other models by name, and the newest versions
    with their tags, as JSON.
    """
    from models.registry import Registry

    settings = Settings.model_validate_json(settings_json)
    others = served_model_names(settings)[1:]
    registry = Registry(settings)
    versions, is_absent = _list_versions(registry)
    return orjson.dumps(
        {
            "production": _version_fields(registry.fetch_production),
            "challenger": _version_fields(registry.fetch_challenger),
            "others": {
                name: _version_fields(Registry(settings, name).fetch_production) for name in others
            },
            "versions": versions,
            "absent": is_absent,
        }
    )


def _version_fields(get_version: Callable[[], Any]) -> dict[str, str] | None:
    try:
        version = get_version()
    except TickError as error:
        return {"error": error.message, "hint": error.hint}
    if version is None:
        return None
    return {
        "name": version.name,
        "version": version.version,
        "path": str(version.path),
        "digest": version.digest,
    }


def _list_versions(registry: "Registry") -> tuple[list[dict[str, Any]], bool]:
    """The newest versions, and Production even if it is older; and whether the registry says that
    none of them is Production.
    """
    try:
        versions = registry.list_versions()
    except TickError:
        return [], False
    older = versions[VERSIONS_MAX:]
    listed = [*versions[:VERSIONS_MAX], *(v for v in older if v.production)]
    return list(map(_summary, listed)), not any(v.production for v in versions)


def _summary(version: Any) -> dict[str, Any]:
    return {
        "version": version.version,
        "stage": version.stage,
        "created_us": version.created_us,
        "tags": version.tags,
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(b"\n" + dump_registry(sys.stdin.read()) + b"\n")
