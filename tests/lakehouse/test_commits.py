"""A commit that loses against another writer is repeated; any other error is not."""

import pytest
from pyiceberg.exceptions import CommitFailedException

from lakehouse.commits import retry_commit


def test_a_conflict_is_repeated_until_the_commit_succeeds() -> None:
    attempts: list[str] = []

    @retry_commit
    def commit(name: str) -> int:
        attempts.append(name)
        if len(attempts) < 3:
            raise CommitFailedException("another writer was first")
        return len(attempts)

    assert commit("append") == 3
    assert attempts == ["append"] * 3


def test_any_other_error_is_raised_at_once() -> None:
    attempts: list[int] = []

    @retry_commit
    def commit() -> None:
        attempts.append(1)
        raise ValueError("not a conflict")

    with pytest.raises(ValueError, match="not a conflict"):
        commit()
    assert len(attempts) == 1
