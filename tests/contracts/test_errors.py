"""Errors a person can act on: what happened, and what to do next."""

import pickle

import pytest

from contracts import errors
from contracts.errors import DatasetError, TickError

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TickError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_has_the_message_and_below_it_the_hint(kind):
    error = kind("the lakehouse holds no ticks", "replay a feed")
    assert str(error) == "the lakehouse holds no ticks\n  → replay a feed"
    assert (error.message, error.hint) == ("the lakehouse holds no ticks", "replay a feed")


def test_without_a_hint_the_text_is_the_message():
    assert str(DatasetError("no ticks")) == "no ticks"


@pytest.mark.parametrize("kind", KINDS)
def test_an_expected_failure_is_caught_by_its_base_and_is_not_a_standard_error(kind):
    assert issubclass(kind, TickError)
    assert not issubclass(kind, ValueError | OSError | RuntimeError)


def test_an_error_passes_between_processes_with_its_message():
    error = pickle.loads(pickle.dumps(DatasetError("no ticks", "replay a feed")))
    assert type(error) is DatasetError
    assert str(error) == "no ticks\n  → replay a feed"
