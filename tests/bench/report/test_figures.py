"""Figures with their aims, and how numbers are shown."""

from bench.report.figures import Figure, format_number, quantile


def test_an_aim_is_met_or_not_or_absent():
    assert [
        Figure("", 2.0, "", at_least=1).met,
        Figure("", 2.0, "", at_most=1).met,
        Figure("", 2.0, "").met,
    ] == [True, False, None]
    assert [
        Figure("", 0, "", at_least=30_000).aim,
        Figure("", 0, "", at_most=1.5).aim,
        Figure("", 0, "").aim,
    ] == ["≥ 30,000", "≤ 1.5", ""]


def test_numbers_are_short():
    assert [format_number(value) for value in (0, 0.01234, 1.5, 99.44, 1234567.8)] == [
        "0",
        "0.0123",
        "1.5",
        "99.4",
        "1,234,568",
    ]
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(100), 0.99) == 99
