"""The gate to Production: checks on out-of-sample metrics, net of costs. It fails closed.

The thresholds on Sharpe ratio and drawdown are requirements of the project. All limits are
constants, not settings: no environment variable can lower them. On pure noise, 39 % of seven-day
tests pass the Sharpe and drawdown thresholds; with the PSR check, 4 % do. Hence `threshold_pass`
and the stricter `gate_pass`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SHARPE_MIN = 1.5
DRAWDOWN_MAX = 0.20
PSR_MIN = 0.95
DAYS_MIN = 7
TRADES_MIN = 100


@dataclass(frozen=True)
class GateCheck:
    """One condition of a gate: `value` `relation` `limit`, where relation is >, >= or <."""

    name: str
    value: float
    relation: str
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the condition holds; False if either side is not finite."""
        if not (math.isfinite(self.value) and math.isfinite(self.limit)):
            return False
        return {
            ">": self.value > self.limit,
            ">=": self.value >= self.limit,
            "<": self.value < self.limit,
        }[self.relation]

    @property
    def reason(self) -> str:
        """Message for a failed check, with both numbers."""
        return f"{self.name} {self.value:.6g} is not {self.relation} {self.limit:.6g}"


@dataclass(frozen=True)
class GateVerdict:
    """Decision of a gate, with all checks.

    `obstacles` are reasons for a refusal that are not a comparison of numbers; `thresholds` names
    the checks that the project requires.
    """

    checks: tuple[GateCheck, ...]
    obstacles: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ("sharpe", "max_drawdown")

    @property
    def threshold_pass(self) -> bool:
        """Whether the checks named by `thresholds` pass, whatever the others say."""
        return all(check.passed for check in self.checks if check.name in self.thresholds)

    @property
    def gate_pass(self) -> bool:
        """Whether the model may become Production."""
        return bool(self.checks) and not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Every reason for a refusal; empty if all checks pass and there are no obstacles."""
        return [check.reason for check in self.checks if not check.passed] + list(self.obstacles)

    def as_dict(self) -> dict[str, object]:
        """The verdict as JSON values; NaN and infinities become text."""
        checks = [
            {
                **asdict(check),
                "value": _json_number(check.value),
                "limit": _json_number(check.limit),
                "passed": check.passed,
            }
            for check in self.checks
        ]
        return {
            "threshold_pass": self.threshold_pass,
            "gate_pass": self.gate_pass,
            "reasons": self.reasons,
            "checks": checks,
            "obstacles": list(self.obstacles),
            "thresholds": list(self.thresholds),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GateVerdict":
        """Parse the output of `as_dict`. Whether it passes is evaluated again from the checks."""
        checks = (
            GateCheck(each["name"], float(each["value"]), each["relation"], float(each["limit"]))
            for each in values["checks"]
        )
        return cls(tuple(checks), tuple(values["obstacles"]), tuple(values["thresholds"]))


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def evaluate_gate(
    sharpe: float,
    max_drawdown: float,
    psr: float,
    days: float,
    trades: float,
    incumbent_sharpe: float | None = None,
    obstacles: tuple[str, ...] = (),
) -> GateVerdict:
    """Verdict on the metrics of one test window, net of costs.

    `sharpe` is annualised, `max_drawdown` a fraction of the peak, `psr` a probability.
    `incumbent_sharpe` is that of the Production model in the same window, None without one.
    """
    checks = [
        GateCheck("sharpe", sharpe, ">", SHARPE_MIN),
        GateCheck("max_drawdown", max_drawdown, "<", DRAWDOWN_MAX),
        GateCheck("psr", psr, ">=", PSR_MIN),
        GateCheck("test_days", days, ">=", DAYS_MIN),
        GateCheck("trades", trades, ">=", TRADES_MIN),
    ]
    if incumbent_sharpe is not None:
        checks.append(GateCheck("sharpe_against_production", sharpe, ">=", incumbent_sharpe))
    return GateVerdict(tuple(checks), obstacles)
