"""The SQL that copies topic `predictions` to gold; it cannot hold up the rest of the job."""

import re

import orjson
import pytest

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.fields import Kind, names
from contracts.topics import PREDICTIONS as TOPIC
from lakehouse import tables
from lakehouse.schemas import COLUMNS_OF, PREDICTION_NAMES, PREDICTIONS, partitions
from lakehouse.tables import Lakehouse
from serving.core.answer import Answer, Outcome
from serving.core.status import Status
from serving.state.recorder import prediction_record
from streaming.job import job
from streaming.job import tables as job_tables
from streaming.job.validation_sql import RECEIVED


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return job.program(Settings(home=tmp_path_factory.mktemp("home")))


def reader(program) -> str:
    (found,) = [text for text in program.ddl if text.startswith("CREATE TABLE served ")]
    return found


def test_the_reader_has_no_watermark_and_survives_nonsense(program):
    ddl = reader(program)
    assert "WATERMARK" not in ddl
    assert "'json.ignore-parse-errors'='true'" in ddl
    assert f"'topic'='{TOPIC.name}'" in ddl
    timed = [text.split()[2] for text in program.ddl if "WATERMARK" in text]
    assert timed == ["wire", "wire_warm"]


def test_the_reader_has_a_separate_group(program):
    groups = [
        group
        for text in program.ddl
        for group in re.findall(r"'properties.group.id'='([^']+)'", text)
    ]
    assert sorted(groups) == sorted(
        {job_tables.GROUP, job_tables.GROUP_WARM, job_tables.GROUP_RAW, job_tables.GROUP_SERVED}
    )


def test_nothing_but_its_own_insert_reads_it(program):
    users = [
        text
        for text in (*program.inserts, *(select for _, select in program.views))
        if re.search(r"\bserved\b", text)
    ]
    assert users == [job_tables.predictions_insert()] == [program.inserts[-1]]


def test_every_column_is_filled_in_the_order_of_the_table(program):
    insert = program.inserts[-1]
    target, columns = re.match(r"INSERT INTO (\S+) /\*.*\*/ \(([^)]*)\) SELECT", insert).groups()
    assert target == f"{tables.CATALOG}.{PREDICTIONS}"
    assert tuple(columns.replace("`", "").split(", ")) == PREDICTION_NAMES
    assert {*names(job_tables.SERVED), "served_at"} == {*PREDICTION_NAMES}


def test_a_time_out_of_bounds_lies_by_its_arrival(program):
    assert "ELSE arrived END" in program.inserts[-1]
    assert f"served_at_us <= {RECEIVED}" in program.inserts[-1]


def test_the_types_are_those_of_the_table():
    kinds = {Kind.TEXT: "string", Kind.OBJECT: "string", Kind.LONG: "long", Kind.REAL: "double"}
    stored = {name: str(kind) for name, kind in COLUMNS_OF[PREDICTIONS] if name != "served_at"}
    assert {field.name: kinds[field.kind] for field in job_tables.SERVED} == stored


def test_the_table_lies_by_day_of_serving(tmp_path):
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    table = Lakehouse(settings).table(PREDICTIONS)
    (day,) = table.spec().fields
    assert table.schema().find_column_name(day.source_id) == "served_at"
    assert partitions(PREDICTIONS).fields[0].name == "event_day"


def test_the_record_of_an_answer_has_every_column():
    class Model:
        name, version, trained_on, features = "tick-model", "7", "", CORE

    times = {"tick_1s": 5, "tick_10s": 4, "tick_1m": 3}
    answer = Answer("V:A", Outcome(Status.OK), dict.fromkeys(CORE, 1.0), 0.5, times, 6, Model())
    record = orjson.loads(prediction_record(answer, "r", 9).to_json())
    assert set(names(job_tables.SERVED)) <= set(record)
    assert record["event_times_us"] == times and record["source"] == "online"
