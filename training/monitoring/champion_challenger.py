"""Champion and challenger on the moments both answered, judged by what the market did afterwards.

A moment is a symbol at the time of its newest features; its outcome is the label of the training
(entry after the delay, exit after the horizon). The difference is tested with blocks of an hour,
because neighbouring moments share most of their outcome.
"""

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import polars as pl
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, In, LessThan

from contracts import prediction
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.redis_keys import DUEL_KEY
from feature_store.online import signals
from lakehouse.schemas import PREDICTIONS
from lakehouse.tables import Lakehouse
from models import registry
from training.tick import dataset, metrics

Floats = NDArray[np.float64]
BPS = 1e4
ROLES = ("production", "challenger")
MOMENTS_MIN = 100
BLOCK_US, DAY_US = 3_600_000_000, 86_400_000_000
FIELDS = ("symbol", "served_at_us", "model_version", "prediction_bps", "event_times_us")


@dataclass(frozen=True)
class Side:
    """One version: root mean square error (bps), rank IC, share of right signs, mean net return a
    trade (bps, cost included), trades.
    """

    version: str
    rmse_bps: float
    ic: float
    hits: float
    net_bps: float
    trades: int


@dataclass(frozen=True)
class Duel:
    """Both sides over `moments`; `gain_bps` is the challenger's mean net return less the
    champion's, a moment, with its 95 % interval.
    """

    champion: Side
    challenger: Side
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
        return "better" if self.low_bps > 0 else "worse" if self.high_bps < 0 else "undecided"

    def numbers(self) -> dict[str, Any]:
        """As JSON, curves left out."""
        known = {
            "champion": asdict(self.champion),
            "challenger": asdict(self.challenger),
            "verdict": self.verdict,
        }
        return known | {
            name: getattr(self, name)
            for name in ("moments", "gain_bps", "low_bps", "high_bps", "p_value")
        }


def fight(
    settings: Settings,
    from_us: int,
    to_us: int,
    champion: str | None = None,
    challenger: str | None = None,
) -> Duel:
    """Compare two versions on [from, to) µs UTC. Raises DatasetError when they have too few moments
    in common, RegistryError.
    """
    versions = champion or _version(settings, ROLES[0]), challenger or _version(settings, ROLES[1])
    rows = pair(_read(settings, from_us, to_us, versions), *versions)
    if len(rows) < MOMENTS_MIN:
        message = (
            f"versions {versions[0]} and {versions[1]} have {len(rows)} moments in common,"
            f" {MOMENTS_MIN} is the least"
        )
        raise DatasetError(message, "let both answer for longer: `tick model challenge N`")
    labelled = outcome(settings, rows)
    if len(labelled) < MOMENTS_MIN:
        raise DatasetError(
            f"only {len(labelled)} of {len(rows)} moments have an outcome",
            "wait until their horizon has passed",
        )
    found = judge(labelled, versions, settings)
    # The trial that is under way, no question of someone's own, nor one that a promotion has ended
    # meanwhile.
    if (
        champion is None
        and challenger is None
        and versions == tuple(_in_role(settings, role) for role in ROLES)
    ):
        signals.publish(settings, DUEL_KEY, orjson.dumps(found.numbers() | {"taken_us": now_us()}))
    return found


def _in_role(settings: Settings, role: str) -> str | None:
    return next(
        (known.version for known in registry.versions(settings) if getattr(known, role)), None
    )


def _version(settings: Settings, role: str) -> str:
    found = _in_role(settings, role)
    if found is None:
        raise DatasetError(
            f"{settings.model_name} has no {role} version",
            "name both with --champion and --challenger",
        )
    return found


def _read(settings: Settings, from_us: int, to_us: int, versions: tuple[str, str]) -> pl.DataFrame:
    first, last = (
        datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="microseconds")
        for us in (from_us, to_us)
    )
    span: BooleanExpression = And(
        GreaterThanOrEqual("served_at", first), LessThan("served_at", last)
    )
    wanted = And(
        span, And(EqualTo("model_name", settings.model_name), In("model_version", versions))
    )
    found = pl.from_arrow(
        Lakehouse(settings)
        .table(PREDICTIONS)
        .scan(row_filter=wanted, selected_fields=FIELDS)
        .to_arrow()
    )
    assert isinstance(found, pl.DataFrame)
    return found


