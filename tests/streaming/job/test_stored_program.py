"""The program of a job is stored without secrets, and read back exactly."""

from dataclasses import replace

import pytest

from contracts.config import paths
from feature_store.flink.program import RECOVERY_PATH
from streaming.job import job, stored_program
from tests.conftest import SECURED

JOB = "a" * 32
S3 = {"warehouse_uri": "s3://b/p", "s3_access_key": "x'zebu", "s3_secret_key": 'pa"rrot'}
KAFKA = SECURED | {"kafka_password": "tu'rt\"le \\ here"}


@pytest.fixture
def secured(make_settings):
    return make_settings(**KAFKA, **S3)


def test_a_program_is_read_back_as_it_was_submitted_without_its_state(secured):
    program = job.program(secured)
    stored_program.record(secured, JOB, job.program(secured, "file:///states/chk-1"))
    assert stored_program.read(secured, JOB) == program
    assert RECOVERY_PATH not in program.options


def test_no_secret_is_stored(secured):
    stored_program.record(secured, JOB, job.program(secured))
    text = (paths.savepoints(secured) / "live-program.json").read_text()
    for part in ("zebu", "rrot", "tu'", "le \\\\"):
        assert part not in text
    for name in ("kafka_password", "s3_access_key", "s3_secret_key"):
        assert f"<{name}:" in text


def test_a_changed_password_is_the_one_that_is_used(secured, make_settings):
    stored_program.record(secured, JOB, job.program(secured))
    changed = make_settings(secured.home, **SECURED | {"kafka_password": "new"}, **S3)
    changed = changed.model_copy(
        update={name: getattr(secured, name) for name in ("kafka_port", "flink_port")}
    )
    assert stored_program.read(changed, JOB) == job.program(changed)


def test_only_the_program_of_the_named_job_is_read(free_settings):
    assert stored_program.read(free_settings, JOB) is None
    stored_program.record(free_settings, JOB, job.program(free_settings))
    assert stored_program.read(free_settings, "b" * 32) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"job_id": "x"}', f'{{"job_id": "{JOB}"}}'])
def test_a_damaged_file_has_no_program(free_settings, text):
    file = paths.savepoints(free_settings) / "live-program.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert stored_program.read(free_settings, JOB) is None


def test_the_state_fits_the_same_sql_with_other_addresses(make_settings):
    old = job.program(make_settings(kafka_port=10_001))
    new = job.program(make_settings(kafka_port=10_011))
    assert old != new and stored_program.state_fits(old, new)


@pytest.mark.parametrize(
    "change",
    [
        {"parallelism": 2},
        {"lateness_ms": 300},  # in the columns of the readers
    ],
)
def test_the_state_does_not_fit_another_setting_of_the_plan(make_settings, change):
    old, new = make_settings(), make_settings()
    new = new.model_copy(update=change)
    assert not stored_program.state_fits(job.program(old), job.program(new))


def test_the_state_does_not_fit_another_view_or_insert(free_settings):
    old = job.program(free_settings)
    (name, select), *rest = old.views
    for new in (
        replace(old, views=((name, f"{select} AND TRUE"), *rest)),
        replace(old, inserts=old.inserts[:-1]),
    ):
        assert not stored_program.state_fits(old, new)
