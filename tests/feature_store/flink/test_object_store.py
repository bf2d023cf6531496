"""The read-back check with both engines' S3 clients, and a store without checksum trailers."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store.flink import object_store
from stack import jars
from stack.services import flink
from tests.support.s3_store import store_without_trailers

CHECKSUMS = "AWS_REQUEST_CHECKSUM_CALCULATION"
pytestmark = [
    pytest.mark.integration,  # a JVM
    # The Maven client leaves its connections to the garbage collector.
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture
def store(make_settings: Callable[..., Settings]) -> Iterator[tuple[Settings, dict[str, bytes]]]:
    """Settings with a warehouse in the store and a FLINK_HOME; the objects in the store."""
    with store_without_trailers() as (url, objects):
        keys = {"s3_access_key": SecretStr("key"), "s3_secret_key": SecretStr("hidden-word")}
        place = {
            "warehouse_uri": "s3://lake/warehouse",
            "s3_endpoint": url,
            "s3_region": "us-east-1",
        }
        settings = make_settings(**place, **keys)
        jars.ensure_downloaded(settings)
        flink.prepare_home(settings)
        yield settings, objects


def test_a_store_that_keeps_checksum_trailers_as_content_is_refused(store, monkeypatch):
    settings, objects = store
    monkeypatch.delenv(CHECKSUMS, raising=False)
    changed = r"changed the file that Flink wrote.*;chunk-signature="
    with pytest.raises(DatasetError, match=changed) as error:
        object_store.verify(settings)
    assert f"{CHECKSUMS}=when_required" in error.value.hint
    assert not any(objects.values()), "a file is left behind"


def test_without_trailers_both_engines_write_what_comes_back(store, monkeypatch):
    settings, objects = store
    monkeypatch.setenv(CHECKSUMS, "when_required")
    object_store.verify(settings)
    assert not any(objects.values()), "a file is left behind"


def test_a_store_that_does_not_answer_is_named_without_its_secret(store):
    settings, _ = store
    unreachable = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    with pytest.raises(DatasetError, match=r"cannot write and read s3://lake/warehouse") as error:
        object_store.verify(unreachable)
    assert "hidden-word" not in str(error.value)
