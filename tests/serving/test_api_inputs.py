"""Whatever is sent, the answer is documented: bad JSON, odd types and thousands of generated
bodies, never a 500.
"""

import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.features import CORE
from serving.web.schemas import PredictResponse, ProblemDocument
from tests.serving.conftest import SYMBOL
from tests.support.fuzz import CASES

DOCUMENTED = {200, 400, 401, 404, 413, 422, 503}
JSON_HEADER = {"Content-Type": "application/json"}
CANARY = "zebra7"  # sent in the wrong place, it must not come back


def features_text(value: str, name: str = CORE[0]) -> bytes:
    rest = ",".join(f'"{other}":0.0' for other in CORE[1:])
    return f'{{"rows":[{{"symbol":"{SYMBOL}","features":{{"{name}":{value},{rest}}}}}]}}'.encode()


BAD_BODIES = {
    "empty": (b"", 422),
    "null": (b"null", 422),
    "text": (b'"zebra7"', 422),
    "number": (b"7", 422),
    "array": (b"[]", 422),
    "no json": (b"zebra7", 400),
    "cut off": (b'{"symbols": ["zebra7', 400),
    "trailing": (b'{"symbols": ["A:B"]} zebra7', 400),
    "bad utf-8": (b'{"symbols": ["\xff\xfe"]}', 400),
    "utf-16": ('{"symbols": ["A:B"]}'.encode("utf-16"), 400),
    "lone surrogate": (b'{"symbols": ["A:B\\ud800"]}', 400),
    "lone surrogate as key": (b'{"\\udfff": 1}', 400),
    "deep arrays": (b"[" * 30_000 + b"]" * 30_000, 400),
    "deep arrays within orjson's limit": (b'{"symbols": ' + b"[" * 1000 + b"]" * 1000 + b"}", 400),
    "deep arrays that parse": (b'{"symbols": ' + b"[" * 200 + b"]" * 200 + b"}", 422),
    "deep objects": (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, 400),
    "key twice": (b'{"symbols": ["A:B"], "symbols": ["C:D"]}', 400),
    "feature twice": (features_text(f'1.0,"{CORE[0]}":2.0'), 400),
    "NaN": (features_text("NaN"), 400),
    "Infinity": (features_text("Infinity"), 400),
    "1e999": (features_text("1e999"), 400),
    "-1e999": (features_text("-1e999"), 400),
    "1e300, beyond single precision": (features_text("1e300"), 422),
    "long integer": (features_text("9" * 400), 400),
    "very long integer": (features_text("9" * 5000), 400),
    "integer of 38 digits": (features_text("9" * 39), 422),
    "feature as text": (features_text('"zebra7"'), 422),
    "feature as bool": (features_text("true"), 422),
    "feature null": (features_text("null"), 422),
    "feature nested": (features_text("[1.0]"), 422),
    "odd feature name": (features_text("1.0", "__class__"), 422),
    "long feature name": (features_text("1.0", "x" * 5000), 422),
    "unknown field": (b'{"symbols": ["A:B"], "zebra7": 1}', 422),
    "both sources": (b'{"symbols": ["A:B"], "rows": []}', 422),
    "no source": (b'{"include_features": true}', 422),
    "no symbols": (b'{"symbols": []}', 422),
    "symbols null": (b'{"symbols": null}', 422),
    "symbols as text": (b'{"symbols": "A:B"}', 422),
    "symbol as number": (b'{"symbols": [7]}', 422),
    "flag as text": (b'{"symbols": ["A:B"], "include_features": "yes"}', 422),
    "flag as number": (b'{"symbols": ["A:B"], "include_features": 1}', 422),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_refused_without_repeating_it(api, name):
    body, status = BAD_BODIES[name]
    response = api.post("/predict", content=body, headers=JSON_HEADER)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    ProblemDocument.model_validate_json(response.content)
    if name != "unknown field":  # the one place where a plain name helps more than it harms
        assert CANARY not in response.text


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("text/plain", 422),
        ("application/x-www-form-urlencoded", 422),
        ("multipart/form-data", 422),
        ("", 422),
        ("application/json; charset=utf-8", 404),
        ("application/json; \x01", 404),
    ],
)
def test_only_json_is_parsed(api, feeder, header, status):
    feeder.beat()  # so that the symbol is unknown, and the store not empty
    body = b'{"symbols": ["A:B"]}'
    response = api.post("/predict", content=body, headers={"Content-Type": header})
    assert response.status_code == status


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "A",
        ":",
        "A:",
        ":B",
        "A:B\n",
        " A:B",
        "A:B:C",
        "A:*",
        "A:B\r\nSET x 1",
        "A:B\x00",
        "../A:B",
        "A:" + "B" * 33,
        "A" * 33 + ":B",
        "А:B",
        "A:B ",
    ],
)
def test_an_odd_symbol_never_reaches_the_store(api, redis_server, symbol):
    redis_server.stall()  # whatever reached it would be answered 503
    try:
        response = api.predict(symbol)
    finally:
        redis_server.resume()
    assert response.status_code == 422


