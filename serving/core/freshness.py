"""The rules of an answer: what a symbol's online row is good for at a moment. Pure; the same row
and time give the same verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.config.settings import Settings
from contracts.features import COLUMNS, OVERFLOWS
from contracts.windows import LEVELS
from feature_store.online.reader import FeatureRow
from serving.core.status import Status

_TILE_S = {level.view: level.tile_s for level in LEVELS}
_OVERFLOWS = {column.name: OVERFLOWS.get(column.view) for column in COLUMNS}
_WINDOW_S = {column.name: column.window_s for column in COLUMNS}
US = 1_000_000
FLOAT32_MAX = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Verdict:
    """Status of a row with its reason; ages in seconds of event time, `retry_after_s` where waiting
    helps.
    """

    status: Status
    reason: str = ""
    missing: tuple[str, ...] = ()
    retry_after_s: int | None = None
    event_time_us: int | None = None
    age_s: float | None = None
    stale: bool | None = None


def judge(row: FeatureRow, names: Sequence[str], settings: Settings, now_us: int) -> Verdict:
    """What `row`, holding the features `names`, is good for. Every view counts: training joined
    each of them with the same tolerance.

    Refused, in this order: unknown, a view without a row, dated in the future, too old, features
    without a value.
    """
    if not row.found:
        return Verdict(Status.UNKNOWN_SYMBOL, "no features were ever published for this symbol")
    times = {view: time for view, time in row.event_time_us.items() if time is not None}
    absent = [view for view in row.event_time_us if view not in times]
    newest = max(times.values())
    age_s = row.age_s
    if absent or age_s is None:
        wait_s = max(_TILE_S[view] for view in absent)
        return Verdict(
            Status.MISSING_FEATURES,
            f"no row yet of {', '.join(absent)}",
            row.missing,
            wait_s,
            newest,
            age_s,
        )
    if newest > now_us + settings.future_row_ms_max * 1000:
        return Verdict(
            Status.FUTURE_FEATURES,
            "the features are dated in the future: a clock is wrong",
            (),
            None,
            newest,
            age_s,
        )
    if age_s > settings.stale_s or row.old_views:
        return _too_old(row, settings, newest, age_s)
    missing = _without_value(row, names)
    if missing:
        return _incomplete(missing, row.warm_s, settings, newest, age_s)
    return Verdict(
        Status.OK, event_time_us=newest, age_s=age_s, stale=_stale(times, settings, now_us)
    )


def _stale(times: dict[str, int], settings: Settings, now_us: int) -> bool:
    """A bar is published when it closes: a view may be one bar older than its symbol and still be
    fresh.
    """
    return any(
        (now_us - time) / US > settings.fresh_s + _TILE_S[view] - 1
        for view, time in times.items()
        if view in _TILE_S
    )


def _too_old(row: FeatureRow, settings: Settings, event_time_us: int, age_s: float) -> Verdict:
    what = f" ({', '.join(row.old_views)})" if row.old_views else ""
    reason = (
        f"the features{what} are older than the limit of {settings.stale_s:g} s; the newest are"
        f" {age_s:.1f} s old"
    )
    return Verdict(Status.TOO_OLD, reason, (), settings.retry_after_s, event_time_us, age_s)


def _without_value(row: FeatureRow, names: Sequence[str]) -> tuple[str, ...]:
    """Null features, and those no model can take (single precision): infinities pass Feast's own
    writer, though not ours.
    """
    return tuple(
        name
        for name, value in zip(names, row.values, strict=True)
        if value is None or not abs(value) <= FLOAT32_MAX
    )


def _incomplete(
    missing: tuple[str, ...], warm_s: int, settings: Settings, event_time_us: int, age_s: float
) -> Verdict:
    """Features without a value, by name: how long the warm-up still takes, or why there is none."""
    wait_s = max(_WINDOW_S[name] for name in missing) - warm_s
    names = ", ".join(missing)
    if wait_s > 0:
        reason = f"warming up: {names} without a value; {wait_s} s of history are still missing"
    else:
        counts = ", ".join(sorted({str(_OVERFLOWS[name]) for name in missing}))
        why = "the window holds too little to define it, or its sums overflow 64 bits"
        reason = f"{names} without a value: {why} (then {counts} > 0)"
    retry_after_s = wait_s if wait_s > 0 else settings.retry_after_s
    return Verdict(Status.MISSING_FEATURES, reason, missing, retry_after_s, event_time_us, age_s)
