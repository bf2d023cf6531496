"""Drift of features and forecasts since a model's training, and whether to retrain.

The functions are pure: no I/O and no clock. A retrained model still has to pass the gate.
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

from contracts.durations import DAY_US
from contracts.errors import DatasetError
from contracts.features import CONTEXT, CORE
from training.tick.evaluation import metrics
from training.tick.evaluation.metrics import Floats

LEAST = float(np.finfo(np.float64).min)
REFERENCE_FILE = "drift_reference.json"  # artifact of a training run
PREDICTION = "prediction"
BINS = 10
PSI_WARN, PSI_ALERT = 0.10, 0.25  # usual limits in credit scoring (Siddiqi 2006)
SHARE_MIN = 1e-4  # replaces the share of an empty bin, for which PSI would be infinite
POINTS = 256  # order statistics that represent the training sample in KS: a resolution of 1/256
ROWS_MIN = 200  # with fewer rows, PSI of ten bins is mostly noise: about 9 / rows
ALERTS_MIN = 3
IC_DAYS = 5
IC_QUANTILES = (0.025, 0.975)
COOLDOWN_US = DAY_US


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of one column: PSI, Kolmogorov-Smirnov distance and p-value, current share of NULLs.

    `ks` and `p_value` are NaN if one side has no numbers.
    """

    name: str
    psi: float
    ks: float
    p_value: float
    nulls: float

    @property
    def level(self) -> str:
        """ok, warn or alert, by PSI."""
        if self.psi > PSI_ALERT:
            return "alert"
        return "warn" if self.psi > PSI_WARN else "ok"


@dataclass(frozen=True)
class IcEstimate:
    """Correlation of forecasts with outcomes over the last `days`, with its 95 % interval.

    NaN for fewer than five days.
    """

    value: float
    low: float
    high: float
    days: int


@dataclass(frozen=True)
class DriftVerdict:
    """Drift of each column, and the reasons for a retraining."""

    columns: tuple[ColumnDrift, ...]
    ic: IcEstimate
    reasons: tuple[str, ...]

    @property
    def retrain(self) -> bool:
        """Whether the model should be trained again."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values; None if undefined."""
        columns = [
            _json_values(asdict(column)) | {"level": column.level} for column in self.columns
        ]
        return {
            "retrain": self.retrain,
            "reasons": list(self.reasons),
            "columns": columns,
            "ic": _json_values(asdict(self.ic)),
        }


def build_reference(train: pl.DataFrame, forecast: Floats | None = None) -> dict[str, Any]:
    """Reference as JSON: bins, shares and quantiles of each core feature and of the forecasts.

    The features are those of the rows `train`, but `forecast` should be of rows that the model was
    not fitted on (the hold-out days): on its training rows, a forest's forecasts vary more.
    """
    columns = {name: _describe_column(train[name]) for name in CORE if name in train.columns}
    if forecast is not None:
        columns[PREDICTION] = _describe_column(pl.Series(forecast))
    return {"rows": len(train), "columns": columns}


def compare_columns(reference: Mapping[str, Any], frame: pl.DataFrame) -> tuple[ColumnDrift, ...]:
    """Drift of each column of the reference that `frame` has.

    Raises DatasetError for fewer than ROWS_MIN rows.
    """
    if len(frame) < ROWS_MIN:
        raise DatasetError(
            f"{len(frame)} rows are too few to tell drift from noise, {ROWS_MIN} is the least",
            "widen --from/--to",
        )
    return tuple(
        _column_drift(name, description, frame[name])
        for name, description in reference["columns"].items()
        if name in frame.columns
    )


def evaluate_drift(columns: tuple[ColumnDrift, ...], ic: IcEstimate) -> DriftVerdict:
    """Reasons for a retrain: PSI above 0.25 of three core features or of the forecasts, or an IC
    whose interval is below zero.

    The hour of the day is reported and not counted: it differs in any range that is not whole days.
    """
    alerts = [column for column in columns if column.level == "alert"]
    features = [
        column.name for column in alerts if column.name in CORE and column.name not in CONTEXT
    ]
    reasons = []
    if len(features) >= ALERTS_MIN:
        names = ", ".join(features)
        reasons.append(f"{len(features)} core features have PSI > {PSI_ALERT}: {names}")
    reasons += [
        f"the predictions have PSI {column.psi:.3g} > {PSI_ALERT}"
        for column in alerts
        if column.name == PREDICTION
    ]
    if ic.high < 0:
        reasons.append(
            f"the IC of {ic.days} days is {ic.value:.3g}, its interval {ic.low:.3g} to"
            f" {ic.high:.3g} is below 0"
        )
    return DriftVerdict(columns, ic, tuple(reasons))


