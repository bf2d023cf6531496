"""A training DAG as a YAML file says it, checked before Airflow hears of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]  # its stubs are not installed
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import SettingError

Pool = Literal["default_pool", "high_priority_cpu", "gpu_pool"]


@dataclass(frozen=True)
class Dataset:
    """What every training on a data set shares: owner, possible models, resources, gate.

    `models` maps a model type to the network that it stands for ("" where there is only one model).
    `training_queue` is the queue of the task that needs special hardware, "" when none does.
    """

    owner: str
    framework: str
    models: Mapping[str, str]
    params: tuple[str, ...]
    experiment: str
    gate: str
    queue: str = "batch_queue"
    training_queue: str = ""
    retries: int = 2
    retry_min: float = 3
    deadline_h: float = 1


TICK_GATE = (
    "Sharpe > 1.5, drawdown < 0.20 net of cost, PSR ≥ 0.95, 7 days, 100 trades, not worse than"
    " Production"
)
IMAGE_PARAMS = ("data", "epochs", "seed", "rows_max")
MNIST = Dataset(
    owner="vision-team",
    framework="tensorflow",
    models={"cnn": "cnn"},
    params=IMAGE_PARAMS,
    experiment="mnist-cnn-experiments",
    gate="accuracy > 0.95",
    training_queue="gpu_queue",
    retry_min=5,
    deadline_h=2,
)
CIFAR10 = Dataset(
    owner="vision-team",
    framework="pytorch",
    models={"cnn": "resnet9", "resnet9": "resnet9", "simple": "simple"},
    params=IMAGE_PARAMS,
    experiment="cifar10-cnn-experiments",
    gate="accuracy ≥ 0.85",
    training_queue="gpu_queue",
    retry_min=5,
    deadline_h=6,
)
TICK = Dataset(
    owner="quant-team",
    framework="sklearn",
    models={"timeseries": ""},
    params=("from", "to", "chunk"),
    experiment="tick-model-production",
    gate=TICK_GATE,
    queue="realtime_queue",
    retries=3,
    retry_min=2,
    deadline_h=4,
)
POWER = Dataset(
    owner="energy-team",
    framework="lightgbm",
    models={"gbm": ""},
    params=("series",),
    experiment="power-consumption-forecasting",
    gate="RMSE / train-std < 0.20, and better than yesterday's and last week's same hour",
)
DATASETS = {"mnist": MNIST, "cifar10": CIFAR10, "tick": TICK, "power": POWER}
KNOWN = [f"{name}: {', '.join(of.models)} by {of.framework}" for name, of in DATASETS.items()]
HINT = f"known: {'; '.join(KNOWN)}; see docs/airflow.md"


class Variant(BaseModel):
    """The fields of a YAML file. `params` are defaults of the run's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dag_id: str = Field(pattern=r"^[a-z][a-z0-9_]{2,99}$")
    schedule: str | None = Field(None, pattern=r"^(\S+ ){4}\S+$")
    model_type: str
    dataset: str
    framework: str
    pool: Pool = "default_pool"
    priority_weight: int = Field(5, ge=1, le=10)
    tags: tuple[str, ...] | None = Field(None, min_length=1)
    params: dict[str, str | int | None] = {}


def read(folder: Path, taken: Iterable[str]) -> list[Variant]:
    """Every variant of a folder. Raises SettingError that names each file with what is wrong in it,
    and ids that come twice.
    """
    found = dict.fromkeys(taken, "a DAG file")
    made, wrong = [], []
    for file in sorted(folder.glob("*.y*ml")):
        try:
            variant = checked(_loaded(file), file.name)
        except SettingError as error:
            wrong.append(error.message)
            continue
        if variant.dag_id in found:
            wrong.append(
                f"{file.name}: the id {variant.dag_id} is taken by {found[variant.dag_id]}"
            )
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
        said = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise SettingError(f"{where}: {said}", HINT) from error
    wrong = _misfits(variant)
    if wrong:
        raise SettingError(f"{where}: {'; '.join(wrong)}", HINT)
    return variant


def _misfits(variant: Variant) -> list[str]:
    known = DATASETS.get(variant.dataset)
    if known is None:
        return [f"dataset: {variant.dataset!r} is none of {', '.join(DATASETS)}"]
    wrong = []
    if variant.framework != known.framework:
        trained = f"{variant.dataset} is trained by {known.framework}"
        wrong.append(f"framework: {trained}, not {variant.framework!r}")
    if variant.model_type not in known.models:
        models = ", ".join(known.models)
        wrong.append(f"model_type: {variant.model_type!r} is none of {models}")
    return wrong + [
        f"params: {variant.dataset} has no {name!r}"
        for name in variant.params
        if name not in known.params
    ]


def _loaded(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{file.name}: no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{file.name}: must be fields with values, not {type(content).__name__}")
    return content
