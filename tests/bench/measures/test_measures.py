"""The benches run and return their figures; no test asserts how fast anything is."""

import pytest

from bench.measures import as_of_join, bulk_load, exchange, online_read, parity

TINY = 0.02


def test_exchange_yields_a_rate_per_market():
    figures = exchange.measure(TINY)
    assert [figure.unit for figure in figures] == ["ticks/s CPU"] * 2
    assert all(figure.value > 0 and figure.at_least == exchange.AIM_PER_S for figure in figures)


def test_bulk_load_is_measured_against_a_bare_append_and_a_copy():
    figures = bulk_load.measure(TINY / 5)
    assert [figure.unit for figure in figures] == [
        "ticks/s CPU",
        "ticks/s",
        *["ticks/s CPU"] * 4,
        "×",
    ]
    assert all(figure.value > 0 for figure in figures)


def test_parity_is_measured_against_a_bare_read(monkeypatch):
    monkeypatch.setattr(parity, "HOURS", 1)
    figures = parity.measure(TINY)
    assert figures[0].at_most == parity.AIM_S and "4,020 rows on each side" in figures[0].note
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.filterwarnings("ignore")  # Feast, dask and pandas warn of each other
def test_the_join_is_measured_against_polars_and_feast(monkeypatch):
    monkeypatch.setattr(as_of_join, "FEAST_ROWS", 50)
    figures = as_of_join.measure(TINY / 10)
    assert [figure.unit for figure in figures] == ["rows/s CPU", "rows/s CPU", "×", "rows/s CPU"]
    assert figures[0].note.startswith("2,000 decisions, 2,000 usable") and all(
        figure.value > 0 for figure in figures
    )


@pytest.mark.integration
def test_online_read_is_compared_with_a_raw_read_and_leaves_nothing_running():
    figures = online_read.measure(TINY)
    assert [figure.unit for figure in figures] == ["×"] * 3
    assert all(figure.value > 0 for figure in figures)
