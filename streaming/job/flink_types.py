"""Flink's types of the fields that the contracts define."""

from collections.abc import Iterable

from contracts.fields import Field, Kind

FLINK = {
    Kind.TEXT: "STRING",
    Kind.FLAG: "BOOLEAN",
    Kind.INT: "INT",
    Kind.LONG: "BIGINT",
    Kind.REAL: "DOUBLE",
    Kind.OBJECT: "STRING",
}
RESERVED = frozenset({"view"})


def declared(fields: Iterable[Field], *, quoted: bool = False) -> str:
    """The fields as columns of a CREATE TABLE; reserved words, or all names, in backticks."""
    return ", ".join(
        f"`{field.name}` {FLINK[field.kind]}"
        if quoted or field.name in RESERVED
        else f"{field.name} {FLINK[field.kind]}"
        for field in fields
    )
