"""Flink's types of the fields that the contracts define."""

from collections.abc import Iterable

from contracts.fields import Field, Kind

FLINK = {
    Kind.TEXT: "STRING",
    Kind.FLAG: "BOOLEAN",
    Kind.INT: "INT",
    Kind.LONG: "BIGINT",
    Kind.REAL: "DOUBLE",
}


def declared(fields: Iterable[Field]) -> str:
    """The fields as columns of a CREATE TABLE."""
    return ", ".join(f"{field.name} {FLINK[field.kind]}" for field in fields)
