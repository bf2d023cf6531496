"""Checks of feature and aggregate lines, without Flink.

A line that passes renders to SQL that Flink accepts.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import NamedTuple

from contracts.features import CONTEXT, Aggregate, Feature
from contracts.windows import LABELS
from feature_store.definition.expressions import WORD, DefinitionError, check, names_in
from feature_store.definition.reference import BAR, COUNTS, VERBS
from feature_store.sql.windows import CONSTANTS

ROW_COLUMNS = tuple(name for name in BAR if name not in ("symbol", "sec"))
WHOLE_COLUMNS = frozenset({"n", "s"})
INNER_COLUMNS = frozenset({"r", "r1"})
SUMS = frozenset({"sum", "sum_inner"})
CONSTANT_NAMES = (*CONSTANTS, "w")
RESERVED = frozenset({*CONSTANT_NAMES, "oldest"})  # names of constants and of columns of the SQL
LIMB_SUFFIXES = ("_hi", "_lo", "_over")  # suffixes of limb and overflow counter columns
NAME = re.compile(r"[a-z][a-z0-9_]*")


class Rule(NamedTuple):
    """One condition that a line must not meet, and the error where it does."""

    broken: bool
    problem: str
    hint: str


def check_lines(features: Sequence[Feature], aggregates: Sequence[Aggregate]) -> None:
    """Raises DefinitionError for the first invalid feature or aggregate line."""
    aggregate_names = [a.name for a in aggregates]
    _check_names("aggregate", aggregate_names)
    _check_names("feature", (*(f.name for f in features), *CONTEXT))
    for aggregate in aggregates:
        _check_aggregate(aggregate)
    for feature in features:
        _check_feature(feature, (*aggregate_names, *CONSTANT_NAMES))


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest of `choices`, else all of them."""
    names = sorted(choices)
    near = get_close_matches(name, names, 3, 0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of: {', '.join(names)}"


def _enforce(*rules: Rule) -> None:
    """Raise DefinitionError for the first broken rule."""
    for broken, problem, hint in rules:
        if broken:
            raise DefinitionError(problem, hint)


def _check_names(kind: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        _enforce(
            Rule(count > 1, f"two lines define {kind} {name!r}", "rename one of them or remove it"),
            Rule(
                not NAME.fullmatch(name),
                f"{name!r} is not a valid {kind} name",
                "use lower-case letters, digits and _, beginning with a letter",
            ),
        )


def _check_aggregate(aggregate: Aggregate) -> None:
    what, verb = f"aggregate {aggregate.name}", aggregate.verb
    _enforce(
        Rule(
            aggregate.name in RESERVED or aggregate.name.endswith(LIMB_SUFFIXES),
            f"{what}: this name is reserved for a constant or a column of the SQL",
            "choose another name",
        ),
        Rule(verb not in VERBS, f"{what}: unknown verb {verb!r}", nearest(verb, VERBS)),
        Rule(
            (verb in COUNTS) != (not aggregate.of),
            f"{what}: a count ({', '.join(COUNTS)}) has no `of`; every other verb needs one",
            f"`of` is an expression over {', '.join(ROW_COLUMNS)}",
        ),
    )
    check(what, aggregate.of, ROW_COLUMNS)
    used = frozenset(WORD.findall(aggregate.of)).intersection(ROW_COLUMNS)
    if aggregate.step is None:
        _check_without_step(what, aggregate, used)
    else:
        _check_step(what, verb, aggregate.step, used)


def _check_without_step(what: str, aggregate: Aggregate, used: AbstractSet[str]) -> None:
    whole = aggregate.verb == "sum" and used <= WHOLE_COLUMNS and "/" not in aggregate.of
    _enforce(
        Rule(
            aggregate.verb in SUMS and not whole,
            f"{what}: a sum of fractions needs a `step`",
            "add a power of ten, about a millionth of a typical summand",
        )
    )


def _check_step(what: str, verb: str, step: float, used: AbstractSet[str]) -> None:
    _enforce(
        Rule(
            verb not in SUMS,
            f"{what}: only sums have a `step`, {verb} takes the value as it is",
            "remove the step",
        ),
        Rule(
            not _is_power_of_ten(step),
            f"{what}: the step {step:g} is not a power of ten",
            "use one, such as 1e-4",
        ),
        Rule(
            verb == "sum_inner" and not used <= INNER_COLUMNS,
            f"{what}: sum_inner can only use r and r1, not {', '.join(sorted(used))}",
            "use the verb sum, or only r and r1",
        ),
    )


def _is_power_of_ten(number: float) -> bool:
    if not 0 < number < math.inf:
        return False
    power = math.log10(number)
    return math.isclose(power, round(power), abs_tol=1e-9)


def _check_feature(feature: Feature, names: Sequence[str]) -> None:
    what, windows = f"feature {feature.name}", {*feature.windows_s, *feature.core}
    _check_formula(what, feature.formula, names)
    _check_formula(what, feature.null_if, names)
    _enforce(
        Rule(
            not feature.formula.strip() or not 0 < feature.scale < math.inf,
            f"{what}: it needs a formula and a scale above zero, and has scale {feature.scale:g}",
            "set `scale` to the size below which a difference does not matter",
        ),
        Rule(
            not windows <= LABELS.keys(),
            f"{what}: there is no window of {min(windows - LABELS.keys(), default=0)} s",
            f"choose from {', '.join(map(str, LABELS))} s",
        ),
        Rule(
            not feature.windows_s or not windows <= set(feature.windows_s),
            f"{what}: it needs a window, and `core` may only contain its windows,"
            f" {feature.windows_s}",
            "correct windows_s or core",
        ),
    )


def _check_formula(what: str, text: str, names: Sequence[str]) -> None:
    if unknown := sorted(names_in(text).difference(names)):
        raise DefinitionError(
            f"{what}: unknown aggregate {{{unknown[0]}}}", nearest(unknown[0], names)
        )
    check(what, text)
