"""The program of the live job as it was submitted, stored next to the savepoints.

A newer version of this project has other SQL. The stored program tells whether the state of the
running job fits that SQL, and continues the state when an upgrade fails. Secrets are replaced by
the names of their settings.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import SecretStr

from contracts.config import connections, paths
from contracts.config.home import HomeSettings
from contracts.config.settings import Settings
from contracts.files import replace_atomically
from feature_store.flink.program import Program
from lakehouse.catalog_options import literal

END_OF_COLUMNS = re.compile(r"\)\s+WITH \(")  # the connector options of a table follow


def _file(settings: HomeSettings) -> Path:
    return paths.savepoints(settings) / "live-program.json"


def record(settings: Settings, job_id: str, program: Program) -> None:
    """Store the program of the job that was just submitted."""
    text = json.dumps({"job_id": job_id} | asdict(program.starting_from(None)))
    for secret, name in _secrets(settings):
        text = text.replace(secret, name)
    with replace_atomically(_file(settings)) as partial:
        partial.write_text(text)


def read(settings: Settings, job_id: str) -> Program | None:
    """The program of this job; None if it was not stored, or the file is damaged."""
    try:
        text = _file(settings).read_text()
        for secret, name in _secrets(settings):
            text = text.replace(name, secret)
        fields = json.loads(text)
        if fields.pop("job_id") != job_id:
            return None
        return _from_json(fields)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _from_json(fields: dict[str, object]) -> Program:
    """The program, with tuples where JSON has lists."""
    program = Program(**fields)  # type: ignore[arg-type]
    return replace(
        program,
        ddl=tuple(program.ddl),
        views=tuple((name, select) for name, select in program.views),
        inserts=tuple(program.inserts),
        may_finish=tuple(program.may_finish),
    )


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each form in which a secret appears in the JSON of a program, and what replaces it.

    SQL doubles quotes, a JAAS line escapes them, and JSON escapes both.
    """
    for name, value in settings:
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            quoted = literal(secret)[1:-1]
            in_jaas = literal(connections.escape_jaas(secret))[1:-1]
            for form, text in (("jaas", in_jaas), ("sql", quoted)):
                yield json.dumps(text)[1:-1], f"<{name}:{form}>"


def state_fits(old: Program, new: Program) -> bool:
    """Whether the state of a job that runs `old` fits `new`.

    Flink identifies operators by the shape of the plan, which follows from the columns of the
    tables, the views, the inserts and the parallelism. Equal text gives an equal plan. Different
    text may as well, but that is not relied on.
    """
    return _stateful_text(old) == _stateful_text(new)


def _stateful_text(program: Program) -> tuple[object, ...]:
    columns = (END_OF_COLUMNS.split(statement, 1)[0] for statement in program.ddl)
    tables = sorted(text for text in columns if text.startswith("CREATE TABLE"))
    return program.name, program.parallelism, tables, program.views, program.inserts
