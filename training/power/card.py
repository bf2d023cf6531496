"""The model card: what the model is, what it saw, what it achieved alongside doing nothing, and
what it must not be used for.
"""

from collections.abc import Mapping

from training.power.features import FEATURES
from training.power.split import Parts
from training.run.gate import Verdict
from training.run.provenance import iso

CARD = "model_card.md"


def card(
    series: str,
    parts: Parts,
    verdict: Verdict,
    numbers: Mapping[str, float],
    parameters: Mapping[str, object],
    sha256: str,
) -> str:
    """Markdown; all that it says also stands in the run's numbers, parameters and tags."""
    checks = "\n".join(
        f"| {c.name} | {c.value:.4g} | {c.relation} {c.limit:g} |"
        f" {'yes' if c.passed else '**no**'} |"
        for c in verdict.checks
    )
    shares = "\n".join(
        f"| {name} | {numbers[f'rmse_over_train_std.{name}']:.3f} |"
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

## The gate, on the test hours
| check | value | must be | passed |
|---|---|---|---|
{checks}

## RMSE over the training hours' standard deviation
| forecast | share |
|---|---|
{shares}

## Limits
One city and less than one year: no holiday is known to it, and no second summer. The weather is not
used, since its forecast is not in the data. The model was fitted on hours before the validation and
test days; it is what was tested, not a refit.
"""


def _period(part: object) -> str:
    times = part["event_time_us"]  # type: ignore[index]
    return f"{iso(times[0])} to {iso(times[-1])}, {len(times):,} hours"
