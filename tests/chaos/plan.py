"""What a run does to the platform and when: the same seed gives the same list of actions."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

SERVICES = ("taskmanager", "jobmanager", "kafka", "redis", "writer", "api")
START_S = 8.0  # undisturbed load before the first action
LONG_S = 10.0
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Action:
    """One fault: `kind` does it to `target` for `duration_s`, `at_s` seconds after its phase began.

    `seed` decides what a fault of the stream contains. `joined`: together with the action before,
    without waiting for its end.
    """

    at_s: float
    kind: str
    target: str
    duration_s: float = 0.0
    seed: int = 0
    joined: bool = False

    @property
    def label(self) -> str:
        """Kind and target, the name under which results are collected."""
        return f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class Phase:
    """One row of the report: its actions under load, then a count of what arrived."""

    row: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run; `rate` is ticks per second."""

    seed: int
    rate: float
    phases: tuple[Phase, ...]

    def save(self, file: Path) -> None:
        """Write the plan as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, file: Path) -> "Plan":
        """The plan that `save` wrote."""
        content = orjson.loads(file.read_bytes())
        phases = tuple(
            Phase(phase["row"], tuple(Action(**action) for action in phase["actions"]))
            for phase in content["phases"]
        )
        return cls(content["seed"], content["rate"], phases)

    def lines(self) -> list[str]:
        """One line for each action."""
        return [
            f"{phase.row:<6} {'+' if action.joined else ' '}{action.at_s:7.1f} s  {action.label}"
            + (f" for {action.duration_s:.0f} s" if action.duration_s else "")
            for phase in self.phases
            for action in phase.actions
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of faults: what it does, how often, and the gaps between two actions.

    `faults` are (kind, target, duration in s), taken in turn.
    """

    what: str
    count: int
    gap_s: tuple[float, float]
    faults: tuple[tuple[str, str, float], ...]


def _kill(target: str) -> Row:
    return Row(f"kill -9 of the {target}", 20, (3.0, 13.0), (("kill", target, 0.0),))


def _stream(what: str, *kinds: tuple[str, float]) -> Row:
    return Row(what, 20, (1.0, 3.0), tuple((kind, "ticks", s) for kind, s in kinds))


ROWS = {
    "F1": _kill("taskmanager"),
    "F2": _kill("jobmanager"),
    "F4": _kill("kafka"),
    "F6": _kill("redis"),
    "writer": _kill("writer"),
    "api": _kill("api"),
    "F7": Row("Redis stalled by SIGSTOP", 10, (5.0, 10.0), (("stall", "redis", LONG_S),)),
    "F8": Row("FLUSHALL, then a rebuild", 10, (5.0, 10.0), (("flush", "redis", 0.0),)),
    "F12": _stream("duplicates, and half a minute sent again", ("duplicate", 5), ("resend", 0)),
    "F13": _stream("disorder within the lateness, and late ticks", ("disorder", 5), ("late", 5)),
    "F14": _stream("no ticks, only heartbeats", ("idle", 5)),
    "F15": _stream("malformed messages of every kind", ("malformed", 5)),
    "F16": _stream("event times of the future, of 1970 and of 9999", ("odd_times", 5)),
    "F15b": Row("poison: deep, long and huge messages", 1, (5.0, 5.0), (("poison", "ticks", 0),)),
    "F25": Row("10 x overload of /predict", 5, (5.0, 10.0), (("overload", "api", LONG_S),)),
    "F26": Row("SIGTERM of the API under load", 5, (5.0, 10.0), (("terminate", "api", 0.0),)),
}
PAIRS, SOAK, SMOKE = "F27", "F28", "smoke"
PAIR_COUNT = 5
SOAKED = (
    *(("kill", target, 0.0) for target in SERVICES),
    ("stall", "redis", LONG_S),
    ("malformed", "ticks", 5.0),
    ("duplicate", "ticks", 5.0),
    ("late", "ticks", 5.0),
    ("overload", "api", LONG_S),
)
SMOKED = (
    ("malformed", "ticks", 4.0),
    ("kill", "taskmanager", 0.0),
    ("duplicate", "ticks", 4.0),
    ("kill", "redis", 0.0),
    ("kill", "writer", 0.0),
    ("kill", "api", 0.0),
)
NAMES = (*ROWS, PAIRS, SOAK)


def make(rows: Sequence[str], seed: int, rate: float, count: int | None, minutes: float) -> Plan:
    """The plan of these rows: `count` actions each, by default the number of the row.

    `minutes` is the length of the soak. Raises KeyError for an unknown row. A row's actions depend
    on the seed and on its own name alone.
    """
    return Plan(seed, rate, tuple(_phase(row, seed, count, minutes) for row in rows))


def _phase(name: str, seed: int, count: int | None, minutes: float) -> Phase:
    rng = random.Random(f"{seed}/{name}")
    makers: dict[str, Callable[[], list[Action]]] = {
        PAIRS: lambda: _pairs(rng, PAIR_COUNT if count is None else count),
        SOAK: lambda: _soak(rng, minutes),
        SMOKE: lambda: _spaced(rng, SMOKED, len(SMOKED), (2.0, 6.0)),
    }
    if name in makers:
        return Phase(name, tuple(makers[name]()))
    row = ROWS[name]
    return Phase(name, tuple(_spaced(rng, row.faults, count or row.count, row.gap_s)))


def _spaced(
    rng: random.Random,
    faults: Sequence[tuple[str, str, float]],
    count: int,
    gap_s: tuple[float, float],
) -> list[Action]:
    at_s, actions = START_S, []
    for number in range(count):
        kind, target, duration_s = faults[number % len(faults)]
        actions.append(Action(round(at_s, 3), kind, target, duration_s, rng.randrange(2**31)))
        at_s += duration_s + rng.uniform(*gap_s)
    return actions


def _pairs(rng: random.Random, count: int) -> list[Action]:
    actions: list[Action] = []
    for number in range(count):
        at_s = round(START_S + number * 45 + rng.uniform(0, 10), 3)
        for place, target in enumerate(rng.sample(SERVICES, 2)):
            actions.append(Action(at_s, "kill", target, joined=place > 0))
    return actions


def _soak(rng: random.Random, minutes: float) -> list[Action]:
    """One fault in each minute, each of `SOAKED` once before any comes again."""
    actions: list[Action] = []
    order: list[tuple[str, str, float]] = []
    for minute in range(int(minutes)):
        order = order or rng.sample(SOAKED, len(SOAKED))
        kind, target, duration_s = order.pop()
        at_s = round(minute * MINUTE_S + START_S + rng.uniform(0, 20), 3)
        actions.append(Action(at_s, kind, target, duration_s, rng.randrange(2**31)))
    return actions
