"""The ledger of finished chunks: what it keeps, what it drops, and who may write it."""

import json
import os
import threading

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config.settings import Settings
from feature_store.backfill import ledger
from feature_store.backfill.chunks import Chunk
from feature_store.backfill.ledger import Ledger
from lakehouse.leases import LeaseError

CHUNKS = st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda c: Chunk(c[0], c[0] + c[1]))


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path)


def test_a_new_lakehouse_has_nothing_done(settings):
    assert ledger.read_ledger(settings).done == {}
    assert not ledger.folder(settings).exists(), "reading writes nothing"


def test_what_is_recorded_is_on_disk_at_once(settings):
    ledger.read_ledger(settings).record(Chunk(0, 10), "V:A,V:B", "digest")
    again = ledger.read_ledger(settings)
    assert again.is_done(Chunk(0, 10), "V:A,V:B", "digest")


@pytest.mark.parametrize(
    ("chunk", "who", "digest"),
    [(Chunk(0, 9), "*", "d"), (Chunk(0, 10), "V:A", "d"), (Chunk(0, 10), "*", "e")],
)
def test_another_range_symbol_or_digest_is_not_done(settings, chunk, who, digest):
    notes = ledger.read_ledger(settings)
    notes.record(Chunk(0, 10), "*", "d")
    assert not notes.is_done(chunk, who, digest)


@given(st.lists(st.tuples(CHUNKS, st.sampled_from(["*", "V:A", "V:B"])), max_size=8))
@hypothesis.settings(max_examples=25)
def test_of_overlapping_chunks_only_the_newest_is_done(tmp_path_factory, recorded):
    notes = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.json", {})
    for number, (chunk, who) in enumerate(recorded):
        notes.record(chunk, who, str(number))
    expected, newer_us = {}, set()
    for number, (chunk, who) in reversed([*enumerate(recorded)]):
        times_us = set(range(chunk.from_us, chunk.to_us))
        if newer_us.isdisjoint(times_us):
            expected[chunk, who] = str(number)
        newer_us |= times_us
    assert notes.done == expected


def test_a_reader_never_sees_a_part_of_the_ledger(settings):
    notes, stop, seen = ledger.read_ledger(settings), threading.Event(), []
    notes.record(Chunk(0, 1), "*", "0")

    def read():
        while not stop.is_set():
            seen.append(len(ledger.read_ledger(settings).done))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 60):
        notes.record(Chunk(number, number + 1), "*", str(number))
    stop.set()
    reader.join()
    assert 0 not in seen and seen == sorted(seen)


def test_a_cleared_ledger_has_nothing_done_and_may_be_cleared_twice(settings):
    ledger.read_ledger(settings).record(Chunk(0, 1), "*", "d")
    ledger.clear(settings)
    ledger.clear(settings)
    assert ledger.read_ledger(settings).done == {}


def test_the_file_has_the_fields_that_earlier_versions_wrote(settings):
    ledger.read_ledger(settings).record(Chunk(1, 2), "V:A", "d")
    stored = json.loads((ledger.folder(settings) / "ledger.json").read_text())
    assert stored == [{"from_us": 1, "to_us": 2, "who": "V:A", "digest": "d"}]


def test_access_is_exclusive_and_the_refusal_names_the_holder(settings):
    impatient = settings.model_copy(update={"lease_wait_s": 0})
    with (
        ledger.exclusive_access(settings, "a backfill"),
        pytest.raises(LeaseError, match=rf"^a backfill \(host .*, PID {os.getpid()}, since 20"),
        ledger.exclusive_access(impatient, "another one"),
    ):
        pass


def test_access_waits_for_the_holder_instead_of_failing(settings):
    events = []

    def second():
        with ledger.exclusive_access(settings, "the second"):
            events.append("second")

    with ledger.exclusive_access(settings, "the first"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
