"""What `tick replay`, `tick live` and `tick load` print of their counts."""

from collections import Counter
from types import SimpleNamespace

import pytest

from cli.data import feed_report
from cli.data.live import _print_stats
from cli.data.load import _describe_rejected, _print_result
from cli.data.replay import _require_choice, _warn_of_late_ticks, _warner
from contracts.config.settings import Settings
from streaming.bulk_load.load import LoadReport
from streaming.feeds.binance_live import LiveStats
from streaming.replay.other_senders import OtherSender
from streaming.replay.replay import ReplayProgress

FEED = SimpleNamespace(formats=("binance-csv", "canonical-csv"))


@pytest.fixture
def printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def call(function, *arguments) -> list[str]:
        function(*arguments)
        output = capsys.readouterr()
        return (output.out + output.err).splitlines()

    return call


def test_a_plain_replay_is_one_line(printed):
    result = ReplayProgress(sent=12_345, elapsed_s=1.25, rate=9_876)
    assert printed(feed_report.print_result, result, FEED) == [
        "12,345 ticks sent in 1.2 s (9,876/s) from binance-csv, canonical-csv"
    ]


def test_a_synthetic_feed_has_no_format_of_a_file(printed):
    [line] = printed(feed_report.print_result, ReplayProgress(), SimpleNamespace())
    assert line == "0 ticks sent in 0.0 s (0/s) from synthetic"


@pytest.mark.parametrize(
    ("ahead_s", "behind"), [(3_600, "this sender"), (-3_600, "the other"), (0.5, None)]
)
def test_another_sender_with_a_different_clock_is_told_once_at_the_start(printed, ahead_s, behind):
    progress = ReplayProgress(first_us=1_000_000, began_us=9_000_000)
    others = [OtherSender("f00", int(ahead_s * 1e6) - 8_000_000)]
    shown = []
    warn = _warner(Settings(), others, 0, shown.append)
    assert printed(warn, ReplayProgress()) == []  # nothing is sent yet
    told = " ".join(printed(warn, progress))
    assert (f"3,600.0 s of event time apart: ticks of {behind} are late" in told) == bool(behind)
    assert ("run f00" in told) == bool(behind)
    assert printed(warn, progress) == [] and len(shown) == 3


@pytest.mark.parametrize("restart", [False, True])
def test_resuming_without_a_position_says_that_it_begins_at_the_start(printed, tmp_path, restart):
    lines = printed(_require_choice, tmp_path / "p.json", True, restart)
    assert "to continue: it begins" in " ".join(lines)
    assert printed(_require_choice, tmp_path / "p.json", False, restart) == []


@pytest.mark.parametrize(
    ("members", "line"),
    [
        (("a in [x].zip",), "  left out, no trades: a in [x].zip"),
        (tuple("abcde"), "  left out, no trades: a, b, c and 2 more"),
    ],
)
def test_members_of_a_zip_that_were_not_read_are_named(printed, members, line):
    feed = SimpleNamespace(formats=(), left_out=members)
    assert line in printed(feed_report.print_result, ReplayProgress(), feed)
    assert line in printed(_print_result, LoadReport(), "", members)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"resumed_at": 1_234}, "  resumed after row 1,234"),
        ({"rejected": 2}, "  2 rows rejected: `tick dead-letters list` shows why"),
        (
            {"skipped": Counter({"quote": 2_000, "[red]": 1})},
            "  not trades: quote 2,000, [red] 1",
        ),
        ({"sides_inferred": 3}, "  3 unknown sides inferred by quote and tick rule"),
        ({"offset_us": -1_500_000}, "  event times moved by -1.500 s"),
        ({"offset_us": 3_600_000_000}, "  event times moved by +3,600.000 s"),
        ({"stretch": 2.0}, "  slow motion: the time between trades is 2.00 times as long"),
    ],
)
def test_what_was_changed_or_left_out_is_a_line(printed, fields, line):
    assert printed(feed_report.print_result, ReplayProgress(**fields), FEED)[1:] == [line]


@pytest.mark.parametrize(
    ("first_us", "processed_to_us", "warned"),
    [(0, 5, False), (5, 0, False), (5, 5, False), (4, 5, True)],
)
def test_a_feed_behind_the_live_job_is_warned_of(printed, first_us, processed_to_us, warned):
    lines = printed(_warn_of_late_ticks, first_us * 1_000_000, processed_to_us * 1_000_000)
    text = " ".join(line.strip() for line in lines)
    assert bool(lines) is warned
    if warned:
        assert "1970-01-01 00:00:04" in text and "1970-01-01 00:00:05" in text
        assert "`tick backfill`" in text
        assert max(map(len, lines)) <= 80


def test_a_live_feed_counts_its_gaps(printed):
    stats = LiveStats(connections=2, gaps=1, missing=1_234, filled=1_000)
    assert printed(_print_stats, stats) == [
        "  connections 2; gaps 1, trades missing 1,234, fetched 1,000"
    ]


def test_a_load_accounts_for_every_row(printed):
    report = LoadReport(
        read=1_006,
        loaded=1_000,
        already=1,
        duplicates=2,
        rejected=Counter(not_positive=2, invalid_field=1),
        skipped=Counter(quote=4),
        commits=3,
        elapsed_s=2.0,
    )
    assert printed(_print_result, report, "canonical-csv") == [
        "1,006 rows read in 2.0 s (503/s) from canonical-csv",
        "  1,000 loaded in 3 commits",
        "  1 already there",
        "  2 duplicates inside the files",
        "  3 rejected (not_positive 2, invalid_field 1): `tick sql 'from ",
        "silver.dead_letter'` shows them",
        "  not trades: quote 4",
    ]


def test_without_a_rejected_row_no_command_is_suggested():
    assert _describe_rejected(LoadReport()) == "0 rejected"


def test_the_progress_of_a_file_has_its_remaining_time(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with feed_report.progress_line("127.0.0.1:9092") as show:
        show(ReplayProgress(sent=1_234, acknowledged=1_000, rejected=1, rate=99, eta_s=90.4))
    output = capsys.readouterr().err
    assert "1,234 sent, 1,000 acknowledged, 1 rejected, 0 failed, 99/s" in output
    assert "90 s left" in output


def test_the_progress_without_a_known_end_and_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with feed_report.progress_line("127.0.0.1:9092") as show:
        show(ReplayProgress(sent=1_234))
    assert "left" not in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    with feed_report.progress_line("127.0.0.1:9092") as show:
        show(ReplayProgress(sent=1_234))
    assert "\x1b" not in capsys.readouterr().err
