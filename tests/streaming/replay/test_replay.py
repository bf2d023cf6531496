"""A replay through a real Kafka: nothing lost or invented, order kept, resumed after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace as changed
from pathlib import Path

import polars as pl
import pytest

from contracts.clock import now_us
from contracts.errors import FeedError, ServiceError
from contracts.tick import Reason
from stack.services.project_services import settings_env
from streaming.feeds import open_feed
from streaming.feeds.formats import canonical
from streaming.feeds.tick_frame import encode
from streaming.replay import position
from streaming.replay.replay import CLOSE_BAR_US, replay
from streaming.replay.sender import Sender
from streaming.synthetic.feed import SyntheticFeed
from streaming.synthetic.market import FIXTURE, generate
from tests.conftest import REPO, settings_in
from tests.support import topic_reader

pytestmark = pytest.mark.integration
START_US = 1_700_000_000_000_000
SECONDS = 1_000_000


def canonical_file(
    folder: Path, rate=2.0, seconds=600, start_us=START_US
) -> tuple[Path, pl.DataFrame]:
    """A file of synthetic ticks, and these ticks."""
    ticks = pl.concat(list(generate(changed(FIXTURE, rate=rate), start_us, seconds)))
    file = folder / "ticks.parquet"
    canonical.write(file, iter([ticks]))
    return file, ticks


def sent_since(settings, marks):
    """Ticks and heartbeats, each in order of partition and offset."""
    messages = topic_reader.since(settings, "ticks", marks)
    return [m for m in messages if not m.is_beat], [m for m in messages if m.is_beat]


def test_a_whole_feed_arrives_in_order_under_its_key(kafka, tmp_path):
    file, ticks = canonical_file(tmp_path)
    marks = topic_reader.ends(kafka, "ticks")
    done = replay(open_feed([file]), kafka, speed=0)
    sent, heartbeats = sent_since(kafka, marks)
    assert (done.sent, done.acknowledged, done.failed, done.rejected) == (
        ticks.height,
        ticks.height,
        0,
        0,
    )
    assert Counter(m.value for m in sent) == Counter(encode(ticks))
    for key, own in ticks.group_by(pl.concat_str("venue", pl.lit(":"), "symbol")):
        mine = [m for m in sent if m.key == key[0]]
        assert len({m.partition for m in mine}) == 1
        assert [m.value for m in mine] == encode(own)
    assert {heartbeat.partition for heartbeat in heartbeats} == set(marks)
    assert {heartbeat.key for heartbeat in heartbeats} == {None}


def test_heartbeats_never_run_ahead_of_the_ticks_behind_them(kafka, tmp_path):
    file, ticks = canonical_file(tmp_path, rate=5.0, seconds=300)
    marks = topic_reader.ends(kafka, "ticks")
    settings = kafka.model_copy(update={"heartbeat_interval_s": 0.02})
    replay(open_feed([file]), settings, speed=300.0)
    messages = topic_reader.since(kafka, "ticks", marks)
    for partition in marks:
        newest_us = 0
        for message in (m for m in messages if m.partition == partition):
            at = message.fields["event_time_us"]
            assert at >= newest_us or message.is_beat
            newest_us = max(newest_us, at) if message.is_beat else newest_us
        assert (
            newest_us == ticks["event_time_us"][-1] + CLOSE_BAR_US
        )  # the last bar of history closes
    paced = sorted({m.fields["event_time_us"] for m in messages if m.is_beat} - {newest_us})
    assert len(paced) > 10 and paced[-1] <= ticks["event_time_us"][-1]


def test_rows_a_feed_refuses_become_dead_letters(kafka, tmp_path):
    file = tmp_path / "spot_BTCUSDT-trades-2024-08-08.csv"
    file.write_bytes(
        b"1,100,1,100,1723161255342,true,true\n2,x\xff,1,1,1723161255342,true,true\n3,0,1,1,1723161255342,true,true\n"
    )
    marks, letters = (
        topic_reader.ends(kafka, "ticks"),
        topic_reader.ends(kafka, "ticks.dead_letter"),
    )
    done = replay(open_feed([file]), kafka, speed=0)
    sent, _ = sent_since(kafka, marks)
    refused = topic_reader.since(kafka, "ticks.dead_letter", letters)
    assert (done.sent, done.rejected, done.acknowledged, len(sent)) == (1, 2, 3, 1)
    assert [m.headers["reason"] for m in refused] == [Reason.INVALID_FIELD, Reason.NOT_POSITIVE]
    assert refused[0].value == b"2,x\xff,1,1,1723161255342,true,true"
    origin = {name: refused[0].headers[name] for name in ("topic", "partition", "offset", "detail")}
    assert origin == {
        "topic": f"feed:{file.name}",
        "partition": "0",
        "offset": "1",
        "detail": "unreadable: price",
    }


@pytest.mark.parametrize(("speed", "seconds", "stretch"), [(60.0, 120, 1.0), (0.4, 2, 2.5)])
def test_a_live_replay_moves_all_times_by_one_rule_into_the_past(
    kafka, tmp_path, speed, seconds, stretch
):
    file, ticks = canonical_file(tmp_path, rate=2.0 if speed > 1 else 50.0, seconds=seconds)
    marks = topic_reader.ends(kafka, "ticks")
    done = replay(open_feed([file]), kafka, speed=speed, as_live=True)
    sent, heartbeats = sent_since(kafka, marks)
    moved = {m.key + m.fields["trade_id"].split("~")[0]: m for m in sent}
    assert len(moved) == ticks.height and done.stretch == stretch
    first_us = ticks["event_time_us"][0]
    for row in ticks.iter_rows(named=True):
        message = moved[f"{row['venue']}:{row['symbol']}{row['trade_id']}"]
        fields = message.fields
        since_us = round((row["event_time_us"] - first_us) * stretch)
        assert fields["event_time_us"] == first_us + done.offset_us + since_us
        assert fields["event_time_us"] <= fields["ingest_time_us"] <= message.appended_us + 1_000
    assert max(heartbeat.fields["event_time_us"] for heartbeat in heartbeats) >= max(
        m.fields["event_time_us"] for m in sent
    )
    assert all(
        heartbeat.fields["event_time_us"] <= heartbeat.appended_us + 1_000
        for heartbeat in heartbeats
    )
    again = topic_reader.ends(kafka, "ticks")
    replay(open_feed([file]), kafka, speed=0, as_live=True)
    second, _ = sent_since(kafka, again)
    assert {m.fields["trade_id"] for m in second}.isdisjoint({m.fields["trade_id"] for m in sent})


def test_a_replay_knows_which_messages_are_its_own(kafka, tmp_path):
    file, _ = canonical_file(tmp_path, rate=20.0)
    other, interleaved = Sender(kafka), []

    def interleave(_progress):
        other.send_message("SYNTH:OTHER", b"{}")
        other.flush()
        interleaved.append(1)

    marks = topic_reader.ends(kafka, "ticks")
    done = replay(open_feed([file]), kafka, speed=300.0, progress=interleave)
    messages = topic_reader.since(kafka, "ticks", marks)
    assert len(interleaved) > 3
    foreign = [m for m in messages if (m.partition, m.offset) not in done.sent_offsets]
    assert [m.value for m in foreign] == [b"{}"] * len(interleaved)
    assert len(messages) - len(foreign) == done.sent + sum(m.is_beat for m in messages)


def test_a_synthetic_market_catches_up_and_then_goes_with_the_clock(kafka):
    market = changed(FIXTURE, rate=20.0)
    start = now_us() - 60 * SECONDS
    feed = SyntheticFeed(market, start, 62.0)
    marks = topic_reader.ends(kafka, "ticks")
    done = replay(feed, kafka)
    sent, heartbeats = sent_since(kafka, marks)
    truth = pl.concat([batch.ticks for batch in feed.batches(0)])
    assert done.sent == len(sent) == truth.height
    assert (
        sorted(m.fields["event_time_us"] for m in sent) == truth["event_time_us"].sort().to_list()
    )
    assert all(
        m.fields["event_time_us"] <= m.appended_us + 1_000 for m in sent
    )  # nothing happens before its time
    assert (
        max(heartbeat.fields["event_time_us"] for heartbeat in heartbeats)
        > truth["event_time_us"][-1]
    )
    assert all(
        heartbeat.fields["event_time_us"] <= heartbeat.appended_us + 1_000
        for heartbeat in heartbeats
    )


def command(settings, *words, **env):
    """A real `tick` process."""
    own = {
        **settings_env(settings),
        "TICK_POSITION_INTERVAL_S": "0.1",
        "TICK_FINAL_HEARTBEAT_S": "0.2",
        "PYTHONPATH": str(REPO),
        "COLUMNS": "200",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *map(str, words)],
        env={**os.environ, **own, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    """The exit code and output of a process."""
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def kill_after(process, file, items, timeout_s=60):
    """kill -9 as soon as the position file counts `items`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        saved = position.load(file)
        if saved is not None and saved.items >= items:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return position.load(file)


