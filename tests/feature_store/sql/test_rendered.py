"""Properties of the rendered SQL, of both modes: names, order, literals, windows, columns."""

import re

import pytest

from contracts.features import COLUMNS, FEATURES, columns
from contracts.windows import LABELS, LEVELS
from feature_store.sql import tiles, windows

LADDERS = {
    "stream": windows.ladder("stream"),
    "batch": windows.ladder("batch"),
    "batch without duplicates": windows.ladder("batch", duplicates=False),
}
RESULTS = {f"rows_{level.view}" for level in LEVELS}
ladders = pytest.mark.parametrize("ladder", LADDERS.values(), ids=LADDERS)


def sources(select: str) -> set[str]:
    """The tables and views that a statement reads, those of TUMBLE included."""
    return set(re.findall(r"(?:FROM|TABLE) (\w+)", select)) - {"TUMBLE"}


@ladders
def test_every_view_reads_only_what_was_created_before_it(ladder):
    created = {"windowed_ticks"}
    for view in ladder:
        assert sources(view.select) <= created, view.name
        created.add(view.name)


@ladders
def test_every_view_has_its_name_once_and_is_read(ladder):
    names = [view.name for view in ladder]
    assert len(set(names)) == len(names)
    read = set().union(*(sources(view.select) for view in ladder))
    assert set(names) - read == RESULTS


@ladders
def test_parentheses_and_quotes_are_balanced(ladder):
    for view in ladder:
        assert view.select.count("(") == view.select.count(")"), view.name
        assert view.select.count("'") % 2 == view.select.count("`") % 2 == 0, view.name
        assert not re.search(r"\{|\}", view.select), "a name that was not replaced"


@ladders
def test_no_name_begins_with_a_digit_and_no_value_is_a_number_of_python(ladder):
    for view in ladder:
        words = set(re.findall(r"\b[A-Za-z_]\w*\b", view.select))
        assert not words & {"None", "True", "False", "nan", "inf"}, view.name
        assert not re.search(r"\b\d+[a-df-z_]\w*", view.select), view.name


@ladders
def test_the_published_columns_are_those_of_the_contract_in_their_order(ladder):
    by_name = {view.name: view.select for view in ladder}
    for level in LEVELS:
        names = re.findall(r" AS (\w+)(?=,\n|\nFROM)", by_name[f"rows_{level.view}"])
        assert names == [column.name for column in columns(level)]


def test_named_views_are_pairs_in_their_order():
    views = (tiles.SqlView("a", "SELECT 1"), tiles.SqlView("b", "SELECT 2"))
    assert windows.to_pairs(views) == (("a", "SELECT 1"), ("b", "SELECT 2"))


def test_only_the_stream_uses_time_attributes():
    batch = " ".join(
        view.select for name in ("batch", "batch without duplicates") for view in LADDERS[name]
    )
    stream = " ".join(view.select for view in LADDERS["stream"])
    for word in ("TUMBLE", "INTERVAL", "window_time", "DESCRIPTOR"):
        assert word in stream and word not in batch


def test_both_modes_have_the_same_rows_and_the_same_terms():
    stream, batch = ({v.name: v.select for v in LADDERS[mode]} for mode in ("stream", "batch"))
    same = [name for name in stream if name.startswith(("rows_", "terms_", "closes_"))]
    assert len(same) == 3 * len(LEVELS)
    assert {name: stream[name] for name in same} == {name: batch[name] for name in same}


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_a_window_ends_with_its_row_and_begins_one_bar_less_before_it(level):
    for index, w in enumerate(level.windows_s):
        select = windows.window(level, index, "batch").select
        (preceding,) = re.findall(r"RANGE BETWEEN (\d+) PRECEDING AND CURRENT ROW", select)
        assert int(preceding) == w - level.tile_s, "a range includes both of its ends"


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_the_interval_of_the_stream_is_the_same_length(level):
    for index, w in enumerate(level.windows_s):
        select = windows.window(level, index, "stream").select
        parts = re.findall(r"INTERVAL '(\d+) (\d\d):(\d\d):(\d\d)' DAY TO SECOND", select)
        days, hours, minutes, seconds = map(int, parts[0])
        assert len(parts) == 1
        assert ((days * 24 + hours) * 60 + minutes) * 60 + seconds == w - level.tile_s


def test_an_interval_may_be_longer_than_a_day():
    assert windows._range(90_061, "stream") == "INTERVAL '1 01:01:01' DAY TO SECOND"
    assert windows._range(90_061, "batch") == "90061"


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_windows_of_a_level_are_a_chain(level):
    views = [windows.window(level, i, "batch") for i in range(len(level.windows_s))]
    assert [view.name for view in views] == [
        f"win_{level.view}_{LABELS[w]}" for w in level.windows_s
    ]
    chain = [f"terms_{level.view}", *(view.name for view in views[:-1])]
    assert [sources(view.select) for view in views] == [{name} for name in chain]
    assert [" AS known_w" in view.select for view in views] == [
        w == level.window_max_s for w in level.windows_s
    ]


def test_a_feature_is_null_before_its_window_is_full():
    for level in LEVELS:
        select = windows.rows(level).select
        for feature in FEATURES:
            for w in set(feature.windows_s) & set(level.windows_s):
                (line,) = [x for x in select.splitlines() if f" AS {feature.name}_{LABELS[w]}" in x]
                assert line.strip().startswith(f"CASE WHEN warm_s < {w}")


def test_the_gold_rows_have_every_column_once_per_level_and_nulls_elsewhere():
    selects = windows.union_rows().split("\nUNION ALL ")
    assert len(selects) == len(LEVELS)
    for level, select in zip(LEVELS, selects, strict=True):
        own = {column.name for column in columns(level)}
        listed = select.partition("warm_s, ")[2].partition(" FROM ")[0].split(", ")
        assert listed == [
            c.name if c.name in own else f"CAST(NULL AS DOUBLE) AS {c.name}" for c in COLUMNS
        ]
        assert select.startswith(f"SELECT '{level.view}' AS `view`, symbol,")


def test_bars_are_cut_from_the_level_below_in_its_seconds():
    for lower, level in zip(LEVELS, LEVELS[1:], strict=False):
        stream, batch = (tiles.bars(mode, lower, level).select for mode in ("stream", "batch"))
        assert f"TABLE base_{lower.view}, DESCRIPTOR(wt), INTERVAL '{level.tile_s}'" in stream
        assert f"((sec - 1) / {level.tile_s} + 1) * {level.tile_s} AS ends" in batch


def test_without_duplicates_no_trade_is_grouped():
    assert not any("trade_id" in view.select for view in LADDERS["batch without duplicates"])
    assert any("trade_id" in view.select for view in LADDERS["batch"])


def test_a_tick_enters_its_tile_with_the_time_attribute_last():
    assert tiles.tile_input().endswith(", et")
    assert f"ROW({tiles.TRADE}) AS tick" in tiles.tile_input()
