"""Configuration of training DAGs, validated before a DAG is built; a variant is a YAML file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]  # its stubs are not installed
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import SettingError

Pool = Literal["default_pool", "high_priority_cpu", "gpu_pool"]


@dataclass(frozen=True)
class TrainingProfile:
    """Shared by all trainings on a data set: owner, supported models, resources, gate.

    `models` maps a model type to its network ("" if there is only one model). `training_queue` is
    the queue of the task that needs special hardware, "" if none does.
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
MNIST = TrainingProfile(
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
CIFAR10 = TrainingProfile(
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
TICK = TrainingProfile(
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
POWER = TrainingProfile(
    owner="energy-team",
    framework="lightgbm",
    models={"gbm": ""},
    params=("series",),
    experiment="power-consumption-forecasting",
    gate="RMSE / train-std < 0.20, and better than yesterday's and last week's same hour",
)
TRAINING_PROFILES = {"mnist": MNIST, "cifar10": CIFAR10, "tick": TICK, "power": POWER}
SUPPORTED = [
    f"{name}: {', '.join(profile.models)} by {profile.framework}"
    for name, profile in TRAINING_PROFILES.items()
]
HINT = f"supported: {'; '.join(SUPPORTED)}; see docs/airflow.md"


class TrainingDagConfig(BaseModel):
    """Arguments of a training DAG, from a call or a YAML file. `params` are the defaults of the
    run's parameters.
    """

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


def load_variants(folder: Path, reserved_ids: Iterable[str]) -> list[TrainingDagConfig]:
    """All variants of a folder.

    Raises SettingError, which lists all errors by file, including ids that are used twice.
    """
    owners = dict.fromkeys(reserved_ids, "a DAG file")
    variants, errors = [], []
    for file in sorted(folder.glob("*.y*ml")):
        try:
            variant = validate_config(_load_yaml(file), file.name)
        except SettingError as error:
            errors.append(error.message)
            continue
        if variant.dag_id in owners:
            errors.append(
                f"{file.name}: the id {variant.dag_id} is taken by {owners[variant.dag_id]}"
            )
        owners[variant.dag_id] = file.name
        variants.append(variant)
    if errors:
        raise SettingError("\n".join(errors), HINT)
    return variants


def validate_config(fields: Mapping[str, Any], source: str) -> TrainingDagConfig:
    """The configuration with these fields.

    Raises SettingError, naming `source` and the fields, unless they fit together.
    """
    try:
        config = TrainingDagConfig.model_validate(dict(fields))
    except ValidationError as error:
        messages = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise SettingError(f"{source}: {messages}", HINT) from error
    errors = _find_conflicts(config)
    if errors:
        raise SettingError(f"{source}: {'; '.join(errors)}", HINT)
    return config


def _find_conflicts(config: TrainingDagConfig) -> list[str]:
    profile = TRAINING_PROFILES.get(config.dataset)
    if profile is None:
        return [f"dataset: {config.dataset!r} is none of {', '.join(TRAINING_PROFILES)}"]
    errors = []
    if config.framework != profile.framework:
        required = f"{config.dataset} is trained by {profile.framework}"
        errors.append(f"framework: {required}, not {config.framework!r}")
    if config.model_type not in profile.models:
        models = ", ".join(profile.models)
        errors.append(f"model_type: {config.model_type!r} is none of {models}")
    return errors + [
        f"params: {config.dataset} has no {name!r}"
        for name in config.params
        if name not in profile.params
    ]


def _load_yaml(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise SettingError(f"{file.name}: not valid YAML: {detail}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{file.name}: must be fields with values, not {type(content).__name__}")
    return content
