"""Wire messages with every oddity that a sender, a network or an attacker could produce.

Each has a unique trade id.
"""

import itertools
import json
import random
from collections.abc import Iterator

from contracts.tick import (
    EVENT_TIME_US_MIN,
    NAME_CHARS_MAX,
    NOTIONAL_MAX,
    NOTIONAL_MIN,
    PRICE_MAX,
    PRICE_MIN,
    SIZE_MAX,
    SIZE_MIN,
    TRADE_ID_CHARS_MAX,
)

MARK = "ODD"  # in venue, symbol and trade id: at least one of them stays unchanged
TEXTS, WHOLES = (
    ("venue", "symbol", "trade_id"),
    ("schema_version", "event_time_us", "ingest_time_us", "side", "seq"),
)
REALS, QUOTES = ("price", "size"), ("bid", "ask", "bid_size", "ask_size")
Fields = dict[str, str]  # name → JSON text


def ulps(*values: float) -> list[str]:
    """Each value and its nearest floating-point neighbours."""
    around = [
        v + d * step
        for v in values
        for step in [abs(v) * 2**-52 or 5e-324]
        for d in (-2, -1, 0, 1, 2)
    ]
    return [repr(v) for v in around]


# JSON texts that replace the value of any field, separated by bars.
ANY = [
    text.strip()
    for text in r"""
null | true | false | "" | " " | "x" | [] | [1] | [1,2] | [ ] | ["a","b","c"] | {} | {"a":1} | {"price":1.5} | "\t1\n"
"\u00a01" | 'x' | undefined
NaN | Infinity | -Infinity | "NaN" | "-Infinity" | "+NaN" | "nan" | "inf" | 1e400 | -1e400 | "1e400" | 1e-400 | 1e99999999999
nul | 1d | "1d" | "1f"
01 | -0 | -0.0 | +1 | 1. | .5 | 0x10 | "0x10" | "0x1p3" | "0x1.8p1d" | "1_000" | "1,5" | "+1" | " 1 " | "1 2" | "1." | ".5"
"01" | "1e0" | "1.5"
1.5 | 0.999999 | 1e0 | 1E+2 | 1.0 | -1 | 0 | 12345678901234567890 | 2147483647 | 2147483648 | -2147483649 | 2147483647.5 | 9.3e18
9223372036854775807 | 9223372036854775808 | -9223372036854775808 | 9223372036854775808.0 | -9223372036854775809 | "9223372036854775807"
"9223372036854775808" | "000000000000000000000000000000001"
""".replace("\n", "|").split("|")
    if text.strip()
] + ["9" * 400, "0." + "9" * 400, "9" * 1200]
# Replaces numbers only: inside a string it is one of the rarer cases of contracts.messages.decoding.
NESTED = '{"price":{"size":2},"q":[]}'
LENGTHS = (NAME_CHARS_MAX, NAME_CHARS_MAX + 1, TRADE_ID_CHARS_MAX, TRADE_ID_CHARS_MAX + 1)
NAMES = [json.dumps(char * length, ensure_ascii=False) for char in "é😀" for length in LENGTHS]
NAMES += [
    f'"{odd}"'
    for odd in (
        "a:b",
        "é",
        "😀",
        r"\ud83d\ude00",
        r"\ud800",
        r"\udc00x",
        r"\u0000",
        "\ufffd",
        r"\ufffd",
        r"a\"b",
        r"\\",
        "a b",
    )
]
NAMES += [f'"{odd}"' for odd in (r"\u003a", "{", r"\x", r"\u12", "\t", "\x00", "a\x1fb")]
EDGES = {
    "price": ulps(PRICE_MIN, PRICE_MAX, NOTIONAL_MIN / 2.0, NOTIONAL_MAX / 2.0, 0.0),
    "size": ulps(SIZE_MIN, SIZE_MAX, NOTIONAL_MIN / 1.5, NOTIONAL_MAX / 1.5, 0.0),
    "side": ["-2", "-1", "0", "1", "2", "1.9", "-1.9", '"-1"'],
    "schema_version": ["0", "1", "2", "1.5", '"1"', "99"],
    "event_time_us": (
        [str(EVENT_TIME_US_MIN + d) for d in (-1, 0, 1)]
        + [f"{EVENT_TIME_US_MIN}.5", "253370764800000000", str(2**63 - 1), str(-(2**63))]
    ),
    "ingest_time_us": (
        [str(EVENT_TIME_US_MIN + d) for d in (-1, 0, 1)] + [str(2**63 - 1), "253370764800000000"]
    ),
    "seq": ["-1", "0", "-0", "-0.9", "1e18", str(2**63 - 1)],
    "bid": ["2", '"2"', "-1", "1e400", '"NaN"'],
    "ask": ["1", '"1"', "-1", "-1e400", '"NaN"'],
}
BROKEN_UTF8 = (
    rb"FF FEFF C3 C328 C080 C1BF EDA080 EDA0BDEDB880 E08080 E282 EFBFBD EFBFBE 80 F09F98 F888808080"
    rb" C3A9 F09F9880".split()
)
TAILS = [b" ", b"\n", b"\r\n\t", b"x", b"}", b",", b'{"a":1}', b"\xff", b"\x00", b"//", b" garbage"]
HEADS = [
    b" ",
    b"\n\t",
    b"\xef\xbb\xbf",
    b"x",
    b"\x00",
    b"\x0b",
    b"[",
    b'"',
    b"{",
    b"\xff",
    b"\xc2\xa0",
]


