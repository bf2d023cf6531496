"""Folds of random histories: no label of training meets a test block, the embargo holds, time runs
forward, each row is tested once.
"""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from purgedcv.diagnostics import assert_no_temporal_leakage

from tests.support.market import T0, S
from training.tick.data import folds


@st.composite
def histories(draw):
    """Rows of one to three symbols, some minutes missing, sessions with pauses, exits up to six
    minutes late.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sessions = draw(st.lists(st.integers(500, 3000), min_size=1, max_size=4))
    pause = draw(st.integers(0, 3000))
    minutes = np.concatenate(
        [np.arange(length) + sum(sessions[:at]) + at * pause for at, length in enumerate(sessions)]
    )
    parts = []
    for symbol in "ABC"[: draw(st.integers(1, 3))]:
        own = minutes[rng.random(len(minutes)) < draw(st.sampled_from([0.7, 1.0]))]
        decision = T0 + own * 60 * S
        exit_us = decision + 65 * S + (rng.random(len(own)) * 300 * S).astype(np.int64)
        parts.append(
            pl.DataFrame(
                {"symbol": [symbol] * len(own), "decision_us": decision, "exit_us": exit_us}
            )
        )
    return pl.concat(parts).sort("decision_us", "symbol")


embargoes = st.integers(0, 4 * 3600 * S)
wanted = st.integers(1, 8)


@settings(max_examples=60)
@given(histories(), wanted, embargoes)
def test_no_training_label_reaches_the_embargo_before_its_test_block(history, count, embargo_us):
    for fold in folds.cut_folds(history, count, embargo_us):
        assert fold.train["exit_us"].max() < fold.test["decision_us"].min() - embargo_us
        assert fold.train["decision_us"].max() < fold.test["decision_us"].min()
        assert len(fold.train) >= folds.TRAINING_ROWS_MIN
        assert fold.test["decision_us"].n_unique() >= folds.TEST_DECISIONS_MIN


@settings(max_examples=60)
@given(histories(), wanted, embargoes)
def test_blocks_follow_each_other_and_test_every_later_row_once(history, count, embargo_us):
    cut = folds.cut_folds(history, count, embargo_us)
    assert len(cut) <= count
    for before, after in zip(cut, cut[1:], strict=False):
        assert before.test_to_us == after.test_from_us
        assert len(before.train) < len(after.train)
    if cut:
        tested = pl.concat(fold.test for fold in cut)
        assert tested.equals(history.filter(pl.col("decision_us") >= cut[0].test_from_us))
        assert all(
            len(fold.train) + fold.left_out == (history["decision_us"] < fold.test_from_us).sum()
            for fold in cut
        )


@settings(max_examples=20)
@given(histories(), embargoes)
def test_purgedcv_finds_no_leak_either(history, embargo_us):
    times = [
        pd.Series(history[name].to_numpy().astype("datetime64[us]"))
        for name in ("decision_us", "exit_us")
    ]
    rows = history.with_row_index("row")
    for fold in folds.cut_folds(history, 5, embargo_us):
        train, test = (
            rows.join(side, on=["symbol", "decision_us"], how="semi")["row"].to_numpy()
            for side in (fold.train, fold.test)
        )
        assert_no_temporal_leakage(
            train, test, *times, purge_horizon=pd.Timedelta(embargo_us, unit="us")
        )


@pytest.mark.parametrize(("days", "count"), [(1, 0), (2, 1), (4, 3), (9, 5)])
def test_a_short_history_has_fewer_folds_down_to_none(days, count):
    decision = T0 + np.arange(int(days * 1440)) * 60 * S
    history = pl.concat(
        pl.DataFrame({"symbol": s, "decision_us": decision, "exit_us": decision + 66 * S})
        for s in "AB"
    )
    assert len(folds.cut_folds(history.sort("decision_us", "symbol"), 5, 3600 * S)) == count
    assert (folds.shortfall_note(count, 5) == "") == (count == 5)


def test_the_reason_names_what_a_fold_needs():
    assert folds.shortfall_note(0, 5).startswith("0 of 5 folds")
    assert str(folds.TRAINING_ROWS_MIN) in folds.shortfall_note(2, 5)
