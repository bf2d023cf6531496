"""The gate to Production, shared by all pipelines: checks and their verdict. It fails closed.

All limits are constants, not settings: no environment variable can lower them. Each pipeline has
its checks in its own package, e.g. `training.tick.gate`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


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

    `thresholds` names the checks that the project requires; `obstacles` are reasons for a refusal
    that are not a comparison of numbers.
    """

    checks: tuple[GateCheck, ...]
    thresholds: tuple[str, ...]
    obstacles: tuple[str, ...] = ()

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
        return cls(tuple(checks), tuple(values["thresholds"]), tuple(values["obstacles"]))


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
