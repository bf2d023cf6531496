"""Cost and memory of a backfill, from measured ranges."""

import pytest

from bench.measures import backfill


def test_a_backfill_is_measured_by_the_margin_and_by_memory():
    runs = [
        backfill.RangeCost(p, n, c, 1e-5 * n, 1.0, m, 10 * m)
        for p, n, c, m in zip(
            (100, 100, 100, 100, 5, 5, 100, 100),
            (1, 10, 50, 200, 10, 30, 10, 50),
            (9, 1, 2, 5, 2, 4, 1, 3),
            (1, 10, 11, 12, 9, 9, 9, 9),
            strict=True,
        )
    ]
    dense, jit, sparse, duplicated, tile, client, worker = backfill.figures(runs, 160)
    assert jit.value == pytest.approx(10)
    assert (
        dense.value == pytest.approx(50)
        and sparse.value == pytest.approx(10)
        and duplicated.value == pytest.approx(20)
    )
    assert tile.value == pytest.approx((1e5 - 2e4) / (1 / 5 - 1 / 100))
    assert (
        client.value == pytest.approx(1.2)
        and client.met
        and worker.value == pytest.approx(0.75)
        and worker.met
    )
