"""The gate to Production: every number a model must show, net of cost, on days it has never seen.
It fails closed.

The thresholds are the mission's, kept here and not in the settings: no environment variable lowers
them. On pure noise the two thresholds alone pass 39 % of seven-day tests, together with PSR 4 %;
hence `threshold_pass` and `gate_pass`.
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
class Check:
    """One line of the verdict: `value` must be `relation` `limit`, else the model is refused."""

    name: str
    value: float
    relation: str
    limit: float

    @property
    def passed(self) -> bool:
        """False for anything that is not a finite number, on either side."""
        if not (math.isfinite(self.value) and math.isfinite(self.limit)):
            return False
        return {
            ">": self.value > self.limit,
            ">=": self.value >= self.limit,
            "<": self.value < self.limit,
        }[self.relation]

    @property
    def reason(self) -> str:
        """Why the model is refused, with its numbers."""
        return f"{self.name} {self.value:.6g} is not {self.relation} {self.limit:.6g}"


@dataclass(frozen=True)
class Verdict:
    """The decision and all its checks; `obstacles` are reasons that no number expresses."""

    checks: tuple[Check, ...]
    obstacles: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ("sharpe", "max_drawdown")

    @property
    def threshold_pass(self) -> bool:
        """The mission's thresholds alone, by name; of the tick model Sharpe and drawdown."""
        return all(check.passed for check in self.checks if check.name in self.thresholds)

    @property
    def gate_pass(self) -> bool:
        """Whether the model may become Production."""
        return bool(self.checks) and not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Every reason for a refusal; empty when the gate is passed."""
        return [check.reason for check in self.checks if not check.passed] + list(self.obstacles)

    def as_dict(self) -> dict[str, object]:
        """The verdict as plain JSON values; a number that is none is its name as text."""
        checks = [
            {
                **asdict(check),
                "value": _plain(check.value),
                "limit": _plain(check.limit),
                "passed": check.passed,
            }
            for check in self.checks
        ]
        kept = {"obstacles": list(self.obstacles), "thresholds": list(self.thresholds)}
        return {
            "threshold_pass": self.threshold_pass,
            "gate_pass": self.gate_pass,
            "reasons": self.reasons,
            "checks": checks,
            **kept,
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Verdict":
        """The verdict that `as_dict` wrote down; whether it passes is judged again from its
        checks."""
        checks = (
            Check(each["name"], float(each["value"]), each["relation"], float(each["limit"]))
            for each in plain["checks"]
        )
        return cls(tuple(checks), tuple(plain["obstacles"]), tuple(plain["thresholds"]))


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def judge(
    sharpe: float,
    max_drawdown: float,
    psr: float,
    days: float,
    trades: float,
    incumbent_sharpe: float | None = None,
    obstacles: tuple[str, ...] = (),
) -> Verdict:
    """The verdict on one test window, net of cost; `incumbent_sharpe` is Production's on the same
    window, None when there is none.
    """
    checks = [
        Check("sharpe", sharpe, ">", SHARPE_MIN),
        Check("max_drawdown", max_drawdown, "<", DRAWDOWN_MAX),
        Check("psr", psr, ">=", PSR_MIN),
        Check("test_days", days, ">=", DAYS_MIN),
        Check("trades", trades, ">=", TRADES_MIN),
    ]
    if incumbent_sharpe is not None:
        checks.append(Check("sharpe_against_production", sharpe, ">=", incumbent_sharpe))
    return Verdict(tuple(checks), obstacles)
