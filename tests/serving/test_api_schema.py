"""The running API against its own OpenAPI document: generated requests of every kind, valid and
not, answered as documented.

`tests.support.fuzz` says how many in all.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.conftest import KEY
from tests.serving.test_api_process import Process, fed, live  # noqa: F401 - fixtures
from tests.support.fuzz import CASES

CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
STREAM = "/v1/predictions/stream"  # it goes on for an hour: see test_api_live

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # Schemathesis and what it stands on warn of each other


@pytest.fixture(scope="module")
def api(live):  # noqa: F811
    process = Process(live)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def schema(api):
    return schemathesis.openapi.from_url(
        f"{api.settings.api_url}/openapi.json", headers={"X-API-Key": KEY}
    )


@pytest.mark.integration
def test_every_answer_is_documented_and_in_its_schema(api, schema, fed):  # noqa: F811
    seen: dict[str, int] = {}

    def ask_about(operation, cases: int) -> None:
        modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

        @settings(max_examples=cases, database=None, suppress_health_check=list(HealthCheck))
        @given(case=st.one_of(modes))
        def ask(case):
            response = case.call(headers={"X-API-Key": KEY}, timeout=10)
            seen[str(response.status_code)] = seen.get(str(response.status_code), 0) + 1
            assert response.status_code < 500 or response.status_code == 503, case.as_curl_command()
            case.validate_response(response, checks=CHECKS)

        ask()

    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 12
    # Those with few inputs first: the share that they do not use goes to the ones with a body.
    left = sorted((o for o in operations if o.path != STREAM), key=lambda o: o.method == "post")
    while left:
        ask_about(left[0], -(-(CASES - sum(seen.values())) // len(left)))
        left.pop(0)
    assert sum(seen.values()) >= CASES
    assert api.process.poll() is None
    print(f"{sum(seen.values())} cases of {len(operations) - 1} operations: {seen}")
