"""Walk-forward folds in the history before the gate's days: blocks of equally many decisions, each
tested by what came before it.

Borders lie between decisions, never between symbols of one decision. The first block is only
trained on.
"""

import polars as pl

from training.tick.model import ROWS_MIN
from training.tick.split import Split, purged

TRAINING_ROWS_MIN = 2 * ROWS_MIN  # with fewer, trees have one split or none
TEST_DECISIONS_MIN = 360  # six hours of minutes; over fewer, a Sharpe ratio says nothing


def cut(history: pl.DataFrame, wanted: int, embargo_us: int) -> list[Split]:
    """Up to `wanted` folds of a dataset's rows, in order of time; fewer when the blocks would be
    too short, [] when even one is.

    Every decision after the first block is tested once. Training rows are all before the test whose
    label ended `embargo_us` earlier.
    """
    decisions = history["decision_us"].unique().sort()
    for count in range(wanted, 0, -1):
        if len(decisions) // (count + 1) < TEST_DECISIONS_MIN:
            continue
        borders = [
            int(decisions[len(decisions) * block // (count + 1)]) for block in range(1, count + 1)
        ]
        if _training_rows(history, borders[0], embargo_us) >= TRAINING_ROWS_MIN:
            ends = [*borders[1:], int(decisions[-1]) + 1]
            return [
                purged(history, start, end, embargo_us)
                for start, end in zip(borders, ends, strict=True)
            ]
    return []


def shortfall(found: int, wanted: int) -> str:
    """Why there are fewer folds than wanted; empty when there are not."""
    if found >= wanted:
        return ""
    needs = (
        f"each needs {TEST_DECISIONS_MIN} test decisions, the first {TRAINING_ROWS_MIN} training"
        " rows before its embargo"
    )
    return f"{found} of {wanted} folds: the history before the test days is short ({needs})"


def _training_rows(history: pl.DataFrame, test_from_us: int, embargo_us: int) -> int:
    return history.filter(pl.col("exit_us") < test_from_us - embargo_us).height
