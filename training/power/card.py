"""Model card of a power model: data, metrics compared with the naive forecasts, and limits."""

from collections.abc import Mapping

import polars as pl

from training.power.features import FEATURES
from training.power.split import DataSplit
from training.run.gate import GateVerdict
from training.run.provenance import iso

CARD = "model_card.md"


def write_card(
    series: str,
    parts: DataSplit,
    verdict: GateVerdict,
    metrics: Mapping[str, float],
    parameters: Mapping[str, object],
    sha256: str,
) -> str:
    """The card in Markdown. Its content is also in the metrics, parameters and tags of the run."""
    checks = "\n".join(
        f"| {check.name} | {check.value:.4g} | {check.relation} {check.limit:g} |"
        f" {'yes' if check.passed else '**no**'} |"
        for check in verdict.checks
    )
    shares = "\n".join(
        f"| {name} | {metrics[f'rmse_over_train_std.{name}']:.3f} |"
        for name in ("model", "naive_24", "naive_168")
    )
    periods = "\n".join(f"- {name}: {_period(part)}" for name, part in vars(parts).items())
    reasons = "".join(f"\n- {reason}" for reason in verdict.reasons)
    refused = "**Refused by the gate**, hence not registered:" + reasons
    return f"""# Power consumption, day ahead: {series}

{"Passed the gate." if verdict.gate_pass else refused}

## What it is
Mean power of each hour of the next day in kW, forecast when a day ends. LightGBM with {parameters}.
Features: {", ".join(FEATURES)}. No feature is younger than 24 hours.

## Data
Ten-minute readings of `silver.power_consumption`, averaged by hour.
SHA-256 of the hours: `{sha256}`.
Public file: power consumption of Tetouan, 2017 (CC BY 4.0); its local clock is taken as UTC.
{periods}

## The gate, on the hold-out days
| check | value | must be | passed |
|---|---|---|---|
{checks}

## RMSE over the training hours' standard deviation
| forecast | share |
|---|---|
{shares}

## Limits
One city and less than one year: the model does not know holidays, and has seen one summer.
Weather is not used, because its forecast is not in the data. The model was fitted on hours before
the validation and hold-out days; the tested model is the registered one, not a refit.
"""


def _period(part: pl.DataFrame) -> str:
    times = part["event_time_us"]
    return f"{iso(times[0])} to {iso(times[-1])}, {len(times):,} hours"