def good(number: int, time_us: int) -> Fields:
    values = {
        "schema_version": 1,
        "venue": MARK,
        "symbol": MARK,
        "event_time_us": time_us + number * 1000,
        "ingest_time_us": time_us + number * 1000 + 7,
    }
    values |= {"price": 1.5, "size": 2.0, "side": 1, "trade_id": f"{MARK}-{number}", "seq": number}
    return {name: json.dumps(value) for name, value in values.items()}


def text(fields: Fields) -> bytes:
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


def odd_values(name: str) -> list[str]:
    return [*ANY, *EDGES.get(name, ()), *(NAMES if name in TEXTS else [NESTED])]


def messages(count: int, seed: int, time_us: int) -> Iterator[bytes]:
    """Every odd value in every field, then `count` random mixtures; every second has quotes."""
    rng, numbers = random.Random(seed), itertools.count(1)
    for name in (*TEXTS, *WHOLES, *REALS, *QUOTES, "heartbeat"):
        for value in odd_values(name):
            yield text(good(next(numbers), time_us) | {name: value})
    for number in itertools.islice(numbers, count):
        fields = good(number, time_us)
        if number % 2:
            fields |= {"bid": "1.25", "ask": "1.75", "bid_size": "3", "ask_size": "4.5"}
        yield rng.choice(WAYS)(rng, fields)


def _value(rng: random.Random, fields: Fields) -> bytes:
    name = rng.choice([*fields, "unknown"])
    return text(fields | {name: rng.choice(odd_values(name))})


def _missing(rng: random.Random, fields: Fields) -> bytes:
    missing = rng.choice(list(fields))
    return text({name: value for name, value in fields.items() if name != missing})


def _shuffled(rng: random.Random, fields: Fields) -> bytes:
    names = list(fields | {"unknown": rng.choice(ANY)})
    rng.shuffle(names)
    return text({name: (fields | {"unknown": '{"a":[1,{"b":2}]}'})[name] for name in names})


def _repeated(rng: random.Random, fields: Fields) -> bytes:
    """Known names again, sometimes more often than there are columns."""
    again = [
        f'"{name}":{rng.choice([fields[name], fields[name], rng.choice(ANY[:6])])}'
        for name in rng.choices(list(fields), k=rng.choice([1, 2, 6, 12]))
    ]
    return text(fields)[:-1] + ("," + ",".join(again) + "}").encode()


def _spaced(rng: random.Random, fields: Fields) -> bytes:
    def blank() -> str:
        return rng.choice(["", " ", "\n", "\t", "\r\n", "  "])

    return (
        "{"
        + ",".join(f'{blank()}"{n}"{blank()}:{blank()}{v}{blank()}' for n, v in fields.items())
        + "}"
    ).encode()


def _broken_text(rng: random.Random, fields: Fields) -> bytes:
    name = rng.choice([*TEXTS, "unknown"])
    odd = bytes.fromhex(rng.choice(BROKEN_UTF8).decode()) * rng.choice([1, 1, 2, 31, 32, 33])
    return text(fields | {name: '"@"'}).replace(b"@", odd)


def _around(rng: random.Random, fields: Fields) -> bytes:
    return (
        rng.choice([b"", rng.choice(HEADS)]) + text(fields) + rng.choice([b"", rng.choice(TAILS)])
    )


def _encoded(rng: random.Random, fields: Fields) -> bytes:
    return (
        text(fields)
        .decode()
        .encode(
            rng.choice(
                [
                    "utf-16",
                    "utf-16-le",
                    "utf-16-be",
                    "utf-32",
                    "utf-32-le",
                    "utf-32-be",
                    "utf-8-sig",
                ]
            )
        )
    )


def _cut(rng: random.Random, fields: Fields) -> bytes:
    whole = text(fields)
    return whole[: rng.randrange(len(whole))]


def _bytes(rng: random.Random, fields: Fields) -> bytes:
    """Replace a few bytes at random; the trade id may change, venue and symbol stay."""
    whole, places = text(fields), rng.choice([1, 1, 2])
    for _ in range(places):
        at = rng.randrange(len(whole))
        whole = (
            whole[:at]
            + rng.choice(
                [
                    b'"',
                    b"{",
                    b"}",
                    b"\\",
                    b"\x00",
                    b"\xfe",
                    b"9",
                    b"-",
                    b".",
                    b"e",
                    b",",
                    b":",
                    b"[",
                    b" ",
                    b"",
                ]
            )
            + whole[at + rng.randrange(3) :]
        )
    return whole


WAYS = (
    _value,
    _value,
    _value,
    _missing,
    _shuffled,
    _repeated,
    _repeated,
    _spaced,
    _broken_text,
    _around,
    _encoded,
    _cut,
    _bytes,
    _bytes,
)
