"""Comparison of Production and challenger on live predictions, by the actual outcomes.

Only moments that both versions answered count: a symbol at the time of its newest features. The
outcome of a moment is the label of the training (entry after the delay, exit after the horizon).
Neighbouring moments share most of their outcome, so the interval of the difference is bootstrapped
in blocks of an hour.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
import polars as pl
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from pyiceberg.expressions import And, EqualTo, In

from contracts import prediction
from contracts.clock import now_us
from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US, SECOND_US
from contracts.errors import DatasetError
from contracts.redis_keys import COMPARISON_KEY
from feature_store.online import signals
from lakehouse.read_limit import require_rows
from lakehouse.schemas import PREDICTIONS
from lakehouse.tables import Lakehouse, between
from models.registry import Registry
from training.tick.data.dataset import label_decisions
from training.tick.evaluation import metrics
from training.tick.evaluation.metrics import Floats

BPS = 1e4
ROLES = ("production", "challenger")
MOMENTS_MIN = 100
BLOCK_US = 3_600 * SECOND_US
INTERVAL_QUANTILES = (0.025, 0.975)
FIELDS = ("symbol", "served_at_us", "model_version", "prediction_bps", "event_times_us")


@dataclass(frozen=True)
class VersionScore:
    """Metrics of one version.

    Root mean squared error (bps), rank IC, share of predictions with the right sign, mean net
    return of a trade (bps, after costs), number of trades.
    """

    version: str
    rmse_bps: float
    rank_ic: float
    hits: float
    net_bps: float
    trades: int

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values; `ic`, the former name of `rank_ic`, is kept for readers."""
        return asdict(self) | {"ic": self.rank_ic}


@dataclass(frozen=True)
class VersionComparison:
    """Both versions over the same `moments`.

    `gain_bps` is the challenger's mean net return per moment minus Production's, with its 95 %
    interval and two-sided p-value. `curves_bps` are the cumulated net returns (Production,
    challenger) at the times `curve_us`.
    """

    production: VersionScore
    challenger: VersionScore
    moments: int
    gain_bps: float
    low_bps: float
    high_bps: float
    p_value: float
    curve_us: NDArray[np.int64]
    curves_bps: tuple[Floats, Floats]

    @property
    def verdict(self) -> str:
        """better, worse, or undecided at 95 %."""
        if self.low_bps > 0:
            return "better"
        return "worse" if self.high_bps < 0 else "undecided"

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values, without the curves."""
        return {
            "champion": self.production.as_dict(),  # the key that readers of the API know
            "challenger": self.challenger.as_dict(),
            "verdict": self.verdict,
            "moments": self.moments,
            "gain_bps": self.gain_bps,
            "low_bps": self.low_bps,
            "high_bps": self.high_bps,
            "p_value": self.p_value,
        }


def compare_versions(
    settings: Settings,
    from_us: int,
    to_us: int,
    production: str | None = None,
    challenger: str | None = None,
) -> VersionComparison:
    """Compare two versions on predictions served in [from_us, to_us), µs UTC.

    The defaults are the Production version and the challenger; only their comparison is published
    to the API. Raises DatasetError if a role has no version or fewer than MOMENTS_MIN moments can
    be compared, RegistryError if the registry does not answer.
    """
    versions = (
        production or _require_version(settings, ROLES[0]),
        challenger or _require_version(settings, ROLES[1]),
    )
    pairs = pair_answers(_read_predictions(settings, from_us, to_us, versions), *versions)
    if len(pairs) < MOMENTS_MIN:
        raise DatasetError(
            f"versions {versions[0]} and {versions[1]} have {len(pairs)} moments in common,"
            f" {MOMENTS_MIN} is the least",
            "let both answer for longer: `tick model challenge N`",
        )
    labelled = add_outcomes(settings, pairs)
    if len(labelled) < MOMENTS_MIN:
        raise DatasetError(
            f"only {len(labelled)} of {len(pairs)} moments have an outcome",
            "wait until their horizon has passed",
        )
    comparison = evaluate_pairs(labelled, versions, settings)
    # Not if the user chose versions, or a promotion ended the trial meanwhile.
    is_current_trial = versions == tuple(_version_in_role(settings, role) for role in ROLES)
    if production is None and challenger is None and is_current_trial:
        content = comparison.as_dict() | {"taken_us": now_us()}
        signals.publish(settings, COMPARISON_KEY, orjson.dumps(content))
    return comparison


def _version_in_role(settings: Settings, role: str) -> str | None:
    versions = Registry(settings).list_versions()
    return next((each.version for each in versions if getattr(each, role)), None)


def _require_version(settings: Settings, role: str) -> str:
    version = _version_in_role(settings, role)
    if version is None:
        raise DatasetError(
            f"{settings.model_name} has no {role} version",
            "name both with --production and --challenger",
        )
    return version


def _read_predictions(
    settings: Settings, from_us: int, to_us: int, versions: tuple[str, str]
) -> pl.DataFrame:
    in_range = between(from_us, to_us, "served_at")
    of_versions = And(EqualTo("model_name", settings.model_name), In("model_version", versions))
    table = Lakehouse(settings).table(PREDICTIONS)
    scan = table.scan(row_filter=And(in_range, of_versions), selected_fields=FIELDS)
    require_rows(scan, PREDICTIONS, settings.read_rows_max)
    predictions = pl.from_arrow(scan.to_arrow())
    assert isinstance(predictions, pl.DataFrame)
    return predictions


def pair_answers(predictions: pl.DataFrame, production: str, challenger: str) -> pl.DataFrame:
    """Moments that both versions answered: symbol, decision_us, production and challenger (bps).

    `predictions` has the columns FIELDS. If a version answered a moment several times, the first
    answer counts.
    """
    newest_feature_us = pl.col("event_times_us").map_elements(
        prediction.newest_event_time_us, return_dtype=pl.Int64
    )
    answers = (
        predictions.with_columns(decision_us=newest_feature_us)
        .drop_nulls(("symbol", "decision_us", "prediction_bps"))
        .sort("served_at_us")
        .unique(("symbol", "decision_us", "model_version"), keep="first", maintain_order=True)
    )
    production_answers, challenger_answers = (
        answers.filter(pl.col("model_version") == version).select(
            "symbol", "decision_us", pl.col("prediction_bps").alias(name)
        )
        for name, version in (("production", production), ("challenger", challenger))
    )
    return production_answers.join(challenger_answers, on=("symbol", "decision_us")).sort(
        "decision_us", "symbol"
    )


def add_outcomes(settings: Settings, pairs: pl.DataFrame) -> pl.DataFrame:
    """Add the actual outcome `y_bps`; drops moments without one (no trade, halt, not over)."""
    labelled = [
        rows
        for _, day in pairs.group_by(pl.col("decision_us") // DAY_US, maintain_order=True)
        for rows in _label_day(settings, day)
    ]
    if not labelled:
        return pairs.clear()
    return pl.concat(labelled).filter(pl.col("why") == "").sort("decision_us", "symbol")


def _label_day(settings: Settings, pairs: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Moments of a day with labels, by symbol. Memory grows with the ticks of a day, not of the
    range.
    """
    label_us = (
        settings.entry_delay_s + settings.entry_late_s_max + settings.horizon_s
    ) * SECOND_US + int(settings.stale_s * SECOND_US)
    first_us = int(pairs["decision_us"].min())  # type: ignore[arg-type]
    last_us = int(pairs["decision_us"].max())  # type: ignore[arg-type]
    symbols = pairs["symbol"].unique().to_list()
    ticks = Lakehouse(settings).read_ticks(first_us, last_us + label_us, symbols, None, ("price",))
    for (symbol,), symbol_pairs in pairs.group_by("symbol"):
        prices = ticks.filter(pl.col("key") == symbol).sort("event_time_us", "seq")
        if len(prices):
            labels = label_decisions(symbol_pairs["decision_us"].to_numpy(), prices, settings)
            outcomes = labels.select(y_bps=pl.col("y") * BPS, why="label_reason")
            yield pl.concat([symbol_pairs, outcomes], how="horizontal")


