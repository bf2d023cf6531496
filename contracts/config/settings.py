"""All settings: one frozen object per process, read from environment variables with prefix `TICK_`.

Every limit of the platform is a field of one group; each module of `groups` is one group. The
settings of the promotion gate (costs, entry delay, embargo, test days) have lower bounds: they can
make the gate stricter, never more lenient.
"""

import logging
import os
from collections.abc import Iterable, Mapping
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
):
    """Read once per process, from the environment alone (no `.env` file).

    A function takes the narrowest group of settings that it needs.
    """

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        if self.stale_s < self.fresh_s:
            raise ValueError(
                "stale_s must not be below fresh_s: fresh features would be refused; raise"
                " TICK_STALE_S or lower TICK_FRESH_S"
            )
        if self.flink_slots < max(self.parallelism, self.backfill_parallelism):
            raise ValueError(
                "flink_slots must not be below parallelism or backfill_parallelism: the job would"
                " wait for slots indefinitely; raise TICK_FLINK_SLOTS"
            )
        if (
            self.warehouse_uri
            and not self.catalog_uri
            and not self.warehouse_uri.startswith("s3://")
        ):
            raise ValueError(
                "warehouse_uri must begin with s3:// unless catalog_uri names a REST catalog"
            )
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key must be set together")
        return self


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once from the environment.

    Raises SettingError for an unknown TICK_ variable.
    """
    values = renamed(os.environ)
    require_known(os.environ)
    return Settings(**values)


def renamed(environment: Mapping[str, str]) -> dict[str, Any]:
    """Values given under an old name, by the present one; a warning for each.

    Raises SettingError when both are set to different numbers: a child process has both, from the
    shell and from its parent.
    """
    variables = {variable.upper(): value for variable, value in environment.items()}
    values = {}
    for old, name in RENAMED.items():
        before, now = PREFIX + old.upper(), PREFIX + name.upper()
        if before not in variables:
            continue
        if now not in variables:
            warning = "%s is now %s; the old name will be refused in the next release"
            logging.getLogger("tick").warning(warning, before, now)
            values[name] = variables[before]
        elif not _is_same(variables[now], variables[before]):
            message = f"{before} is the old name of {now}, and they differ"
            raise SettingError(message, f"unset {before}")
    return values


def _is_same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def require_known(names: Iterable[str]) -> None:
    """Raises SettingError for an unknown TICK_ variable: a misspelt one must not be ignored.

    The hint names the nearest setting.
    """
    present = [PREFIX + name.upper() for name in Settings.model_fields]
    known = {*present, *(PREFIX + name.upper() for name in RENAMED)}
    for name in (name.upper() for name in names):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and name not in known:
            near = get_close_matches(name, present, 1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else "every setting is described in contracts/config/"
            )
            raise SettingError(f"unknown setting {name}", f"{hint} (or unset {name})")
