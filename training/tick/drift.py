"""Drift of features and forecasts against what a model was trained on, and whether it asks for a
retrain. Pure: no I/O, no clock.

A retrain that is asked for still has to pass the gate.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from scipy.stats import kstwobign

from contracts.errors import DatasetError
from contracts.features import CONTEXT, CORE
from training.tick import metrics
from training.tick.split import DAY_US

Floats = NDArray[np.float64]
LEAST = float(np.finfo(np.float64).min)
FILE = "drift_reference.json"  # artifact of a training run
FORECAST = "prediction"
BINS = 10
PSI_WARN, PSI_ALERT = 0.10, 0.25  # the usual limits of credit scoring (Siddiqi 2006)
SHARE_MIN = 1e-4  # an empty bin counts as this share, or PSI would be infinite
POINTS = 256  # order statistics that stand for the training sample in KS: its resolution is 1/256
ROWS_MIN = 200  # below, PSI of ten bins is noise: nine degrees of freedom over the number of rows
ALERTS_MIN = 3
IC_DAYS = 5
COOLDOWN_US = DAY_US


@dataclass(frozen=True)
class Line:
    """One column: PSI, Kolmogorov–Smirnov distance with its p-value (NaN where a side has no
    numbers), share of NULLs now.
    """

    name: str
    psi: float
    ks: float
    p_value: float
    nulls: float

    @property
    def level(self) -> str:
        """ok, warn or alert, by PSI."""
        return "alert" if self.psi > PSI_ALERT else "warn" if self.psi > PSI_WARN else "ok"


@dataclass(frozen=True)
class Ic:
    """Correlation of forecasts with the actual outcome, over the last five days, with its 95 %
    interval; NaN for fewer days.
    """

    value: float
    low: float
    high: float
    days: int


@dataclass(frozen=True)
class Verdict:
    """The lines, and every reason for which a retrain is asked for; none means none is."""

    lines: tuple[Line, ...]
    ic: Ic
    reasons: tuple[str, ...]

    @property
    def retrain(self) -> bool:
        """Whether the model should be trained again."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it: None for what is undefined."""
        lines = [_plain(asdict(line)) | {"level": line.level} for line in self.lines]
        return {
            "retrain": self.retrain,
            "reasons": list(self.reasons),
            "columns": lines,
            "ic": _plain(asdict(self.ic)),
        }


def reference(train: pl.DataFrame, forecast: Floats | None = None) -> dict[str, Any]:
    """What to keep of a training set to measure drift against, as JSON: per core feature the bins,
    their shares, some quantiles.

    `forecast`: the model's answers on rows it was not fitted on; on its own training rows a forest
    spreads wider.
    """
    columns = {name: _kept(_finite(train[name])) for name in CORE if name in train.columns}
    if forecast is not None:
        columns[FORECAST] = _kept(_finite(pl.Series(forecast)))
    return {"rows": len(train), "columns": columns}


def compare(known: Mapping[str, Any], frame: pl.DataFrame) -> tuple[Line, ...]:
    """A line per column of the reference that `frame` has. Raises DatasetError for too few rows to
    tell drift from noise.
    """
    if len(frame) < ROWS_MIN:
        raise DatasetError(
            f"{len(frame)} rows are too few to tell drift from noise, {ROWS_MIN} is the least",
            "widen --from/--to",
        )
    return tuple(
        _line(name, kept, _finite(frame[name]))
        for name, kept in known["columns"].items()
        if name in frame.columns
    )


def judge(lines: tuple[Line, ...], ic: Ic) -> Verdict:
    """Three core features or the forecast over 0.25, or an IC whose interval lies below zero, ask
    for a retrain.

    The hour of the day is shown and not counted: a range that is not a whole day is not a drift.
    """
    alerts = [
        line.name
        for line in lines
        if line.level == "alert" and line.name in CORE and line.name not in CONTEXT
    ]
    forecast = [line for line in lines if line.name == FORECAST and line.level == "alert"]
    reasons = []
    if len(alerts) >= ALERTS_MIN:
        reasons.append(f"{len(alerts)} core features have PSI > {PSI_ALERT}: {', '.join(alerts)}")
    reasons += [f"the predictions have PSI {line.psi:.3g} > {PSI_ALERT}" for line in forecast]
    if ic.high < 0:
        reasons.append(
            f"the IC of {ic.days} days is {ic.value:.3g}, its interval {ic.low:.3g} to"
            f" {ic.high:.3g} lies below 0"
        )
    return Verdict(lines, ic, tuple(reasons))


