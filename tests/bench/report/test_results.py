"""The table on the terminal and the file."""

from io import StringIO

import orjson
from rich.console import Console

from bench.report import machine, results
from bench.report.figures import Figure, Result

START_US = 1_800_000_000_000_000


def test_the_report_is_a_table_and_a_file(tmp_path):
    result = Result(
        "flink",
        [Figure("a tile", 99.5, "µs CPU", at_most=120.0, note="from both")],
        "",
        3.2,
        0.5,
        1.5,
    )
    file = results.save(tmp_path / "bench", machine.describe(), [result], START_US)
    saved = orjson.loads(file.read_bytes())
    assert file.name == "20270115T080000Z.json"
    assert saved["machine"]["cores"] >= 1
    assert saved["results"][0]["figures"][0] | {"met": True} == saved["results"][0]["figures"][0]
    console = Console(file=StringIO(), record=True, width=100)
    results.show(console, result)
    text = console.export_text()
    assert all(
        part in text for part in ("load 0.5 → 1.5", "a tile", "99.5", "≤ 120", "yes", "from both")
    )
