"""The project's only Java class: compiled without a JDK, reproducibly, and what it makes of values
around the limit.
"""

import os
import zipfile

import pytest
from py4j.java_gateway import JavaGateway

from contracts.config import paths
from contracts.config.connections import BOUNDED_VALUE
from contracts.errors import ServiceError
from stack import bounded_value, jars

pytestmark = pytest.mark.integration
BYTES_MAX = 10


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache with the connector's jar and the compiled class, and its settings."""
    from tests.conftest import settings_in

    settings = settings_in(tmp_path_factory.mktemp("home"), cache=tmp_path_factory.mktemp("cache"))
    link_connector(settings)
    bounded_value.ensure_compiled(settings)
    return settings


def link_connector(settings):
    (connector,) = [jar.file for jar in jars.locked("flink") if "kafka" in jar.coordinate]
    (paths.jars(settings) / connector).symlink_to(paths.jars(settings_of_repo()) / connector)


def settings_of_repo():
    from contracts.config.settings import Settings
    from tests.conftest import REPO

    return Settings(cache=os.environ.get("TICK_CACHE", REPO / ".tick" / "jars"))


@pytest.fixture(scope="module")
def read(compiled):
    """Deserializes a value, without and with `bounded.value.cut`."""
    class_path = os.pathsep.join(str(file) for file in paths.jars(compiled).glob("*.jar"))
    gateway = JavaGateway.launch_gateway(
        classpath=class_path, java_path=str(paths.java()), die_on_exit=True
    )
    package, _, name = BOUNDED_VALUE.rpartition(".")
    deserializers = [getattr(getattr(gateway.jvm, package), name)() for _ in range(2)]
    for deserializer, cut in zip(deserializers, ("false", "true"), strict=True):
        options = gateway.jvm.java.util.HashMap()
        options.put("bounded.value.bytes.max", str(BYTES_MAX))
        options.put("bounded.value.cut", cut)
        deserializer.configure(options, False)
    yield lambda value: tuple(one.deserialize("ticks", value) for one in deserializers)
    gateway.shutdown()


def test_the_same_source_makes_the_same_file(compiled, make_settings, tmp_path):
    first = bounded_value.jar_path(compiled).read_bytes()
    again = make_settings(cache=tmp_path)
    link_connector(again)
    bounded_value.ensure_compiled(again)
    assert bounded_value.jar_path(again).read_bytes() == first
    assert zipfile.ZipFile(bounded_value.jar_path(again)).namelist() == [
        BOUNDED_VALUE.replace(".", "/") + ".class"
    ]
    assert len(list(tmp_path.iterdir())) == 2  # nothing half-made stays

    bounded_value.jar_path(again).write_bytes(b"kept")
    bounded_value.ensure_compiled(again)
    assert bounded_value.jar_path(again).read_bytes() == b"kept"


def test_without_the_connector_the_compiler_error_is_shown(make_settings, tmp_path):
    with pytest.raises(
        ServiceError, match=r"BoundedValue\.java cannot be compiled.*ByteArrayDeserializer"
    ):
        bounded_value.ensure_compiled(make_settings(cache=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, b"", b"x" * BYTES_MAX])
def test_a_value_within_the_limit_is_read_as_it_is(read, value):
    assert read(value) == (value, value)


def test_a_longer_one_is_null_or_its_first_bytes_and_its_length(read):
    assert read(b"x" * (BYTES_MAX + 1)) == (None, b"x" * BYTES_MAX + b"11")
    assert read(bytes(3_000_000)) == (None, bytes(BYTES_MAX) + b"3000000")
