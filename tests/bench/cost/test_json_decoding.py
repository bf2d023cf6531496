"""The lower bound of the live job: the same messages, only decoded."""

from bench.cost import json_decoding


def test_the_bound_reads_exactly_these_offsets(free_settings):
    ddl = json_decoding.program(free_settings, [0, 5], [10, 20]).ddl[0]
    assert "'scan.startup.specific-offsets'='partition:0,offset:0;partition:1,offset:5'" in ddl
    assert "'scan.bounded.specific-offsets'='partition:0,offset:10;partition:1,offset:20'" in ddl