def due(verdict: Verdict, last_retrain_us: int | None, at_us: int) -> bool:
    """Whether to retrain now: it is asked for, and the last training, whatever its outcome, began
    24 h ago or more.
    """
    return verdict.retrain and (last_retrain_us is None or at_us - last_retrain_us >= COOLDOWN_US)


def ic(decision_us: NDArray[np.int64], forecast: Floats, y: Floats, seed: int) -> Ic:
    """IC over the last five UTC days with decisions, interval by the stationary bootstrap with
    blocks of an hour of decisions.
    """
    days = np.unique(decision_us // DAY_US)[-IC_DAYS:]
    if len(days) < IC_DAYS:
        return Ic(math.nan, math.nan, math.nan, len(days))
    order = np.argsort(decision_us, kind="stable")
    order = order[decision_us[order] // DAY_US >= days[0]]
    guessed, came = forecast[order], y[order]
    a_decision = len(order) / len(
        np.unique(decision_us[order])
    )  # symbols at one time move together: they share a block
    block = max(1, round(metrics.BOOTSTRAP_BLOCK * a_decision))
    draws = StationaryBootstrap(block, guessed, came, seed=seed).apply(
        lambda x, z: np.array([metrics.correlation(x, z)]), metrics.BOOTSTRAP_DRAWS
    )
    low, high = np.quantile(
        draws, [0.025, 0.975]
    )  # NaN for a forecast that never changes: no verdict
    return Ic(metrics.correlation(guessed, came), float(low), float(high), len(days))


def psi(expected: Floats, actual: Floats) -> float:
    """Population stability index Σ (a − e)·ln(a/e) of two vectors of bin shares (Siddiqi 2006)."""
    e, a = np.maximum(expected, SHARE_MIN), np.maximum(actual, SHARE_MIN)
    return float(((a - e) * np.log(a / e)).sum())


def kolmogorov_smirnov(one: Floats, other: Floats) -> tuple[float, float]:
    """Largest distance of two empirical distributions, both sorted, and its asymptotic p-value; NaN
    when one is empty.
    """
    if not len(one) or not len(other):
        return math.nan, math.nan
    both = np.concatenate([one, other])
    below = (np.searchsorted(each, both, side="right") / len(each) for each in (one, other))
    distance = float(np.abs(np.subtract(*below)).max())
    return distance, float(
        kstwobign.sf(distance * math.sqrt(len(one) * len(other) / (len(one) + len(other))))
    )


def _finite(column: pl.Series) -> tuple[Floats, int]:
    """The sorted numbers of a column, and its length: what is not a finite number counts as NULL,
    as does the least double, below which there is none for the edge of a bin."""
    values = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
    return np.sort(values[np.isfinite(values) & (values > LEAST)]), len(values)


def _kept(found: tuple[Floats, int]) -> dict[str, Any]:
    values, count = found
    edges = _edges(values)
    at = np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int)
    return {
        "edges": edges.tolist(),
        "shares": _shares(edges, values, count).tolist(),
        "points": values[at].tolist(),
    }


def _edges(values: Floats) -> Floats:
    """Inner edges of ten bins by quantiles. A value that fills several of them gets a bin of its
    own, so that leaving it on either side is seen: most tick counts and every constant are like
    that."""
    if not len(values):
        return values
    cuts, times = np.unique(
        np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf"), return_counts=True
    )
    return np.asarray(np.unique(np.concatenate([cuts, np.nextafter(cuts[times > 1], -np.inf)])))


def _shares(edges: Floats, values: Floats, count: int) -> Floats:
    """Share of each bin (below or at its upper edge), and at last of NULLs."""
    inside = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return np.asarray(np.append(inside, count - len(values)) / max(count, 1))


def _line(name: str, kept: Mapping[str, Any], found: tuple[Floats, int]) -> Line:
    values, count = found
    shares = _shares(np.array(kept["edges"], dtype=np.float64), values, count)
    distance, p_value = kolmogorov_smirnov(np.array(kept["points"], dtype=np.float64), values)
    return Line(name, psi(np.array(kept["shares"]), shares), distance, p_value, float(shares[-1]))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