def evaluate_pairs(
    rows: pl.DataFrame, versions: tuple[str, str], settings: TrainingSettings
) -> VersionComparison:
    """Score both versions and their difference.

    `rows` are those of `add_outcomes`; `versions` are the numbers of Production and challenger. The
    interval is by the stationary bootstrap (Politis and Romano 1994).
    """
    y = rows["y_bps"].to_numpy()
    times_us = rows["decision_us"].to_numpy()
    production_bps = rows["production"].to_numpy()
    challenger_bps = rows["challenger"].to_numpy()
    production_net = net_returns(production_bps, y, settings)
    challenger_net = net_returns(challenger_bps, y, settings)
    gain = challenger_net - production_net
    block_count = max(1, (int(times_us[-1]) - int(times_us[0])) // BLOCK_US + 1)
    moments_per_block = max(1, round(len(gain) / block_count))
    draws = StationaryBootstrap(moments_per_block, gain, seed=settings.seed).apply(
        lambda sample: np.array([sample.mean()]), metrics.BOOTSTRAP_DRAWS
    )[:, 0]
    low, high = np.quantile(draws, INTERVAL_QUANTILES)
    tail = min((draws <= 0).mean(), (draws >= 0).mean())
    return VersionComparison(
        production=_score(versions[0], production_bps, y, production_net),
        challenger=_score(versions[1], challenger_bps, y, challenger_net),
        moments=len(y),
        gain_bps=float(gain.mean()),
        low_bps=float(low),
        high_bps=float(high),
        p_value=float(min(1.0, 2 * tail)),
        curve_us=times_us,
        curves_bps=(production_net.cumsum(), challenger_net.cumsum()),
    )


def net_returns(prediction_bps: Floats, y_bps: Floats, settings: TrainingSettings) -> Floats:
    """Net return (moments,) in bps of trading each prediction that exceeds the round-trip cost.

    A trade earns the outcome in the direction of the prediction, minus the cost; no trade earns 0.
    """
    cost_bps = 2 * settings.cost_bp
    is_traded = np.abs(prediction_bps) > cost_bps
    return np.where(is_traded, np.sign(prediction_bps) * y_bps - cost_bps, 0.0)


def _score(version: str, prediction_bps: Floats, y_bps: Floats, net_bps: Floats) -> VersionScore:
    is_traded = net_bps != 0
    return VersionScore(
        version=version,
        rmse_bps=float(np.sqrt(((prediction_bps - y_bps) ** 2).mean())),
        rank_ic=metrics.rank_correlation(prediction_bps, y_bps),
        hits=float((np.sign(prediction_bps) == np.sign(y_bps)).mean()),
        net_bps=float(net_bps[is_traded].mean()) if is_traded.any() else math.nan,
        trades=int(is_traded.sum()),
    )
