"""Runs of offsets answer like a set of all offsets that a sender wrote."""

from hypothesis import given
from hypothesis import strategies as st

from streaming.replay import sent_offsets
from streaming.replay.sent_offsets import SentOffsets

GAPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=60)


@given(GAPS)
def test_it_answers_like_a_set(steps):
    """Partitions grow by gaps of 1 (consecutive) to 3 offsets."""
    own, truth, ends = SentOffsets(), set(), {}
    for partition, gap in steps:
        offset = ends.get(partition, 10) + gap - 1
        own.add(partition, offset)
        truth.add((partition, offset))
        ends[partition] = offset + 1
    assert own.ends == ends
    for partition in range(4):
        for offset in range(200):
            assert ((partition, offset) in own) == ((partition, offset) in truth)


def test_its_memory_is_bounded_and_nothing_within_it_is_forgotten(monkeypatch):
    monkeypatch.setattr(sent_offsets, "RUNS_MAX", 3)
    own = SentOffsets()
    for offset in range(0, 20, 2):
        own.add(0, offset)
    assert all((0, offset) in own for offset in range(0, 20, 2))
    assert [offset for offset in range(20) if (0, offset) not in own] == [
        15,
        17,
        19,
    ]  # the newest gaps stay