@pytest.mark.parametrize(
    ("options", "rate", "items"),
    [(("--speed", "0"), 80.0, 10_000), (("--speed", "60", "--as-live"), 10.0, 3_000)],
)
def test_killed_in_the_middle_and_resumed_every_trade_is_there(
    kafka, tmp_path, options, rate, items
):
    file, ticks = canonical_file(tmp_path, rate=rate, seconds=600)
    feed = open_feed([file])
    position_file = kafka.root / "replay" / f"{feed.fingerprint}.json"
    marks = topic_reader.ends(kafka, "ticks")
    killed = kill_after(command(kafka, "replay", file, *options), position_file, items)
    first, _ = sent_since(kafka, marks)
    assert not killed.finished and items <= killed.items <= len(first) < ticks.height

    code, output = finish(command(kafka, "replay", file, *options))
    assert code == 1 and "--resume" in output  # neither repeated nor continued by accident

    code, output = finish(command(kafka, "replay", file, *options, "--resume"))
    assert code == 0, output
    assert f"resumed after row {killed.items:,}" in output
    sent, _ = sent_since(kafka, marks)
    identities = Counter((m.key, m.fields["trade_id"].split("~")[0]) for m in sent)
    expected = set(ticks.select(pl.concat_str("venue", pl.lit(":"), "symbol"), "trade_id").rows())
    assert set(identities) == expected  # no gap
    assert (
        len(sent) - len(expected) == len(first) - killed.items
    )  # only what was not known to have arrived came twice
    assert (
        len({m.fields["trade_id"] for m in sent}) == ticks["trade_id"].n_unique()
    )  # under the same names
    ends = position.load(position_file)
    assert ends.finished and ends.items == ticks.height and ends.offset_us == killed.offset_us


