"""`tick logs`: the end of each file, and what is appended to it, rotated or not."""

import pytest

from cli.logs import _print_appended, _size
from contracts.config import paths
from tests.cli.screens import screen, text


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "kafka.log"
    file.write_text("first\n")
    return file


def append(file, words: str) -> None:
    with file.open("a") as stream:
        stream.write(words)


def test_only_what_was_appended_is_printed(log):
    console, offset = screen(), _size(log)
    assert _print_appended(console, log, offset) == offset
    append(log, "second\n")
    offset = _print_appended(console, log, offset)
    append(log, "third")
    append(log, " line\n")
    offset = _print_appended(console, log, offset)
    assert text(console) == "second\nthird line\n"
    assert offset == log.stat().st_size


def test_a_file_that_became_smaller_is_printed_from_its_beginning(log):
    append(log, "long enough\n")
    console, offset = screen(), _size(log)
    log.write_text("again\n")
    assert _print_appended(console, log, offset) == len("again\n")
    assert text(console) == "again\n"


def test_a_file_that_is_missing_for_a_moment_is_printed_when_it_is_back(log):
    console, offset = screen(), _size(log)
    log.rename(log.with_suffix(".1"))
    offset = _print_appended(console, log, offset)
    assert (offset, text(console)) == (0, "")
    log.write_text("new\n")
    assert _print_appended(console, log, offset) == 4
    assert text(console) == "new\n"


def test_an_emptied_file_prints_nothing(log):
    console = screen()
    offset = _size(log)
    log.write_text("")
    assert _print_appended(console, log, offset) == 0
    assert text(console) == ""


def test_bytes_that_are_not_text_do_not_end_it(log):
    console, offset = screen(), _size(log)
    with log.open("ab") as stream:
        stream.write(b"\xff\xfe ok\n")
    _print_appended(console, log, offset)
    assert " ok" in text(console)


@pytest.mark.parametrize("lines", [1, 2, 40, 1_000])
def test_the_number_of_lines_is_that_of_the_option(tick, free_settings, lines):
    file = paths.logs(free_settings) / "redis.log"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"line {number}\n" for number in range(100)))
    output = tick(free_settings, "logs", "redis", "--lines", str(lines)).stdout.splitlines()
    assert len(output) == min(lines, 100)
    assert output[-1] == "line 99"


def test_a_long_line_is_not_broken(tick, free_settings):
    file = paths.logs(free_settings) / "redis.log"
    file.parent.mkdir(parents=True)
    file.write_text("x" * 500 + "\n")
    assert tick(free_settings, "logs", "redis").stdout == "x" * 500 + "\n"


def test_without_any_log_there_is_no_output(tick, free_settings):
    result = tick(free_settings, "logs")
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_service_that_never_ran_says_so(tick, free_settings):
    assert tick(free_settings, "logs", "redis").stdout == "(no log)\n"


def test_zero_lines_are_refused(tick, free_settings):
    assert tick(free_settings, "logs", "-n", "0").exit_code == 2
