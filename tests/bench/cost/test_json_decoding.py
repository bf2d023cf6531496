"""The lower bound of the live job: the same messages, only decoded."""

import pytest

from bench.cost import json_decoding
from bench.cost.live_job import ChunkCost
from bench.load.ticks import Chunk


def chunk_cost(begin, end):
    return ChunkCost(Chunk(0, 1, 1, 1), 1.0, 0.0, begin, end)


def test_the_bound_reads_exactly_these_offsets(free_settings):
    ddl = json_decoding.program(free_settings, [0, 5], [10, 20]).ddl[0]
    assert "'scan.startup.specific-offsets'='partition:0,offset:0;partition:1,offset:5'" in ddl
    assert "'scan.bounded.specific-offsets'='partition:0,offset:10;partition:1,offset:20'" in ddl


def test_the_bound_does_nothing_but_decode(free_settings):
    program = json_decoding.program(free_settings, [0], [1])
    assert program.views == ()
    assert program.inserts == ("INSERT INTO hole SELECT * FROM decoded",)
    assert "'connector'='blackhole'" in program.ddl[1]
    assert "'format'='json'" in program.ddl[0]


def test_the_cost_of_a_message_is_the_margin_after_a_warm_up(monkeypatch, free_settings):
    short, long = chunk_cost([0, 0], [10, 10]), chunk_cost([10, 10], [60, 70])
    decoded, costs_s = [], iter([9.0, 1.0, 3.0])

    def decode(settings, run):
        decoded.append(run)
        return next(costs_s)

    monkeypatch.setattr(json_decoding, "_decode_cpu_s", decode)
    # 110 messages in the long chunk, 20 in the short one, and 2 s between them.
    assert json_decoding.marginal_us(free_settings, short, long) == pytest.approx(2e6 / 90)
    assert decoded == [short, short, long]
