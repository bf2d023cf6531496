"""A record's fields as data. Each package derives its own types from a field's kind: Flink SQL,
polars, Iceberg.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a field's values, independent of the system that stores them."""

    TEXT = "text"
    FLAG = "flag"  # true or false
    INT = "int"  # 32 bits
    LONG = "long"  # 64 bits
    REAL = "real"  # double precision
    OBJECT = "object"  # a JSON object, stored as its text


@dataclass(frozen=True, slots=True)
class Field:
    """One field. A text has 1 to `chars_max` characters, 0 means unlimited."""

    name: str
    kind: Kind
    required: bool = False
    chars_max: int = 0


def names(fields: Iterable[Field], *kinds: Kind) -> tuple[str, ...]:
    """Names of the fields of these kinds, or of all fields."""
    return tuple(field.name for field in fields if not kinds or field.kind in kinds)
