"""The rules on the age and completeness of features: whether a prediction can be made from a
symbol's online row. Pure: the same row and time give the same outcome.
"""

from collections.abc import Sequence

from contracts.config.groups.redis import RedisSettings
from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.features import COLUMNS, OVERFLOWS
from contracts.windows import LEVELS
from feature_store.online.reader import FeatureRow
from serving.core.answer import Outcome
from serving.core.status import Status

_TILE_S = {level.view: level.tile_s for level in LEVELS}
_OVERFLOWS = {column.name: OVERFLOWS.get(column.view) for column in COLUMNS}
_WINDOW_S = {column.name: column.window_s for column in COLUMNS}
US = 1_000_000
FLOAT32_MAX = 3.4028234663852886e38


def evaluate_row(row: FeatureRow, names: Sequence[str], settings: Settings, now_us: int) -> Outcome:
    """Whether a prediction can be made from `row`, which has the features `names`.

    Fresh: every view is at most `fresh_s` old plus the length of its bar less 1 s. Stale: the 1 s
    row is at most `stale_s` old, the other views `stale_s` plus the length of their bar. Training
    joins every view with a tolerance of `stale_s`; here a slower view gets one bar more, because
    its newest bar may still be open. The reasons to refuse, in this order: unknown symbol, a view
    without a row, an event time in the future, too old, features without a value.
    """
    if not row.found:
        reason = f"no features of this symbol within the last {_ttl(settings)}"
        return Outcome(Status.UNKNOWN_SYMBOL, reason)
    times = {view: time for view, time in row.event_time_us.items() if time is not None}
    newest_us = max(times.values())
    if len(times) < len(row.event_time_us):
        return _absent_views(row, settings, newest_us)
    assert row.age_s is not None  # the age of the fastest view, which every model reads
    if newest_us > now_us + settings.future_row_ms_max * 1000:
        reason = "the features have an event time in the future: check the clocks"
        return Outcome(Status.FUTURE_FEATURES, reason, (), None, newest_us, row.age_s)
    if row.age_s > settings.stale_s or row.old_views:
        return _too_old(row, settings, newest_us, row.age_s)
    if missing := _missing_features(row, names):
        return _incomplete(missing, row.warm_s, settings, newest_us, row.age_s)
    is_stale = _is_stale(times, settings, now_us)
    return Outcome(Status.OK, event_time_us=newest_us, age_s=row.age_s, stale=is_stale)


def _absent_views(row: FeatureRow, settings: RedisSettings, event_time_us: int) -> Outcome:
    """No row in some views: the slowest of them needs the length of its tile."""
    absent_views = [view for view, time in row.event_time_us.items() if time is None]
    wait_s = max(_TILE_S[view] for view in absent_views)
    reason = f"no row in {', '.join(absent_views)} within the last {_ttl(settings)}"
    status = Status.MISSING_FEATURES
    return Outcome(status, reason, row.missing, wait_s, event_time_us, row.age_s)


def _ttl(settings: RedisSettings) -> str:
    """The age from which on a row counts as absent."""
    hours, seconds = divmod(settings.redis_ttl_s, 3600)
    return f"{settings.redis_ttl_s} s" if seconds else f"{hours} h"


def _is_stale(times: dict[str, int], settings: ServingSettings, now_us: int) -> bool:
    """Whether a view is older than `fresh_s` plus the length of its bar less 1 s."""
    return any(
        (now_us - time) / US > settings.fresh_s + _TILE_S[view] - 1
        for view, time in times.items()
        if view in _TILE_S
    )


def _too_old(
    row: FeatureRow, settings: ServingSettings, event_time_us: int, age_s: float
) -> Outcome:
    views = f" ({', '.join(row.old_views)})" if row.old_views else ""
    reason = (
        f"the features{views} are older than the limit of {settings.stale_s:g} s; the newest are"
        f" {age_s:.1f} s old"
    )
    return Outcome(Status.TOO_OLD, reason, (), settings.retry_after_s, event_time_us, age_s)


def _missing_features(row: FeatureRow, names: Sequence[str]) -> tuple[str, ...]:
    """Features that are null or do not fit single precision. Feast's writer lets infinities pass;
    ours does not.
    """
    return tuple(
        name
        for name, value in zip(names, row.values, strict=True)
        if value is None or not abs(value) <= FLOAT32_MAX
    )


def _incomplete(
    missing: tuple[str, ...],
    warm_s: int,
    settings: ServingSettings,
    event_time_us: int,
    age_s: float,
) -> Outcome:
    """Features without a value: how long the warm-up still takes, or why there is no value."""
    wait_s = max(_WINDOW_S[name] for name in missing) - warm_s
    names = ", ".join(missing)
    if wait_s > 0:
        retry_after_s = wait_s
        reason = f"warming up: no value for {names}; {wait_s} s of history are still missing"
    else:
        retry_after_s = settings.retry_after_s
        counters = ", ".join(sorted({str(_OVERFLOWS[name]) for name in missing}))
        reason = (
            f"no value for {names}: the window has too few ticks, or its sums overflow 64 bits"
            f" (then {counters} > 0)"
        )
    return Outcome(Status.MISSING_FEATURES, reason, missing, retry_after_s, event_time_us, age_s)
