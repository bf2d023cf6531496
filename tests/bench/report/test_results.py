"""The table on the terminal and the file."""

from io import StringIO

import orjson
import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.report import results
from bench.report.figures import Figure, Result
from bench.report.machine import Machine

TAKEN_US = 1_800_000_000_000_000
MACHINE = Machine(2, "AMD EPYC 7B13", 23.5, "Linux 6.1", "3.11.9")
FIGURES = [
    Figure("a tile", 99.5, "µs CPU", at_most=120.0, note="from both densities"),
    Figure("ticks at 100 a tile", 90_417.0, "ticks/s/core", at_least=100_000),
    Figure("a tick without its tile", 8.52, "µs CPU"),
]
RESULT = Result("flink", FIGURES, "", 3.2, 0.5, 1.5)


def printed(result, width=100):
    console = Console(file=StringIO(), record=True, width=width)
    results.show(console, result)
    return console.export_text()


def test_the_heading_describes_the_machine():
    assert results.heading(MACHINE) == (
        "2 cores, AMD EPYC 7B13, 23.5 GiB, Linux 6.1, Python 3.11.9"
    )


def test_the_title_is_the_bench_with_its_conditions():
    assert printed(RESULT).splitlines()[0].strip() == "flink (load 0.5 → 1.5, 3 s)"


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("a tile ", ("99.5", "µs CPU", "≤ 120", "yes")),
        ("ticks at 100", ("90,417", "ticks/s/core", "≥ 100,000", "no")),
        ("a tick without", ("8.52", "µs CPU")),
    ],
)
def test_a_row_has_value_unit_aim_and_whether_it_is_met(what, parts):
    row = next(line for line in printed(RESULT).splitlines() if what in line)
    cells = [cell.strip() for cell in row.split("│")]
    assert tuple(filter(None, cells[2:])) == parts


def test_a_note_is_below_what_it_explains():
    lines = printed(RESULT).splitlines()
    row = next(number for number, line in enumerate(lines) if "a tile " in line)
    assert "from both densities" in lines[row + 1]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal_and_loses_no_word(width):
    text = printed(RESULT, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for word in [
        "a",
        "tile",
        "from",
        "both",
        "densities",
        "99.5",
        "90,417",
        "ticks/s/core",
        "100,000",
        "yes",
        "no",
    ]:
        assert word in text


def test_brackets_are_text_and_not_markup():
    figure = Figure("reads", 1.0, "×", note="see [red]the log[/]")
    assert "see [red]the log[/]" in printed(Result("x", [figure]))
    assert "look [here]" in printed(Result("x", [], "BenchError: look [here]"))


def test_a_failure_is_in_the_table():
    text = printed(Result("replay", [], "ServiceError: kafka is not ready"))
    assert "failed: ServiceError: kafka is not ready" in text


def test_the_figures_measured_before_a_failure_stay():
    text = printed(Result("replay", FIGURES[:1], "KafkaException: broker down"))
    assert "99.5" in text
    assert "failed: KafkaException: broker down" in text


def test_the_file_is_named_by_utc_time_and_its_folder_is_made(tmp_path):
    file = results.save(tmp_path / "new" / "bench", MACHINE, [], TAKEN_US)
    assert file == tmp_path / "new" / "bench" / "20270115T080000Z.json"
    assert orjson.loads(file.read_bytes())["taken_at"] == "2027-01-15T08:00:00+00:00"


def test_the_file_has_the_machine_and_all_results_with_their_aims(tmp_path):
    failed = Result("replay", [], "BenchError: nothing arrived", 1.0, 2.0, 3.0)
    saved = orjson.loads(results.save(tmp_path, MACHINE, [RESULT, failed], TAKEN_US).read_bytes())
    assert saved["machine"] == {
        "cores": 2,
        "model": "AMD EPYC 7B13",
        "memory_gib": 23.5,
        "system": "Linux 6.1",
        "python": "3.11.9",
    }
    flink, replay = saved["results"]
    assert flink["figures"][0] == {
        "what": "a tile",
        "value": 99.5,
        "unit": "µs CPU",
        "at_least": None,
        "at_most": 120.0,
        "note": "from both densities",
        "met": True,
    }
    assert [figure["met"] for figure in flink["figures"]] == [True, False, None]
    assert (flink["elapsed_s"], flink["load_before"], flink["load_after"]) == (3.2, 0.5, 1.5)
    assert (replay["bench"], replay["failure"]) == ("replay", "BenchError: nothing arrived")


def test_a_later_file_does_not_replace_an_earlier_one(tmp_path):
    first = results.save(tmp_path, MACHINE, [RESULT], TAKEN_US)
    second = results.save(tmp_path, MACHINE, [], TAKEN_US + 1_000_000)
    assert first != second
    assert orjson.loads(first.read_bytes())["results"]


def test_numbers_that_are_not_finite_are_null_in_the_file(tmp_path):
    result = Result("flink", [Figure("a tile", float("nan"), "µs CPU", at_most=1.0)])
    saved = orjson.loads(results.save(tmp_path, MACHINE, [result], TAKEN_US).read_bytes())
    assert saved["results"][0]["figures"][0]["value"] is None
    assert saved["results"][0]["figures"][0]["met"] is False
