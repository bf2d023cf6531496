"""All settings: one frozen object per process, read from environment variables with prefix `TICK_`.

Every limit that an operator may change is a field of one group; each module of `groups` is one
group. The gate's limits are constants (decision 11). The settings that it depends on (costs, entry
delay, embargo, number of hold-out days) have lower bounds: they can make it stricter, never more
lenient. But `decision_grid_s` must stay 60 for the gate's Sharpe ratio to be annualised correctly.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Self

from pydantic import model_validator

from contracts.config.groups.airflow import AirflowSettings
from contracts.config.groups.feeds import FeedSettings
from contracts.config.groups.flink import FlinkSettings
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.groups.redis import RedisSettings
from contracts.config.groups.serving import ServingSettings
from contracts.config.groups.supervision import SupervisionSettings
from contracts.config.groups.training import TrainingSettings
from contracts.config.home import PREFIX
from contracts.errors import SettingError

# Old name → new name. The old names work until the next release.
RENAMED = {
    "closing_beat_s": "final_heartbeat_s",
    "live_quiet_s": "live_idle_lag_s",
    "live_silence_s": "live_reconnect_after_s",
    "rate_max": "requests_per_s_max",
    "folds": "walk_forward_folds",
    "embargo": "embargo_share",
    "train_jobs": "train_threads",
}
# Prefixes of variables of tests and benchmarks.
NOT_SETTINGS = ("TICK_TEST_ARTIFACTS", "TICK_TEST_DATA", "TICK_TEST_FUZZ", "TICK_BENCH_")


class Settings(
    KafkaSettings,
    RedisSettings,
    FlinkSettings,
    FeedSettings,
    LakehouseSettings,
    TrainingSettings,
    ServingSettings,
    AirflowSettings,
    SupervisionSettings,
):
    """Read once per process, from the environment alone (no `.env` file).

    A function takes the narrowest group of settings that it needs.
    """

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        for is_consistent, message, hint in CONSISTENCY:
            if not is_consistent(self):
                # Not a ValueError: pydantic's message would print every value, also passwords.
                raise SettingError(message, hint)
        return self


# What must hold between settings; the message and the hint where it does not.
CONSISTENCY: tuple[tuple[Callable[[Settings], bool], str, str], ...] = (
    (
        lambda s: s.fresh_s <= s.stale_s,
        "stale_s must not be below fresh_s: fresh features would be refused",
        "raise TICK_STALE_S or lower TICK_FRESH_S",
    ),
    (
        lambda s: max(s.parallelism, s.backfill_parallelism) <= s.flink_slots,
        "flink_slots must not be below parallelism or backfill_parallelism: the job would wait for"
        " slots indefinitely",
        "raise TICK_FLINK_SLOTS",
    ),
    (
        lambda s: bool(s.catalog_uri) or (s.warehouse_uri or "s3://").startswith("s3://"),
        "warehouse_uri must begin with s3:// unless catalog_uri names a REST catalog",
        "correct TICK_WAREHOUSE_URI, or set TICK_CATALOG_URI",
    ),
    (
        lambda s: (s.s3_access_key is None) == (s.s3_secret_key is None),
        "s3_access_key and s3_secret_key must be set together",
        "set or unset both TICK_S3_ACCESS_KEY and TICK_S3_SECRET_KEY",
    ),
    (
        lambda s: s.lease_wait_s >= s.lease_s,
        "lease_wait_s must not be below lease_s: the lease of a killed process would stay held",
        "raise TICK_LEASE_WAIT_S or lower TICK_LEASE_S",
    ),
)
VARIABLES = tuple(PREFIX + name.upper() for name in Settings.model_fields)
KNOWN_VARIABLES = {*VARIABLES, *(PREFIX + name.upper() for name in RENAMED)}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once from the environment.

    Raises SettingError for an unknown TICK_ variable or settings that contradict each other, and
    pydantic's ValidationError for a value that a setting cannot have.
    """
    values = read_old_names(os.environ)
    require_known(os.environ)
    return Settings(**values)


def read_old_names(environment: Mapping[str, str]) -> dict[str, Any]:
    """Values given under an old name, by the present one; a warning for each.

    Raises SettingError when both are set to different numbers: a child process has both, from the
    shell and from its parent.
    """
    variables = {variable.upper(): value for variable, value in environment.items()}
    values = {}
    for old, name in RENAMED.items():
        before, now = PREFIX + old.upper(), PREFIX + name.upper()
        if before in variables and now not in variables:
            warning = "%s is now %s; the old name will be refused in the next release"
            logging.getLogger("tick").warning(warning, before, now)
            values[name] = variables[before]
        else:
            _require_same(variables, before, now)
    return values


def _require_same(variables: Mapping[str, str], before: str, now: str) -> None:
    if before in variables and not _is_same(variables[now], variables[before]):
        message = f"{before} is the old name of {now}, and they differ"
        raise SettingError(message, f"unset {before}")


def _is_same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def require_known(names: Iterable[str]) -> None:
    """Raises SettingError for an unknown TICK_ variable: a misspelt one must not be ignored.

    The hint names the nearest setting.
    """
    unknown = next(filter(_is_unknown, map(str.upper, names)), None)
    if unknown is not None:
        raise SettingError(f"unknown setting {unknown}", f"{_advice(unknown)} (or unset {unknown})")


def _is_unknown(name: str) -> bool:
    return (
        name.startswith(PREFIX)
        and not name.startswith(NOT_SETTINGS)
        and name not in KNOWN_VARIABLES
    )


def _advice(name: str) -> str:
    near = get_close_matches(name, VARIABLES, 1)
    return f"did you mean {near[0]}?" if near else "every setting is described in contracts/config/"
