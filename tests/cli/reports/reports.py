"""Results of trainings and comparisons with chosen numbers, to print."""

from dataclasses import replace

from training.run.gate import GateCheck, GateVerdict
from training.tick.all_steps import TickTraining
from training.tick.evaluation.backtest import BacktestReport
from training.tick.evaluation.walk_forward import FoldReport, WalkForward

BACKTEST = BacktestReport(
    cost_bp=1.0,
    sharpe=1.23456,
    sharpe_daily=1.1,
    sharpe_minute=0.001,
    max_drawdown=0.0321,
    psr=0.99,
    total_return=0.1,
    turnover=12.5,
    hit_rate=0.515,
    break_even_bp=1.75,
    trades=1234,
    days=7,
    ic=0.0456,
    rank_ic=0.0412,
)
THRESHOLDS = ("sharpe", "max_drawdown")
PASSED = GateVerdict(
    (GateCheck("sharpe", 1.5, ">", 1.0), GateCheck("max_drawdown", 0.1, "<", 0.2)), THRESHOLDS
)
REFUSED = GateVerdict(
    (GateCheck("sharpe", 0.5, ">", 1.0), GateCheck("max_drawdown", 0.1, "<", 0.2)),
    THRESHOLDS,
    ("the data ends too early",),
)
FOLD = FoldReport(
    1,
    train_rows=12_345,
    test_rows=6_789,
    left_out=60,
    test_from_us=1_709_251_200_000_000,
    test_to_us=1_709_337_600_000_000,
    reports=dict.fromkeys(("random_forest", "lightgbm", "ols"), BACKTEST),
)
WALK = WalkForward([FOLD, replace(FOLD, number=2)], {"random_forest": BACKTEST}, "")
NO_WALK = WalkForward([], {}, "8 days are too few for folds")


def tick_training(**fields: object) -> TickTraining:
    """A training whose model was promoted; `fields` override."""
    defaults = {
        "run_id": "0123456789abcdef0123456789abcdef",
        "verdict": PASSED,
        "version": "3",
        "reports": {0.0: BACKTEST, 1.0: BACKTEST},
        "comparisons": {"lightgbm": BACKTEST},
        "walk_forward": WALK,
        "train_rows": 123_456,
        "test_rows": 7_890,
        "trained_on": "BINANCE:BTCUSDT",
        "synthetic": False,
        "dsr": 0.987,
        "trainings": 4,
        "sharpe_interval": (0.5, 2.5),
    }
    return TickTraining(**{**defaults, **fields})
