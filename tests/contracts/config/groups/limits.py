"""Limits of a number in a group of settings: accepted at the bound, refused beyond it."""

import math
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from contracts.config.home import PREFIX, HomeSettings

Group = type[HomeSettings]


@dataclass(frozen=True)
class Above:
    """A lower bound that is itself refused."""

    bound: float


@dataclass(frozen=True)
class Below:
    """An upper bound that is itself refused."""

    bound: float


def accepts(group: Group, name: str, value: object) -> bool:
    """Whether the group takes the value; a refusal must name the setting."""
    try:
        settings = group(**{name: value})
    except ValidationError as error:
        assert [one["loc"] for one in error.errors()] == [(name,)]
        return False
    return getattr(settings, name) == value


def next_value(group: Group, name: str, bound: float, towards: float) -> float:
    """The nearest number on that side of the bound, of the setting's type."""
    if group.model_fields[name].annotation is int:
        return int(bound) + (1 if towards > bound else -1)
    return math.nextafter(bound, towards)


def check(group: Group, name: str, low: float | Above, high: float | Below) -> None:
    """Try both bounds, and the numbers next to them."""
    for limit, outside in ((low, -math.inf), (high, math.inf)):
        bound = limit.bound if isinstance(limit, Above | Below) else limit
        beyond = next_value(group, name, bound, outside)
        inside = next_value(group, name, bound, -outside)
        assert accepts(group, name, bound) is not isinstance(limit, Above | Below)
        assert accepts(group, name, inside)
        assert not accepts(group, name, beyond)


def numbers(group: Group) -> set[str]:
    """The settings of this group alone that are numbers."""
    own = group.model_fields.keys() - HomeSettings.model_fields.keys()
    return {name for name in own if group.model_fields[name].annotation in (int, float)}


def read_from_environment(group: Group, name: str, text: str) -> object:
    """The setting as a process reads it from its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PREFIX + name.upper(), text)
        return getattr(group(), name)
