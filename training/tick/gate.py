"""The gate of the tick model: checks on the hold-out days, net of costs.

The thresholds on Sharpe ratio and drawdown are requirements of the project. On pure noise, 39 % of
seven-day tests pass them; with the PSR check, 4 % do. Hence `threshold_pass` and the stricter
`gate_pass`.
"""

from training.run.gate import GateCheck, GateVerdict

SHARPE_MIN = 1.5
DRAWDOWN_MAX = 0.20
PSR_MIN = 0.95
DAYS_MIN = 7
TRADES_MIN = 100
THRESHOLDS = ("sharpe", "max_drawdown")


def evaluate_tick_gate(
    sharpe: float,
    max_drawdown: float,
    psr: float,
    days: float,
    trades: float,
    production_sharpe: float | None = None,
    obstacles: tuple[str, ...] = (),
) -> GateVerdict:
    """Verdict on the metrics of the hold-out days, net of costs.

    `sharpe` is annualised, `max_drawdown` a fraction of the peak, `psr` a probability.
    `production_sharpe` is that of the Production model on the same rows, None without one.
    """
    checks = [
        GateCheck("sharpe", sharpe, ">", SHARPE_MIN),
        GateCheck("max_drawdown", max_drawdown, "<", DRAWDOWN_MAX),
        GateCheck("psr", psr, ">=", PSR_MIN),
        GateCheck("test_days", days, ">=", DAYS_MIN),
        GateCheck("trades", trades, ">=", TRADES_MIN),
    ]
    if production_sharpe is not None:
        checks.append(GateCheck("sharpe_against_production", sharpe, ">=", production_sharpe))
    return GateVerdict(tuple(checks), THRESHOLDS, obstacles)
