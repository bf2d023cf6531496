"""Walk-forward folds in the history before the hold-out days.

The history is cut into blocks of equally many decisions. Each block but the first is tested by
models trained on the rows before it. All symbols of one decision are in the same block.
"""

import polars as pl

from training.tick.data.split import Split, purged_split
from training.tick.model import ROWS_MIN

TRAINING_ROWS_MIN = 2 * ROWS_MIN  # with fewer rows, most trees have at most one split
TEST_DECISIONS_MIN = 360  # six hours at one a minute; a Sharpe ratio over fewer is mostly noise


def cut_folds(history: pl.DataFrame, fold_count: int, embargo_us: int) -> list[Split]:
    """Up to `fold_count` folds of a data set's rows, in time order.

    There are fewer, possibly none, if the blocks would be too short. Every decision after the first
    block is in one test. Labels of the training rows end at least `embargo_us` before the test.
    """
    decisions = history["decision_us"].unique().sort()
    for count in range(fold_count, 0, -1):
        if len(decisions) // (count + 1) < TEST_DECISIONS_MIN:
            continue
        starts = [
            int(decisions[len(decisions) * block // (count + 1)]) for block in range(1, count + 1)
        ]
        if _training_rows(history, starts[0], embargo_us) >= TRAINING_ROWS_MIN:
            ends = [*starts[1:], int(decisions[-1]) + 1]
            return [
                purged_split(history, start, end, embargo_us)
                for start, end in zip(starts, ends, strict=True)
            ]
    return []


def shortfall_note(count: int, fold_count: int) -> str:
    """Why there are fewer folds than `fold_count`; empty if there are as many."""
    if count >= fold_count:
        return ""
    return (
        f"{count} of {fold_count} folds: the history before the hold-out days is short (each needs"
        f" {TEST_DECISIONS_MIN} test decisions, the first {TRAINING_ROWS_MIN} training rows before"
        " its embargo)"
    )


def _training_rows(history: pl.DataFrame, test_from_us: int, embargo_us: int) -> int:
    return history.filter(pl.col("exit_us") < test_from_us - embargo_us).height
