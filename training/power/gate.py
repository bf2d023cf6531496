"""The gate of the power model: two limits on the hold-out days, constants as for the tick model.

A small error alone is easy to reach, because consumption repeats daily and weekly. So the model
must also be better than both naive forecasts: the same hour of yesterday and of last week.
"""

import math

from training.run.gate import GateCheck, GateVerdict

ERROR_MAX = 0.20
SKILL_MIN = 0.0
DAYS_MIN = 28
ERROR, SKILL = "rmse_over_train_std", "skill"


def error_ratio(error: float, reference: float) -> float:
    """`error` / `reference`; NaN unless `reference` is positive."""
    return error / reference if reference > 0 else math.nan


def skill_score(rmse: float, naive_24_rmse: float, naive_168_rmse: float) -> float:
    """Skill score 1 - RMSE / min(naive RMSEs): positive if the model is better than both.

    NaN if a naive RMSE is not finite or the smaller one is 0. Source: Murphy (1988), "Skill Scores
    Based on the Mean Square Error", here of the root.
    """
    if not (math.isfinite(naive_24_rmse) and math.isfinite(naive_168_rmse)):
        return math.nan
    return 1 - error_ratio(rmse, min(naive_24_rmse, naive_168_rmse))


def evaluate_power_gate(
    rmse: float, train_std: float, naive_24_rmse: float, naive_168_rmse: float, test_days: float
) -> GateVerdict:
    """Verdict on the test hours; RMSEs and standard deviation in kW. Undefined values fail."""
    checks = (
        GateCheck(ERROR, error_ratio(rmse, train_std), "<", ERROR_MAX),
        GateCheck(SKILL, skill_score(rmse, naive_24_rmse, naive_168_rmse), ">", SKILL_MIN),
        GateCheck("test_days", test_days, ">=", DAYS_MIN),
    )
    return GateVerdict(checks, thresholds=(ERROR,))
