"""Checks of feature and aggregate lines, without Flink.

A line that passes renders to SQL that Flink accepts.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from contracts.features import CONTEXT, Aggregate, Feature
from contracts.windows import LABELS
from feature_store.definition.expressions import WORD, DefinitionError, check, names_in
from feature_store.definition.reference import BAR, COUNTS, VERBS
from feature_store.sql.windows import CONSTANTS

ROW_COLUMNS = tuple(name for name in BAR if name not in ("symbol", "sec"))
WHOLE_COLUMNS = frozenset({"n", "s"})
INNER_COLUMNS = frozenset({"r", "r1"})
CONSTANT_NAMES = (*CONSTANTS, "w")
RESERVED = frozenset({*CONSTANT_NAMES, "oldest"})  # names of constants and of columns of the SQL
LIMB_SUFFIXES = ("_hi", "_lo", "_over")  # suffixes of limb and overflow counter columns
NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_lines(features: Sequence[Feature], aggregates: Sequence[Aggregate]) -> None:
    """Raises DefinitionError for the first invalid feature or aggregate line."""
    _unique("aggregate", (a.name for a in aggregates))
    _unique("feature", (*(f.name for f in features), *CONTEXT))
    for aggregate in aggregates:
        _check_aggregate(aggregate)
    names = (*(a.name for a in aggregates), *CONSTANT_NAMES)
    for feature in features:
        _check_feature(feature, names)


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest of `choices`, else all of them."""
    names = sorted(choices)
    near = get_close_matches(name, names, 3, 0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}"


def _unique(kind: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise DefinitionError(
                f"two lines define {kind} {name!r}", "rename one of them or remove it"
            )
        if not NAME.fullmatch(name):
            raise DefinitionError(
                f"{name!r} is not a valid {kind} name",
                "use lower-case letters, digits and _, beginning with a letter",
            )


def _check_aggregate(aggregate: Aggregate) -> None:
    what = f"aggregate {aggregate.name}"
    if aggregate.name in RESERVED or aggregate.name.endswith(LIMB_SUFFIXES):
        raise DefinitionError(
            f"{what}: this name is reserved for a constant or a column of the SQL",
            "choose another name",
        )
    if aggregate.verb not in (*COUNTS, *VERBS):
        hint = nearest(aggregate.verb, (*COUNTS, *VERBS))
        raise DefinitionError(f"{what}: unknown verb {aggregate.verb!r}", hint)
    if (aggregate.verb in COUNTS) != (not aggregate.of):
        raise DefinitionError(
            f"{what}: a count ({', '.join(COUNTS)}) has no `of`; every other verb needs one",
            f"`of` is an expression over {', '.join(ROW_COLUMNS)}",
        )
    if aggregate.of:
        check(what, aggregate.of, ROW_COLUMNS)
    _check_unit(what, aggregate)


def _check_unit(what: str, aggregate: Aggregate) -> None:
    used = {word for word in WORD.findall(aggregate.of) if word in ROW_COLUMNS}
    if aggregate.unit is None:
        whole = used <= WHOLE_COLUMNS and "/" not in aggregate.of
        if aggregate.verb == "sum_inner" or (aggregate.verb == "sum" and not whole):
            raise DefinitionError(
                f"{what}: a sum of fractions needs a `unit`",
                "add a power of ten, about a millionth of a typical summand",
            )
        return
    if aggregate.verb not in ("sum", "sum_inner"):
        raise DefinitionError(
            f"{what}: only sums have a `unit`, {aggregate.verb} takes the value as it is",
            "remove the unit",
        )
    power = math.log10(aggregate.unit) if aggregate.unit > 0 else math.nan
    if not math.isclose(power, round(power) if math.isfinite(power) else 0, abs_tol=1e-9):
        raise DefinitionError(
            f"{what}: the unit {aggregate.unit:g} is not a power of ten", "use one, such as 1e-4"
        )
    if aggregate.verb == "sum_inner" and not used <= INNER_COLUMNS:
        raise DefinitionError(
            f"{what}: sum_inner can only use r and r1, not {', '.join(sorted(used))}",
            "use the verb sum, or only r and r1",
        )


def _check_feature(feature: Feature, names: Sequence[str]) -> None:
    what = f"feature {feature.name}"
    for text in filter(None, (feature.formula, feature.null_if)):
        for name in names_in(text):
            if name not in names:
                raise DefinitionError(f"{what}: unknown aggregate {{{name}}}", nearest(name, names))
        check(what, text)
    if not feature.formula.strip() or not feature.scale > 0 or not math.isfinite(feature.scale):
        raise DefinitionError(
            f"{what}: it needs a formula and a scale above zero, and has scale {feature.scale:g}",
            "set `scale` to the size below which a difference does not matter",
        )
    if unknown := sorted({*feature.windows_s, *feature.core} - LABELS.keys()):
        raise DefinitionError(
            f"{what}: there is no window of {unknown[0]} s",
            f"choose from {', '.join(map(str, LABELS))} s",
        )
    if not feature.windows_s or not set(feature.core) <= set(feature.windows_s):
        raise DefinitionError(
            f"{what}: it needs a window, and `core` may only contain its windows,"
            f" {feature.windows_s}",
            "correct windows_s or core",
        )