def test_a_position_of_other_files_is_not_used(kafka, tmp_path):
    file, _ = canonical_file(tmp_path)
    position.save(tmp_path / "p.json", position.Position("other", 5))
    with pytest.raises(FeedError, match="belongs to other files"):
        replay(open_feed([file]), kafka, speed=0, position_file=tmp_path / "p.json", resume=True)


@pytest.mark.parametrize("speed", [-1.0, float("inf"), float("nan")])
def test_a_speed_that_is_not_a_speed_is_refused(free_settings, tmp_path, speed):
    file, _ = canonical_file(tmp_path)
    with pytest.raises(FeedError, match="not a finite number"):
        replay(open_feed([file]), free_settings, speed=speed)


def test_without_kafka_the_error_says_what_to_do(free_settings, tmp_path):
    file, _ = canonical_file(tmp_path)
    with pytest.raises(ServiceError, match="does not answer") as caught:
        replay(open_feed([file]), free_settings, speed=0)
    assert "tick up" in caught.value.hint


def test_kafka_dies_on_the_way_and_the_replay_goes_on_later(tmp_path):
    from stack import platform

    settings = settings_in(tmp_path / "home", delivery_timeout_ms=10_000, position_interval_s=0.1)
    file, ticks = canonical_file(tmp_path, rate=20.0, seconds=600)
    position_file = tmp_path / "p.json"
    marks = dict.fromkeys(range(4), 0)

    def stop_kafka_half_way(progress):
        if progress.acknowledged > ticks.height // 4:
            platform.down(settings, ("kafka",))

    try:
        platform.up(settings, ("kafka",))
        with pytest.raises(ServiceError, match="not delivered") as caught:
            replay(
                open_feed([file]),
                settings,
                speed=20.0,  # half a minute: the stop comes long before the end
                position_file=position_file,
                progress=stop_kafka_half_way,
            )
        assert "--resume" in caught.value.hint
        stopped = position.load(position_file)
        assert ticks.height // 4 < stopped.items < ticks.height and not stopped.finished
        platform.up(settings, ("kafka",))
        replay(open_feed([file]), settings, speed=0, position_file=position_file, resume=True)
        sent, _ = sent_since(settings, marks)
        assert {m.value for m in sent} == set(encode(ticks))
        assert position.load(position_file).items == ticks.height
    finally:
        platform.down(settings)
