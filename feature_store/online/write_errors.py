"""Whether a failed write concerns one key (its stored value is damaged) or Redis as a whole.

Redis 7 reports the cause of a failed script at the beginning of the error, Redis 6 at its end, so
the whole text is searched.
"""

import re

from redis.exceptions import OutOfMemoryError, ResponseError

# A key of another type, or a stored time that the Lua script cannot read. Any other error (no
# memory, disk full, read-only replica, permissions) is one of Redis, and is retried.
_DAMAGE = re.compile(r"\bWRONGTYPE\b|\buser_script:\s?\d+: .*(attempt to |bad argument )")
_OUT_OF_MEMORY = re.compile(r"\bOOM\b")


def is_damage(error: Exception) -> bool:
    """Whether the stored value of the key is the cause, so that a retry fails again."""
    return isinstance(error, ResponseError) and bool(_DAMAGE.search(str(error)))


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether Redis refused a write because its memory is full (`maxmemory`)."""
    if isinstance(error, OutOfMemoryError):
        return True
    return isinstance(error, ResponseError) and bool(_OUT_OF_MEMORY.search(str(error)))
