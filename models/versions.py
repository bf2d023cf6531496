"""One version of a registered model, as the MLflow registry lists it, and its tags."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PRODUCTION_ALIAS = "production"
CHALLENGER_ALIAS = "challenger"
# Tags of a version: digest of its content, gate verdict, and the Production version it replaced.
DIGEST = "digest"
GATE_PASS = "gate_pass"
PREDECESSOR = "production_before"


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. `created_us` is in µs UTC; `production` and `challenger` tell whether
    it has that alias."""

    name: str
    version: str
    stage: str
    production: bool
    created_us: int
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)
    challenger: bool = False


def parse_version(entry: Any, aliases: Mapping[str, Any]) -> ModelVersion:
    """The version of MLflow's `entry`; `aliases` are those of the model, with their numbers."""
    number = str(entry.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MLflow deprecated stages
        stage = str(entry.current_stage)
    return ModelVersion(
        name=entry.name,
        version=number,
        stage=stage,
        production=number == str(aliases.get(PRODUCTION_ALIAS)),
        created_us=int(entry.creation_timestamp) * 1000,
        run_id=str(entry.run_id),
        source=str(entry.source),
        tags=dict(entry.tags),
        challenger=number == str(aliases.get(CHALLENGER_ALIAS)),
    )
