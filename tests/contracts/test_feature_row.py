"""The record of topic `tick_features`: its identity, what it was computed from, its features."""

import pytest

from contracts import feature_row
from contracts.features import COLUMNS, columns
from contracts.fields import Kind, names
from contracts.windows import LEVELS
from tests.support.feature_rows import AWKWARD
from tests.support.feature_rows import feature_row as row_of


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_a_row_has_its_identity_first_and_the_features_of_its_level_last(level):
    fields = names(feature_row.fields(level))
    assert fields[:3] == ("view", "symbol", "event_time_ms")
    assert fields[3:5] == ("known_at_us", "warm_s")
    assert fields[5:] == tuple(column.name for column in columns(level))


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.view)
def test_the_row_of_a_test_is_complete(level):
    assert tuple(row_of(level.view)) == names(feature_row.fields(level))


def test_features_may_be_null_and_nothing_else():
    for field in feature_row.FIELDS:
        is_feature = field.kind is Kind.REAL
        assert field.required is not is_feature
    assert None in AWKWARD


def test_a_row_of_any_level_has_the_features_of_all():
    assert len(set(names(feature_row.FIELDS))) == len(feature_row.FIELDS) == 5 + len(COLUMNS)
    for level in LEVELS:
        assert set(feature_row.fields(level)) <= set(feature_row.FIELDS)


def test_a_heartbeat_is_not_a_view():
    assert feature_row.HEARTBEAT_VIEW not in {level.view for level in LEVELS}


def test_no_feature_is_named_like_the_identity_or_a_time():
    reserved = {*names(feature_row.IDENTITY), *names(feature_row.METADATA), "event_time", "_ts"}
    assert not reserved & {column.name for column in COLUMNS}
