"""The parity report: its totals, its JSON, and its picture."""

import io
import json
import math

import numpy as np
import pytest
from matplotlib import image

from feature_store.parity import plot
from feature_store.parity.column_diff import CAUSES, ColumnDiff, ColumnDiffs, Where
from feature_store.parity.coverage import NO_LIVE_JOB, CoverageGap
from feature_store.parity.report import EXAMPLES_MAX, Example, ParityReport, Rows


def diff(name="volume_1m", view="tick_1s", relative=None, **counts) -> ColumnDiff:
    worst = None if relative is None else Where(relative, "V:A", 5, 1.0, 2.0)
    return ColumnDiff(name, view, worst=worst, **counts)


def report(*diffs: ColumnDiff, rows: tuple[Rows, ...] = ()) -> ParityReport:
    made = ParityReport(0, 10, 20, rows={view.view: view for view in rows})
    made.diffs.add(diffs)
    return made


def test_the_totals_are_sums_over_views_and_columns():
    totals = report(
        diff(compared=10, late=1, warm_up=2, new_column=3, relative=1e-12),
        diff("volume_5m", "tick_10s", compared=5, late=10, unexplained=4, relative=0.5),
        rows=(
            Rows("tick_1s", compared=7, missing=1, late=50),
            Rows("tick_10s", extra=2, doubled=3),
        ),
    ).totals()
    assert totals["values_compared"] == 15 and totals["rows_compared"] == 7
    assert (totals["values_late"], totals["values_warm_up"], totals["values_new_column"]) == (
        11,
        2,
        3,
    )
    assert (totals["rows_missing"], totals["rows_extra"]) == (1, 2)
    assert totals["unexplained"] == 4 + 1 + 2 + 3 and totals["largest_relative_error"] == 0.5
    assert (totals["from_us"], totals["to_us"], totals["taken_us"]) == (0, 10, 20)


def test_a_report_of_nothing_has_no_error():
    totals = report().totals()
    assert (totals["largest_relative_error"], totals["unexplained"]) == (0.0, 0)


def test_the_sum_of_diffs_does_not_change_them():
    diffs = ColumnDiffs()
    diffs.add([diff(compared=1, relative=0.1), diff("volume_5m", compared=2, relative=0.2)])
    assert diffs.total().compared == diffs.total().compared == 3
    assert [entry.compared for entry in diffs.values()] == [1, 2]
    assert diffs.total().worst.relative == 0.2


def test_what_json_does_not_have_is_null():
    made = report(
        ColumnDiff("x", "v", unexplained=1, worst=Where(math.inf, "S", 1, None, math.nan))
    )
    written = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert written["largest_relative_error"] is None
    (feature,) = written["features"]
    assert feature["worst"] == {
        "relative": None,
        "symbol": "S",
        "event_time_us": 1,
        "expected": None,
        "got": None,
    }


def test_the_whole_report_is_json_with_a_name_for_every_cause():
    made = report(diff(compared=1, late=1), rows=(Rows("tick_1s", missing=2),))
    made.coverage_gaps.append(CoverageGap(NO_LIVE_JOB, 1, 2, 3))
    made.add_example(Example("missing", "tick_1s", "V:A", 7))
    written = json.loads(json.dumps(made.as_dict()))
    assert written["stretches"] == [{"kind": NO_LIVE_JOB, "from_us": 1, "to_us": 2, "rows": 3}]
    assert written["examples"][0]["symbol"] == "V:A"
    assert written["views"][0]["missing"] == written["views"][0]["unexplained"] == 2
    assert set(CAUSES) < set(written["features"][0]) and written["features"][0]["worst"] is None
    assert written["oracle"] == {"unexplained": 0, "rows": 0, "extra": 0, "features": []}
    assert written["served"]["features"] == [] and written["served"]["malformed"] == 0


def test_what_the_reference_and_the_served_features_miss_is_unexplained():
    made = report()
    made.reference.extra, made.served.missing = 2, 3
    made.served.diffs.add([diff(unexplained=4)])
    assert made.unexplained == made.totals()["unexplained"] == 9
    assert made.as_dict()["served"]["unexplained"] == 7


def test_of_each_kind_the_first_examples_are_listed():
    made = report()
    for at in range(EXAMPLES_MAX + 3):
        made.add_example(Example("missing", "tick_1s", "V:A", at))
    made.add_example(Example("extra", "tick_1s", "V:A", 0))
    assert [example.event_time_us for example in made.examples] == [*range(EXAMPLES_MAX), 0]


def pixels(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, dpi=50, format="png")
    return image.imread(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_picture_is_not_empty_and_grows_with_the_columns(count):
    diffs = [diff(f"column_{at}", unexplained=at, late=1, relative=1e-3) for at in range(count)]
    figure = plot.draw(report(*diffs), "a title")
    drawn = pixels(figure)
    assert drawn.std() > 0.01 and figure.axes[0].get_title() == "a title"
    assert drawn.shape[0] == pytest.approx(50 * max(4.0, 1.5 + count * plot.INCH_PER_LINE), abs=1)


def test_an_error_beyond_the_axis_is_drawn_at_its_end():
    made = report(
        diff("exact"),
        diff("null", unexplained=1, relative=math.inf),
        diff("near", relative=1e-12),
    )
    left, _ = plot.draw(made, "").axes
    points = left.collections[0]
    assert points.get_offsets()[:, 0].tolist() == [plot.FLOOR, plot.TOP, 1e-12]
    red, green = (pytest.approx(colour) for colour in points.get_facecolors()[[1, 0]].tolist())
    assert points.get_facecolors()[2].tolist() == green != red
    assert [label.get_text() for label in left.get_yticklabels()] == ["exact", "null", "near"]


def test_the_bars_of_a_column_are_stacked_by_cause():
    made = report(diff(late=3, warm_up=2, new_column=5, unexplained=1), diff("volume_5m", late=7))
    _, right = plot.draw(made, "").axes
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in right.containers]
    assert bars == [[(0, 3), (0, 7)], [(3, 2), (7, 0)], [(5, 5), (7, 0)], [(10, 1), (7, 0)]]
    assert right.get_xlim() == (0, 11)
    legend = [text.get_text() for text in right.get_legend().get_texts()]
    assert legend == ["late", "warm-up", "new-column", "unexplained"]
