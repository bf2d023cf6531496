"""Fault injection: mixes labelled bad messages into good ones, for tests that nothing is lost."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from contracts.tick import Reason

Fields = dict[str, Any]
YEAR_9999_US = 253_370_764_800_000_000
DAY_US = 86_400_000_000


def _with(**changes: Any) -> Callable[[Fields, int], bytes]:
    return lambda fields, _now: orjson.dumps(fields | changes)


def _crossed(fields: Fields, _now: int) -> bytes:
    return orjson.dumps(
        fields
        | {
            "bid": fields["price"] * 1.01,
            "ask": fields["price"] * 0.99,
            "bid_size": 1.0,
            "ask_size": 1.0,
        }
    )


def _raw(old: bytes, new: bytes) -> Callable[[Fields, int], bytes]:
    return lambda fields, _now: orjson.dumps(fields | {"price": 1.25}).replace(old, new, 1)


# kind → (reason of the rejection, function that damages a copy of a good message)
DAMAGE: dict[str, tuple[Reason, Callable[[Fields, int], bytes]]] = {
    "bad_json": (Reason.MALFORMED_JSON, lambda fields, _now: orjson.dumps(fields)[:-7]),
    "empty": (Reason.MALFORMED_JSON, lambda _fields, _now: b""),
    "bad_utf8": (Reason.MALFORMED_JSON, _raw(b'"trade_id":"', b'"trade_id":"\xff\xfe')),
    "nan": (Reason.MALFORMED_JSON, _raw(b'"price":1.25', b'"price":NaN')),
    "wrong_version": (Reason.UNKNOWN_SCHEMA_VERSION, _with(schema_version=99)),
    "wrong_type": (Reason.INVALID_FIELD, _with(price="cheap")),
    "missing_field": (
        Reason.INVALID_FIELD,
        lambda fields, _now: orjson.dumps({k: v for k, v in fields.items() if k != "price"}),
    ),
    "negative": (Reason.NOT_POSITIVE, _with(size=-1.0)),
    "future": (
        Reason.TIME_OUT_OF_BOUNDS,
        lambda fields, now: orjson.dumps(fields | {"event_time_us": now + DAY_US}),
    ),
    "year_1970": (Reason.TIME_OUT_OF_BOUNDS, _with(event_time_us=1_000)),
    "year_9999": (Reason.TIME_OUT_OF_BOUNDS, _with(event_time_us=YEAR_9999_US)),
    "crossed_quote": (Reason.CROSSED_QUOTE, _crossed),
}
KINDS = (*DAMAGE, "duplicate", "disorder")  # the last two are accepted


@dataclass(frozen=True)
class Faulted:
    """The mixed stream; `labels[i]` is the fault of message i, None if unchanged."""

    messages: list[bytes]
    labels: list[str | None]
    counts: Counter[str]

    @property
    def rejected(self) -> Counter[str]:
        """Expected dead letters by reason code."""
        return Counter({reason.value: 0 for reason, _ in DAMAGE.values()}) + Counter(
            DAMAGE[label][0].value for label in self.labels if label in DAMAGE
        )


def inject_faults(
    messages: Sequence[bytes],
    share: float,
    seed: int,
    now_us: int,
    kinds: Sequence[str] = KINDS,
    disorder_us: int = 150_000,
    duplicate_gap: int = 50,
) -> Faulted:
    """`messages` in order with about `share`·n faults of random kinds.

    Every good message stays in the stream once. Bad messages are damaged copies with a distinct
    trade id, duplicates are verbatim copies up to `duplicate_gap` messages later, and disorder
    moves a message after later ones that are up to `disorder_us` newer.
    """
    rng = random.Random(seed)
    placed: list[tuple[float, str | None, bytes]] = []
    times = (
        [orjson.loads(message)["event_time_us"] for message in messages]
        if "disorder" in kinds
        else []
    )
    for i, message in enumerate(messages):
        kind = rng.choice(kinds) if rng.random() < share else None
        if kind == "disorder":
            placed.append((_displaced(i, times, disorder_us), kind, message))
            continue
        placed.append((i, None, message))
        if kind == "duplicate":
            placed.append((i + rng.randint(0, duplicate_gap) + 0.5, kind, message))
        elif kind is not None:
            fields = orjson.loads(message)
            placed.append(
                (i + 0.5, kind, DAMAGE[kind][1](fields | {"trade_id": f"bad-{i}"}, now_us))
            )
    placed.sort(key=lambda entry: entry[0])
    labels = [label for _, label, _ in placed]
    return Faulted(
        [message for _, _, message in placed], labels, Counter(label for label in labels if label)
    )


def _displaced(index: int, times: list[int], disorder_us: int) -> float:
    """The place right after the last following message that is at most `disorder_us` newer."""
    last = index
    while (
        last + 1 < len(times)
        and last - index < 100
        and times[last + 1] - times[index] <= disorder_us
    ):
        last += 1
    return last + 0.25