def is_retrain_due(verdict: DriftVerdict, last_training_us: int | None, at_us: int) -> bool:
    """Whether to retrain now: there is a reason, and the last training began 24 hours ago or more.

    Times in µs UTC; None if there was no training.
    """
    if not verdict.retrain:
        return False
    return last_training_us is None or at_us - last_training_us >= COOLDOWN_US


def estimate_ic(
    decision_us: NDArray[np.int64], forecast: Floats, y: Floats, seed: int
) -> IcEstimate:
    """IC over the last five UTC days with decisions; all arrays are (rows,).

    The interval is by the stationary bootstrap (Politis and Romano 1994) with blocks of an hour of
    decisions. It is NaN for a forecast that never changes.
    """
    days = np.unique(decision_us // DAY_US)[-IC_DAYS:]
    if len(days) < IC_DAYS:
        return IcEstimate(math.nan, math.nan, math.nan, len(days))
    order = np.argsort(decision_us, kind="stable")
    order = order[decision_us[order] // DAY_US >= days[0]]
    recent_forecast = forecast[order]
    recent_y = y[order]
    # Symbols of one decision move together, so they must share a block.
    rows_per_decision = len(order) / len(np.unique(decision_us[order]))
    block = max(1, round(metrics.BOOTSTRAP_BLOCK * rows_per_decision))
    draws = StationaryBootstrap(block, recent_forecast, recent_y, seed=seed).apply(
        lambda x, z: np.array([metrics.correlation(x, z)]), metrics.BOOTSTRAP_DRAWS
    )
    low, high = np.quantile(draws, IC_QUANTILES)
    value = metrics.correlation(recent_forecast, recent_y)
    return IcEstimate(value, float(low), float(high), len(days))


def psi(expected: Floats, actual: Floats) -> float:
    """Population stability index Σ (a - e) ln(a / e) of two vectors of bin shares.

    Siddiqi (2006), "Credit Risk Scorecards".
    """
    e = np.maximum(expected, SHARE_MIN)
    a = np.maximum(actual, SHARE_MIN)
    return float(((a - e) * np.log(a / e)).sum())


def kolmogorov_smirnov(one: Floats, other: Floats) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov distance of sorted samples, and its asymptotic p-value.

    NaN if a sample is empty.
    """
    if not len(one) or not len(other):
        return math.nan, math.nan
    values = np.concatenate([one, other])
    cdf_one = np.searchsorted(one, values, side="right") / len(one)
    cdf_other = np.searchsorted(other, values, side="right") / len(other)
    distance = float(np.abs(cdf_one - cdf_other).max())
    effective_size = len(one) * len(other) / (len(one) + len(other))
    return distance, float(kstwobign.sf(distance * math.sqrt(effective_size)))


def _sorted_numbers(column: pl.Series) -> Floats:
    """The sorted finite numbers of a column.

    The others count as NULL; so does the least double, because no bin edge can be below it.
    """
    values = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
    return np.sort(values[np.isfinite(values) & (values > LEAST)])


def _describe_column(column: pl.Series) -> dict[str, Any]:
    values = _sorted_numbers(column)
    edges = _bin_edges(values)
    point_rows = np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int)
    return {
        "edges": edges.tolist(),
        "shares": _bin_shares(edges, values, len(column)).tolist(),
        "points": values[point_rows].tolist(),
    }


def _bin_edges(values: Floats) -> Floats:
    """Inner edges of ten quantile bins.

    A value that fills several bins gets its own bin, so that a move to either side is detected;
    most tick counts and all constants are like that.
    """
    if not len(values):
        return values
    quantiles = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
    edges, counts = np.unique(quantiles, return_counts=True)
    just_below = np.nextafter(edges[counts > 1], -np.inf)
    return np.asarray(np.unique(np.concatenate([edges, just_below])))


def _bin_shares(edges: Floats, values: Floats, row_count: int) -> Floats:
    """Share of rows in each bin, which includes its upper edge, and last the share of NULLs."""
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    null_count = row_count - len(values)
    return np.asarray(np.append(counts, null_count) / max(row_count, 1))


def _column_drift(name: str, description: Mapping[str, Any], column: pl.Series) -> ColumnDrift:
    values = _sorted_numbers(column)
    edges = np.array(description["edges"], dtype=np.float64)
    points = np.array(description["points"], dtype=np.float64)
    shares = _bin_shares(edges, values, len(column))
    distance, p_value = kolmogorov_smirnov(points, values)
    column_psi = psi(np.array(description["shares"]), shares)
    return ColumnDrift(name, column_psi, distance, p_value, float(shares[-1]))


def _json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
