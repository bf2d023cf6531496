"""A commit that loses against another writer is repeated; any other error is not."""

import pytest
from pyiceberg.exceptions import CommitFailedException, ValidationException
from tenacity import wait_none

from lakehouse.commits import ATTEMPTS, retry_commit


@pytest.mark.parametrize("conflict", [CommitFailedException, ValidationException])
def test_a_conflict_is_repeated_until_the_commit_succeeds(conflict) -> None:
    attempts: list[str] = []

    @retry_commit
    def commit(name: str) -> int:
        attempts.append(name)
        if len(attempts) < 3:
            raise conflict("another writer was first")
        return len(attempts)

    commit.retry.wait = wait_none()
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


def test_after_many_conflicts_the_last_one_is_raised() -> None:
    attempts: list[int] = []

    @retry_commit
    def commit() -> None:
        attempts.append(1)
        raise CommitFailedException(f"attempt {len(attempts)}")

    commit.retry.wait = wait_none()
    with pytest.raises(CommitFailedException, match=f"attempt {ATTEMPTS}"):
        commit()
    assert len(attempts) == ATTEMPTS