NAMES = st.from_regex(r"[A-Za-z0-9_.:/-]{0,40}", fullmatch=True)
FORBIDDEN = st.characters(exclude_characters="_.-:/", exclude_categories=()).filter(
    lambda character: not (character.isascii() and character.isalnum())
)
SEVERAL_COLONS = st.lists(NAMES, min_size=3, max_size=5).map(":".join)
ODD_SYMBOLS = st.builds("{}{}{}".format, NAMES, FORBIDDEN, NAMES | st.text(max_size=8))


def test_no_generated_odd_symbol_reaches_the_store(api, redis_server):
    """Each has a character that no symbol has, or two colons. The stalled Redis would be a 503."""
    statuses: list[int] = []

    @settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
    @given(ODD_SYMBOLS | SEVERAL_COLONS)
    def probe(symbol: str) -> None:
        body = json.dumps({"symbols": [symbol]}).encode()
        statuses.append(api.post("/predict", content=body, headers=JSON_HEADER).status_code)
        assert statuses[-1] in {400, 422}  # 400: a lone surrogate is not valid JSON text

    redis_server.stall()
    try:
        probe()
    finally:
        redis_server.resume()
    assert len(statuses) >= CASES


def test_symbols_are_ascii_names_with_a_venue(api, feeder):
    feeder.beat()
    for symbol in ("A:B", "CME_1.x-y:ES/Z5", "A" * 32 + ":" + "B" * 32):
        assert api.predict(symbol).status_code == 404


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=10) | st.sampled_from(CORE), inner, max_size=4)
    ),
    max_leaves=12,
)
SYMBOLS = (
    st.sampled_from([SYMBOL, "SYNTH:OLD", "SYNTH:NOPE"])
    | st.from_regex(r"[A-Za-z0-9_.-]{1,8}:[A-Z/]{1,8}", fullmatch=True)
    | JSON_VALUES
)
FEATURES = (
    st.fixed_dictionaries({name: st.floats(allow_nan=False, allow_infinity=False) for name in CORE})
    | JSON_VALUES
)
ROWS = st.fixed_dictionaries({"symbol": SYMBOLS, "features": FEATURES})
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "symbols": st.lists(SYMBOLS, max_size=4) | JSON_VALUES,
        "rows": st.lists(ROWS, max_size=3) | JSON_VALUES,
        "include_features": st.booleans() | JSON_VALUES,
    },
)
ASKED = st.builds(lambda symbols: {"symbols": symbols}, st.lists(SYMBOLS, min_size=1, max_size=4))
BODIES = (ASKED | REQUESTS | JSON_VALUES).map(lambda value: json.dumps(value).encode()) | st.binary(
    max_size=200
)


def test_no_generated_body_gets_an_undocumented_answer(api, feeder):
    feeder.put()
    feeder.put("SYNTH:OLD", age_s=1000)
    feeder.beat()
    seen: dict[int, int] = {}

    @settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
    @given(BODIES)
    def fuzz(body: bytes) -> None:
        response = api.post("/predict", content=body, headers=JSON_HEADER)
        assert response.status_code in DOCUMENTED
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        if response.status_code == 200:
            PredictResponse.model_validate_json(response.content)
        else:
            ProblemDocument.model_validate(orjson.loads(response.content))

    fuzz()
    assert sum(seen.values()) >= CASES
    assert {200, 400, 404, 422, 503} <= seen.keys()
