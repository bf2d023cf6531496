"""The vertices of a job as Flink's REST API describes them: readers, labels, problems."""

from dataclasses import replace

import pytest

from contracts import live_job
from feature_store.flink.consumer_lag import MONITORED, GroupLag
from feature_store.flink.job_health import JobHealth, Vertex, lag_problems, vertices_of

SOURCE = "Source: KafkaSource-default_catalog.default_database"
VERTEX = Vertex("Calc[7] -> Sink: x", "RUNNING", 2, 2, 0, ("wire",))


def job(names: dict[str, str], inputs: dict[str, list[str]]) -> dict:
    tasks = {"RUNNING": 2, "FINISHED": 0}
    fields = {"status": "RUNNING", "parallelism": 2, "tasks": tasks}
    nodes = [
        {"id": key, "inputs": [{"id": other} for other in inputs.get(key, ())]} for key in names
    ]
    return {
        "vertices": [{"id": key, "name": name, **fields} for key, name in names.items()],
        "plan": {"nodes": nodes},
    }


def readers(names: dict[str, str], inputs: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {vertex.name: vertex.readers for vertex in vertices_of(job(names, inputs))}


def test_a_vertex_is_read_field_by_field():
    described = job({"a": "Calc[1]"}, {})
    described["vertices"][0] |= {"status": "FAILED", "parallelism": 5}
    described["vertices"][0]["tasks"] = {"RUNNING": 1, "FINISHED": 3, "FAILED": 1}
    assert vertices_of(described) == (Vertex("Calc[1]", "FAILED", 5, 1, 3, ()),)


def test_readers_are_those_of_every_source_upstream():
    names = {"a": f"{SOURCE}.wire -> Calc", "b": f"{SOURCE}.served", "c": "Join", "d": "Sink"}
    found = readers(names, {"c": ["a", "b"], "d": ["c"]})
    assert found["Join"] == found["Sink"] == ("served", "wire")
    assert found[names["a"]] == ("wire",)


def test_a_diamond_and_a_cycle_in_the_plan_end():
    names = {"a": f"{SOURCE}.wire", "b": "B", "c": "C", "d": "D"}
    found = readers(names, {"b": ["a", "d"], "c": ["a"], "d": ["b", "c"]})
    assert {found[name] for name in "BCD"} == {("wire",)}


def test_a_plan_node_without_inputs_is_a_source():
    described = job({"a": f"{SOURCE}.wire"}, {})
    del described["plan"]["nodes"][0]["inputs"]
    assert vertices_of(described)[0].readers == ("wire",)


def test_vertices_with_sources_come_first_in_their_order():
    names = {"a": "Calc", "b": f"{SOURCE}.wire", "c": "Sink", "d": f"{SOURCE}.served"}
    order = [vertex.name for vertex in vertices_of(job(names, {}))]
    assert order == [names[key] for key in "bdac"]


def test_two_sources_in_one_vertex_are_both_its_tables():
    vertex = replace(VERTEX, name=f"{SOURCE}.wire -> Calc, {SOURCE}.served")
    assert vertex.tables == ("wire", "served")
    assert vertex.label == "reader wire, served"


def test_a_vertex_without_a_source_is_labelled_by_its_first_operator():
    assert (VERTEX.tables, VERTEX.label) == ((), "Calc[7]")


@pytest.mark.parametrize(
    ("upstream", "may"),
    [
        ((), False),
        (live_job.ENDING_READERS, True),
        (("wire",), False),
        ((*live_job.ENDING_READERS, "wire"), False),
    ],
)
def test_only_what_bounded_readers_feed_may_finish(upstream, may):
    vertex = replace(VERTEX, readers=upstream, running=0, finished=2, status="FINISHED")
    assert (vertex.may_finish, vertex.works) == (may, may)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"finished": 1, "running": 1}, "has FINISHED (1 of 2 tasks) but must run"),
        ({"running": 1, "status": "RESTARTING"}, "is RESTARTING (1 of 2 tasks run)"),
        (
            {"readers": live_job.ENDING_READERS, "running": 0, "finished": 1, "status": "FAILED"},
            "is FAILED (0 of 2 tasks run)",
        ),
    ],
)
def test_a_problem_says_which_vertex_and_how_many_tasks(change, problem):
    vertex = replace(VERTEX, **change)
    assert not vertex.works
    assert vertex.problem == f"Calc[7] {problem}"


def test_a_table_works_while_its_vertex_does():
    good = replace(VERTEX, name=f"{SOURCE}.wire")
    bad = replace(VERTEX, name=f"{SOURCE}.served", running=1)
    assert JobHealth("RUNNING", vertices=(good, bad, VERTEX)).readers == {
        "wire": True,
        "served": False,
    }


@pytest.mark.parametrize(("messages", "count"), [(999, 0), (1000, 0), (1001, 1)])
def test_a_lag_up_to_the_limit_is_not_a_problem(messages, count):
    assert len(lag_problems([GroupLag("tick-job", "ticks", messages)], 1000)) == count


def test_a_lag_is_reported_with_both_numbers():
    (problem,) = lag_problems([GroupLag("online-writer", "t", 1_234_567)], 1000)
    assert problem == "group online-writer is 1,234,567 messages behind (limit 1,000)"


def test_the_limit_is_not_for_the_group_of_a_bounded_reader():
    behind = [GroupLag(group, topic, 10**9) for group, topic in MONITORED]
    reported = " ".join(lag_problems(behind, 0))
    assert "tick-job-warmup" not in reported
    assert reported.count("behind") == len(MONITORED) - 1
