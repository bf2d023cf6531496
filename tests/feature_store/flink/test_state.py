"""Which readers had finished, from operators as Flink's classes describe them.

tests/integration/test_liveness.py reads a savepoint of a real job.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store.flink import state
from feature_store.flink.state import SOURCE, SPLITS

NAME = "Source: KafkaSource-default_catalog.default_database"


@dataclass
class Task:
    finished: bool

    def isFinished(self) -> bool:
        return self.finished


@dataclass
class Operator:
    """One operator of a checkpoint; also its states and its optional name."""

    name: str | None
    tasks: tuple[bool, ...] = (False, False)
    fully: bool = False

    def getStates(self) -> Any:
        return self

    def toArray(self) -> list[Task]:
        return [Task(finished) for finished in self.tasks]

    def isFullyFinished(self) -> bool:
        return self.fully

    def getOperatorName(self) -> Any:
        return self

    def orElse(self, other: str) -> str:
        return other if self.name is None else self.name

    def getOperatorID(self) -> str:
        return "cafe01"


@dataclass
class Checkpoint:
    operators: list[Operator]

    def getOperatorStates(self) -> Any:
        return self

    def toArray(self) -> list[Operator]:
        return self.operators


@pytest.fixture
def finished(monkeypatch):
    """The finished readers of a checkpoint with these operators, without a JVM."""
    gateway = pytest.importorskip("pyflink.java_gateway")

    def finished(*operators: Operator) -> list[str]:
        monkeypatch.setattr(gateway, "get_gateway", lambda: type("G", (), {"jvm": None}))
        monkeypatch.setattr(state, "_load", lambda _jvm, _state: Checkpoint(list(operators)))
        return state.finished_readers("file:/chk")

    return finished


def test_a_state_in_which_everything_runs_has_none(finished):
    assert finished(Operator(f"{NAME}.wire"), Operator("Calc[3]")) == []


def test_one_finished_task_is_enough(finished):
    assert finished(Operator(f"{NAME}.wire", (False, True)), Operator(f"{NAME}.served")) == ["wire"]


def test_a_fully_finished_source_has_no_task_states(finished):
    assert finished(Operator(f"{NAME}.wire_warm", (), fully=True)) == ["wire_warm"]


def test_tables_are_sorted_and_named_once(finished):
    both = [Operator(f"{NAME}.{table}", (True,)) for table in ("wire", "served", "wire")]
    assert finished(*both) == ["served", "wire"]


def test_a_finished_operator_that_is_not_a_source_does_not_count(finished):
    """The operators behind a bounded reader finish with it."""
    assert finished(Operator("Calc[3] -> Sink", (True, True))) == []


@pytest.mark.parametrize("name", ["Source: Values(tuples=[[1]])", "Source: KafkaSource-odd"])
def test_a_source_of_another_kind_is_named_by_its_operator(finished, name):
    assert finished(Operator(name, (True,))) == [name]


def test_an_operator_without_a_name_is_reported_by_its_id(finished):
    """It may be a source: to continue from such a state would be a guess."""
    assert finished(Operator(None, (True,))) == ["operator cafe01"]


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        (f"{NAME}.wire -> Calc[6] -> Sink: x", ["wire"]),
        (f"{NAME}.wire_raw[1] -> (A, B)", ["wire_raw"]),
        ("Calc[6] -> KafkaSource-a.b.c", []),
        ("Source: IcebergSource-a.b.c", []),
        (f"{NAME}.a, {NAME}.b", ["a", "b"]),
    ],
)
def test_a_source_is_known_by_the_planner_s_name(text, tables):
    assert SOURCE.findall(text) == tables


class Named:
    """A Java object of which only the named calls are made."""

    def __init__(self, **calls: Any) -> None:
        for name, value in calls.items():
            setattr(self, name, value if callable(value) else lambda value=value: value)


def saved_task(*splits: tuple[int, int]) -> Named:
    """A task of a source with these partitions and offsets, and a state of another name."""
    contents = [Named(getPartition=p, getStartingOffset=at) for p, at in splits]
    positions = {SPLITS: Named(getOffsets=list(range(len(contents))))}
    stream = Named(seek=lambda at: setattr(stream, "at", at), close=None)
    stream.read = lambda: contents[stream.at]
    handle = Named(getStateNameToPartitionOffsets=positions, openInputStream=stream)
    other = Named(getStateNameToPartitionOffsets={}, openInputStream=Named(close=None))
    return Named(getManagedOperatorState=Named(toArray=[other, handle]))


@pytest.fixture
def offsets(monkeypatch):
    """The offsets of a checkpoint with these operators and tasks, without a JVM."""
    gateway = pytest.importorskip("pyflink.java_gateway")
    flink = SimpleNamespace(
        connector=SimpleNamespace(
            kafka=SimpleNamespace(
                source=SimpleNamespace(split=SimpleNamespace(KafkaPartitionSplitSerializer=object))
            )
        ),
        api=SimpleNamespace(
            common=SimpleNamespace(
                typeutils=SimpleNamespace(
                    base=SimpleNamespace(
                        array=SimpleNamespace(
                            BytePrimitiveArraySerializer=SimpleNamespace(
                                INSTANCE=SimpleNamespace(deserialize=lambda view: view.read())
                            )
                        )
                    )
                )
            )
        ),
        core=SimpleNamespace(
            io=SimpleNamespace(
                SimpleVersionedSerialization=SimpleNamespace(
                    readVersionAndDeSerialize=lambda _serializer, content: content
                )
            ),
            memory=SimpleNamespace(DataInputViewStreamWrapper=lambda stream: stream),
        ),
    )
    jvm = SimpleNamespace(org=SimpleNamespace(apache=SimpleNamespace(flink=flink)))

    def offsets(**operators: list[Named]) -> dict[str, dict[int, int]]:
        made = []
        for name, tasks in operators.items():
            operator = Operator(f"{NAME}.{name}" if name != "calc" else "Calc[3]")
            operator.toArray = lambda tasks=tasks: tasks
            made.append(operator)
        monkeypatch.setattr(gateway, "get_gateway", lambda: SimpleNamespace(jvm=jvm))
        monkeypatch.setattr(state, "_load", lambda _jvm, _state: Checkpoint(made))
        return state.reader_offsets("file:/chk")

    return offsets


def test_the_offsets_of_a_reader_are_those_of_all_its_tasks(offsets):
    assert offsets(
        wire=[saved_task((0, 7), (2, 9)), saved_task((1, 0))], served=[saved_task((0, 3))], calc=[]
    ) == {"wire": {0: 7, 1: 0, 2: 9}, "served": {0: 3}}


def test_a_partition_of_which_nothing_was_read_has_no_offset(offsets):
    assert offsets(wire=[saved_task((0, -3), (1, 4))], wire_warm=[]) == {
        "wire": {1: 4},
        "wire_warm": {},
    }