def pair(records: pl.DataFrame, champion: str, challenger: str) -> pl.DataFrame:
    """Moments both answered: symbol, decision_us, champion, challenger (bps). Of several answers to
    one moment the first counts.
    """
    newest = pl.col("event_times_us").map_elements(
        prediction.newest_event_time_us, return_dtype=pl.Int64
    )
    known = (
        records.with_columns(decision_us=newest)
        .drop_nulls(("symbol", "decision_us", "prediction_bps"))
        .sort("served_at_us")
    )
    known = known.unique(
        ("symbol", "decision_us", "model_version"), keep="first", maintain_order=True
    )
    sides = [
        known.filter(pl.col("model_version") == version).select(
            "symbol", "decision_us", pl.col("prediction_bps").alias(name)
        )
        for name, version in (("champion", champion), ("challenger", challenger))
    ]
    return sides[0].join(sides[1], on=("symbol", "decision_us")).sort("decision_us", "symbol")


def outcome(settings: Settings, rows: pl.DataFrame) -> pl.DataFrame:
    """The moments with the actual outcome, `y_bps`; those without an outcome (no trade, a halt, not
    yet) are left out.
    """
    parts = [
        part
        for _, day in rows.group_by(pl.col("decision_us") // DAY_US, maintain_order=True)
        for part in _of_day(settings, day)
    ]
    if not parts:
        return rows.clear()
    return pl.concat(parts).filter(pl.col("why") == "").sort("decision_us", "symbol")


def _of_day(settings: Settings, rows: pl.DataFrame) -> list[pl.DataFrame]:
    """The moments of a day with their labels, by symbol: memory grows with a day's ticks, not with
    the range.
    """
    last_us = (
        settings.entry_delay_s + settings.entry_late_s_max + settings.horizon_s
    ) * 1_000_000 + int(settings.stale_s * 1e6)
    first, last = int(rows["decision_us"].min()), int(rows["decision_us"].max())  # type: ignore[arg-type]
    ticks = (
        Lakehouse(settings)
        .read_ticks(first, last + last_us)
        .with_columns(key=pl.concat_str("venue", pl.lit(":"), "symbol"))
    )
    parts = []
    for (symbol,), own in rows.group_by("symbol"):
        prices = ticks.filter(pl.col("key") == symbol).sort("event_time_us", "seq")
        if len(prices):
            label = dataset.label(own["decision_us"].to_numpy(), prices, settings)
            parts.append(
                pl.concat(
                    [own, label.select(y_bps=pl.col("y") * BPS, why="label_reason")],
                    how="horizontal",
                )
            )
    return parts


def judge(rows: pl.DataFrame, versions: tuple[str, str], settings: Settings) -> Duel:
    """The numbers of both sides and the difference between them, its interval by the stationary
    bootstrap.
    """
    y, times = rows["y_bps"].to_numpy(), rows["decision_us"].to_numpy()
    guesses = [rows[name].to_numpy() for name in ("champion", "challenger")]
    nets = [_net(guess, y, settings) for guess in guesses]
    gain = nets[1] - nets[0]
    a_block = max(1, round(len(gain) / max(1, (int(times[-1]) - int(times[0])) // BLOCK_US + 1)))
    draws = StationaryBootstrap(a_block, gain, seed=settings.seed).apply(
        lambda x: np.array([x.mean()]), metrics.BOOTSTRAP_DRAWS
    )[:, 0]
    low, high = np.quantile(draws, [0.025, 0.975])
    p_value = float(min(1.0, 2 * min((draws <= 0).mean(), (draws >= 0).mean())))
    champion, challenger = (
        _side(v, guess, y, net) for v, guess, net in zip(versions, guesses, nets, strict=True)
    )
    curves = (nets[0].cumsum(), nets[1].cumsum())
    return Duel(
        champion,
        challenger,
        len(y),
        float(gain.mean()),
        float(low),
        float(high),
        p_value,
        times,
        curves,
    )


def _net(guess: Floats, y: Floats, settings: Settings) -> Floats:
    """Return of a moment: the outcome in the direction of a guess that exceeds the cost of both
    ways, less that cost; else nothing.
    """
    cost = 2 * settings.cost_bp
    return np.where(np.abs(guess) > cost, np.sign(guess) * y - cost, 0.0)


def _side(version: str, guess: Floats, y: Floats, net: Floats) -> Side:
    traded = net != 0
    hits = float((np.sign(guess) == np.sign(y)).mean())
    mean = float(net[traded].mean()) if traded.any() else math.nan
    return Side(
        version,
        float(np.sqrt(((guess - y) ** 2).mean())),
        metrics.rank_correlation(guess, y),
        hits,
        mean,
        int(traded.sum()),
    )
