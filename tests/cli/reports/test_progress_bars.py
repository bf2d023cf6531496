"""Progress bars: one per step, with percent, elapsed and remaining time."""

import io

import pytest
from rich.console import Console

from cli.reports.progress_bars import progress_bars


class Screen:
    """A screen of 100 columns with a clock that only the test moves."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.now_s = 0.0
        self.console = Console(file=io.StringIO(), force_terminal=terminal, width=100)

    def bars(self, period_s: float = 30.0):
        return progress_bars(self.console, period_s, clock=lambda: self.now_s)


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_each_step_has_a_bar_in_the_order_of_its_first_report(screen):
    with screen.bars() as report:
        report("download", 1, 4)
        report("train", 0, 10)
        report("download", 4, 4)
    text = screen.console.file.getvalue()
    assert text.index("download") < text.index("train")
    assert "100 %" in text and "  0 %" in text


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 10, "  0 %"), (1, 8, " 12 %"), (8, 8, "100 %"), (9, 8, "100 %")],
)
def test_the_share_is_shown_as_percent(screen, done, total, percent):
    with screen.bars() as report:
        report("step", done, total)
    assert percent in screen.console.file.getvalue()


def test_the_remaining_time_follows_the_last_rate(screen):
    with screen.bars() as report:
        for second in range(5):
            screen.now_s = float(second)
            report("step", second * 10, 100)
    assert "0:00:06" in screen.console.file.getvalue(), "60 of 100 at 10 per second"


def test_a_resumed_step_is_estimated_from_its_new_work_only(screen):
    with screen.bars() as report:
        for second in range(5):
            screen.now_s = float(second)
            report("step", 900 + second, 1_000)
    assert "0:01:36" in screen.console.file.getvalue(), "96 left at 1 per second, not at 900"


def test_without_progress_there_is_no_estimate(screen):
    with screen.bars() as report:
        report("step", 0, 10)
    assert "-:--:--" in screen.console.file.getvalue()


def test_a_total_that_becomes_known_later_counts(screen):
    with screen.bars() as report:
        report("step", 5, 5)
        report("step", 5, 20)
    assert " 25 %" in screen.console.file.getvalue()


def test_no_report_prints_nothing_to_read(screen):
    with screen.bars():
        pass
    assert "%" not in screen.console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_every_picture_and_a_file_gets_the_last(terminal):
    screen = Screen(terminal=terminal)
    with screen.bars() as report:
        report("step", 1, 2)
        report("step", 2, 2)
    output = screen.console.file.getvalue()
    assert ("\x1b" in output) is terminal
    assert " 50 %" not in output or terminal
    assert "100 %" in output


def test_an_error_inside_is_not_swallowed_and_ends_the_bars(screen):
    with pytest.raises(ZeroDivisionError), screen.bars() as report:
        report("step", 1, 2)
        raise ZeroDivisionError
    assert " 50 %" in screen.console.file.getvalue()
