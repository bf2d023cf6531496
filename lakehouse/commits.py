"""Commits to Iceberg tables that other writers commit to at the same time."""

from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

ATTEMPTS = 10
# What PyIceberg raises when it finds that another writer was first: of appends, and of overwrites
# whose rows the other writer added to or deleted.
CONFLICTS = (CommitFailedException, ValidationException)
P = ParamSpec("P")
T = TypeVar("T")


def retry_commit(commit: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that refreshes its table and commits: repeats it after a conflict.

    The wait is random, so that two writers do not conflict again at once.
    """
    return retry(
        retry=retry_if_exception_type(CONFLICTS),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random(0.1, 1.0),
        reraise=True,
    )(commit)


def refresh_for_one_attempt(table: Table) -> None:
    """Refresh a table so that its next commit fails when another writer is first.

    PyIceberg would otherwise rebase the commit and repeat it, past the check of a lease.
    """
    table.refresh()
    properties = table.metadata.properties | {"commit.retry.num-retries": "0"}
    table.metadata = table.metadata.model_copy(update={"properties": properties})


def commit_empty(table: Table, properties: Mapping[str, str]) -> int:
    """Commit a snapshot without new rows, with `properties` in its summary; returns its id.

    Raises CommitFailedException when another writer was first and the table allows no retries.
    """
    with table.transaction() as transaction:
        append = transaction.update_snapshot(dict(properties)).fast_append()
        append.commit()
    return append.snapshot_id
