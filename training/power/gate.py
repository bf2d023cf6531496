"""The double gate of the power model, on days it never saw; it fails closed. Both limits are
constants, as those of the tick model.

The error alone is easy to pass: consumption repeats itself. So the model must also beat the better
of two forecasts that cost nothing, the same hour of yesterday and of last week.
"""

import math

from training.run.gate import Check, Verdict

ERROR_MAX = 0.20
SKILL_MIN = 0.0
DAYS_MIN = 28
ERROR, SKILL = "rmse_over_train_std", "skill"


def ratio(above: float, below: float) -> float:
    """Quotient of an error; NaN unless `below` is positive."""
    return above / below if below > 0 else math.nan


def skill(rmse: float, naive_24_rmse: float, naive_168_rmse: float) -> float:
    """1 − RMSE over that of the better naive forecast: above 0 is better than both; NaN when either
    is undefined.
    """
    if not (math.isfinite(naive_24_rmse) and math.isfinite(naive_168_rmse)):
        return math.nan
    return 1 - ratio(rmse, min(naive_24_rmse, naive_168_rmse))


def judge(
    rmse: float, train_std: float, naive_24_rmse: float, naive_168_rmse: float, test_days: float
) -> Verdict:
    """The verdict on the test hours; errors and deviation in kW. What is undefined is refused."""
    checks = (
        Check(ERROR, ratio(rmse, train_std), "<", ERROR_MAX),
        Check(SKILL, skill(rmse, naive_24_rmse, naive_168_rmse), ">", SKILL_MIN),
        Check("test_days", test_days, ">=", DAYS_MIN),
    )
    return Verdict(checks, thresholds=(ERROR,))
