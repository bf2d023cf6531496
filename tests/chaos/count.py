"""What arrived of what was sent: the topic against silver, dead letters and online rows.

The topic is the reference. `parse` says of each of its messages whether it must be in silver, as
often as it is in the topic, or a dead letter, and with which reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from contracts import topics
from contracts.config.settings import Settings
from contracts.features import COLUMNS
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from contracts.windows import LEVELS
from feature_store.online.redis_layout import decode_double, decode_time_us, entity_key, time_field
from feature_store.online.redis_layout import field as redis_field
from feature_store.online.store import connect
from lakehouse.schemas import GOLD_LIVE, SILVER
from lakehouse.tables import Lakehouse, between
from streaming import dead_letters
from tests.support import topic_reader
from tests.support.outcomes import received_us
from tests.support.topic_reader import Message

Place = tuple[int, int]  # partition, offset
KEY = pl.concat_str("venue", pl.lit(":"), "symbol", pl.lit(" "), "trade_id").alias("key")
BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Marks:
    """Ends of the topics, and of event time in µs UTC, at the border of two phases."""

    ticks: dict[int, int]
    letters: dict[int, int]
    event_us: int = 0


@dataclass
class Sent:
    """Messages in the topic: `accepted` has the columns key and copies; reasons by place."""

    messages: int
    accepted: pl.DataFrame
    refused: dict[Place, str]


@dataclass
class Counts:
    """One phase. `produced` messages were sent, `acked` acknowledged, `topic` are in the topic.

    `silver` rows, `late` trades, `dead` letters, `online` rows that are the newest closed ones.
    `lost` and `duplicated` are copies of ticks and letters, `stale` online rows that are not the
    newest, `unexplained` differences of live, backfilled and reference rows.
    """

    produced: int = 0
    acked: int = 0
    topic: int = 0
    silver: int = 0
    late: int = 0
    dead: int = 0
    online: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong_letters: int = 0
    stale: int = 0
    unexplained: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def mismatched(self) -> int:
        """Everything that arrived, but not as it must be."""
        return self.wrong_letters + self.stale + self.unexplained

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, counted twice or changed."""
        return not (self.lost or self.duplicated or self.mismatched)


def marks(settings: Settings) -> Marks:
    """The present ends of the topics."""
    return Marks(
        topic_reader.ends(settings, topics.TICKS.name),
        topic_reader.ends(settings, topics.DEAD_LETTER.name),
    )


def read_sent(settings: Settings, before: Marks, after: Marks) -> Sent:
    """The messages of a phase and the verdict of the contract on each."""
    return judge(topic_reader.stream(settings, topics.TICKS.name, before.ticks, after.ticks))


def judge(messages: Iterable[Message]) -> Sent:
    """Sort messages into accepted and refused; heartbeats are left out."""
    total, refused = 0, {}
    keys: list[str] = []
    frames = [pl.DataFrame(schema={"key": pl.String})]
    for message in messages:
        if message.is_beat:
            continue
        total += 1
        one = parse(message.value, received_us(message))
        if isinstance(one, Rejected):
            refused[message.partition, message.offset] = one.reason.value
        else:
            keys.append(f"{one.key} {one.trade_id}")
        if len(keys) >= BATCH:
            frames.append(pl.DataFrame({"key": keys}))
            keys = []
    frames.append(pl.DataFrame({"key": keys}, schema={"key": pl.String}))
    return Sent(total, copies(pl.concat(frames)), refused)


def copies(keys: pl.DataFrame) -> pl.DataFrame:
    """Column `key` with the number of its copies."""
    return keys.group_by("key").agg(copies=pl.len().cast(pl.Int64))


def silver(settings: Settings, before: Marks, after: Marks) -> pl.DataFrame:
    """Rows of silver with an event time of the phase: key and late."""
    scan = (
        Lakehouse(settings)
        .table(SILVER)
        .scan(
            row_filter=between(before.event_us, after.event_us),
            selected_fields=("venue", "symbol", "trade_id", "late"),
        )
    )
    frame = pl.from_arrow(scan.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame.select(KEY, "late")


def letters(settings: Settings, before: Marks, after: Marks) -> dict[Place, str]:
    """Reasons by the place of the message; a letter that was written again counts once."""
    found = {}
    for letter in dead_letters.read(settings, after=before.letters):
        place = letter.place
        if place and before.ticks.get(place[0], 0) <= place[1] < after.ticks[place[0]]:
            found[place] = letter.reason
    return found


def compare(sent: Sent, rows: pl.DataFrame, found: Mapping[Place, str]) -> Counts:
    """The counts of a phase, without those of the online store and of history."""
    both = (
        sent.accepted.join(copies(rows), on="key", how="full", coalesce=True, suffix="_silver")
        .with_columns(more=pl.col("copies_silver").fill_null(0) - pl.col("copies").fill_null(0))
        .filter(pl.col("more") != 0)
    )
    lost, doubled = both.filter(pl.col("more") < 0), both.filter(pl.col("more") > 0)
    absent = [place for place in sent.refused if place not in found]
    extra = [place for place in found if place not in sent.refused]
    wrong = [p for p, reason in found.items() if sent.refused.get(p, reason) != reason]
    examples = [f"{row['key']}: {row['more']:+} in silver" for row in both.head(5).to_dicts()]
    examples += [f"dead letter missing: {p}" for p in absent[:5]]
    examples += [f"dead letter of an accepted message: {p}" for p in extra[:5]]
    return Counts(
        topic=sent.messages,
        silver=len(rows),
        late=int(rows.group_by("key").agg(pl.col("late").all())["late"].sum()),
        dead=len(found),
        lost=-int(lost["more"].sum()) + len(absent),
        duplicated=int(doubled["more"].sum()) + len(extra),
        wrong_letters=len(wrong),
        examples=examples,
    )


def online(settings: Settings, from_us: int, to_us: int, venue: str) -> tuple[int, list[str]]:
    """Online rows that equal the newest live row of their symbol and view, and all others.

    `to_us` is the end of the newest closed bar.
    """
    equal, others = 0, []
    with connect(settings) as client:
        for level in LEVELS:
            names = [column.name for column in COLUMNS if column.view == level.view]
            rows = Lakehouse(settings).read_features(
                level.view, from_us, to_us + 1, table=GOLD_LIVE
            )
            newest = rows.filter(pl.col("symbol").str.starts_with(f"{venue}:")).unique(
                "symbol", keep="last", maintain_order=True
            )
            for row in newest.iter_rows(named=True):
                stored = client.hgetall(entity_key(row["symbol"]))
                if problem := _difference(row, stored, level.view, names):
                    others.append(f"{row['symbol']} {level.view}: {problem}")
                else:
                    equal += 1
    return equal, others


def _difference(row: Mapping, stored: Mapping[bytes, bytes], view: str, names: list[str]) -> str:
    time_us = decode_time_us(stored.get(time_field(view)))
    if time_us != row["event_time_us"]:
        return f"time {time_us} online, {row['event_time_us']} in the lakehouse"
    different = [
        name for name in names if decode_double(stored.get(redis_field(view, name))) != row[name]
    ]
    return f"other values of {', '.join(different[:3])}" if different else ""
