"""A training DAG as a YAML file says it, checked before Airflow hears of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]  # its stubs are not installed
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import SettingError

Pool = Literal["default_pool", "high_priority_cpu", "gpu_pool"]
HINT = "see docs/airflow.md"


@dataclass(frozen=True)
class Dataset:
    """What every training on a data set shares: who owns it, what it may be trained by, and what it must show."""

    owner: str
    framework: str
    models: tuple[str, ...]
    params: tuple[str, ...]
    queue: str
    retry_min: float
    deadline_h: float
    experiment: str
    gate: str


IMAGES, HOURS = ("data", "epochs", "seed", "rows_max"), ("series",)
MNIST = Dataset("vision-team", "tensorflow", ("cnn",), IMAGES, "gpu_queue", 5, 2, "mnist-cnn-experiments", "accuracy > 0.95")
CIFAR10 = Dataset("vision-team", "pytorch", ("resnet9", "simple"), IMAGES, "gpu_queue", 5, 6, "cifar10-cnn-experiments", "accuracy ≥ 0.85")
POWER_GATE = "RMSE / train-std < 0.20, and better than yesterday's and last week's same hour"
POWER = Dataset("energy-team", "lightgbm", ("lgbm",), HOURS, "batch_queue", 3, 1, "power-consumption-forecasting", POWER_GATE)
DATASETS = {"mnist": MNIST, "cifar10": CIFAR10, "power": POWER}


class Variant(BaseModel):
    """The fields of a YAML file. `params` are defaults of the run's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dag_id: str = Field(pattern=r"^[a-z][a-z0-9_]{2,99}$")
    schedule: str | None = Field(None, pattern=r"^(\S+ ){4}\S+$")
    model_type: str
    dataset: str
    framework: str
    pool: Pool = "default_pool"
    priority_weight: int = Field(3, ge=1, le=10)
    tags: tuple[str, ...] = Field(min_length=1)
    params: dict[str, Any] = {}


def read(folder: Path, taken: Iterable[str]) -> list[Variant]:
    """Every variant of a folder. Raises SettingError that names each file with what is wrong in it, and ids that come twice."""
    found = dict.fromkeys(taken, "a DAG file")
    made, wrong = [], []
    for file in sorted(folder.glob("*.y*ml")):
        try:
            variant = checked(_loaded(file), file.name)
        except SettingError as error:
            wrong.append(error.message)
            continue
        if variant.dag_id in found:
            wrong.append(f"{file.name}: the id {variant.dag_id} is taken by {found[variant.dag_id]}")
        found[variant.dag_id] = file.name
        made.append(variant)
    if wrong:
        raise SettingError("\n".join(wrong), HINT)
    return made


def checked(given: Mapping[str, Any], where: str) -> Variant:
    """A variant whose fields fit together. Raises SettingError naming `where` and the fields."""
    try:
        variant = Variant.model_validate(dict(given))
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingError(f"{where}: {said}", HINT) from error
    wrong = _misfits(variant)
    if wrong:
        raise SettingError(f"{where}: {'; '.join(wrong)}", HINT)
    return variant


def _misfits(variant: Variant) -> list[str]:
    known = DATASETS.get(variant.dataset)
    if known is None:
        return [f"dataset: {variant.dataset!r} is none of {', '.join(DATASETS)}"]
    wrong = [] if variant.framework == known.framework else [f"framework: {variant.dataset} is trained by {known.framework}"]
    if variant.model_type not in known.models:
        wrong.append(f"model_type: {variant.model_type!r} is none of {', '.join(known.models)}")
    return wrong + [f"params: {variant.dataset} has no {name!r}" for name in variant.params if name not in known.params]


def _loaded(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{file.name}: no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{file.name}: must be fields with values, not {type(content).__name__}")
    return content
