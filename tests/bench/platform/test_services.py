"""The platform of one bench: started on free ports, and stopped whatever happens."""

import os
import socket

import pytest

from bench.errors import BenchError
from bench.platform import services
from bench.platform.services import PORT_BLOCKS, PORTS, free_ports
from contracts.config import paths
from contracts.config.settings import settings as own_settings
from contracts.errors import TickError
from stack import platform


def test_every_service_gets_its_consecutive_ports():
    ports = free_ports()
    taken = [
        ports[setting] + offset for setting, count in PORT_BLOCKS.items() for offset in range(count)
    ]
    assert len(set(taken)) == sum(PORT_BLOCKS.values())
    assert PORTS.start <= min(taken) <= max(taken) < 32_768  # where outgoing connections begin


@pytest.mark.parametrize("setting", PORT_BLOCKS)
def test_a_port_in_use_is_not_offered(setting):
    port = free_ports()[setting]
    with socket.create_server(("127.0.0.1", port)):
        assert port not in free_ports().values()


def test_a_block_with_one_port_in_use_is_skipped_as_a_whole():
    first = free_ports()["kafka_port"]
    with socket.create_server(("127.0.0.1", first + 1)):
        assert free_ports()["kafka_port"] > first + 1


def test_two_benches_at_a_time_get_different_ports(monkeypatch):
    ports = []
    for pid in (1000, 1001):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        ports.append(set(free_ports().values()))
    assert ports[0].isdisjoint(ports[1])


@pytest.fixture
def calls(monkeypatch):
    """Records the starts and stops of a platform instead of starting it."""
    recorded = []
    monkeypatch.setattr(platform, "up", lambda _, names: recorded.append(("up", names)))
    monkeypatch.setattr(platform, "down", lambda settings: recorded.append(("down", settings.root)))
    return recorded


def test_the_services_run_in_a_temporary_home_with_the_jars_of_the_user(calls):
    with services.run_services(["redis"], redis_timeout_ms=123.0) as settings:
        assert calls == [("up", ("redis",))]
        assert settings.root != own_settings().root
        assert paths.jars(settings) == paths.jars(own_settings())
        assert settings.redis_timeout_ms == 123.0
        assert settings.root.is_dir() or settings.root.parent.is_dir()
        home = settings.root
    assert calls[1:] == [("down", home)]
    assert not home.exists()


@pytest.mark.parametrize("error", [BenchError("nothing arrived"), SystemExit(143)])
def test_the_platform_is_stopped_after_a_failure_and_after_a_signal(calls, error):
    with pytest.raises(type(error)), services.run_services(["redis"]):
        raise error
    assert [call for call, _ in calls] == ["up", "down"]


def test_a_platform_that_did_not_start_is_stopped(monkeypatch, calls):
    def refuse(settings, names):
        raise TickError("kafka is not ready")

    monkeypatch.setattr(platform, "up", refuse)
    with (
        pytest.raises(TickError, match="kafka is not ready"),
        services.run_services(["kafka"]),
    ):
        pytest.fail("the block of a platform that did not start must not run")
    assert [call for call, _ in calls] == ["down"]


@pytest.mark.integration
def test_a_platform_is_stopped_after_a_failure():
    with pytest.raises(BenchError), services.run_services(("redis",)) as settings:
        redis, home = services.process(settings, "redis"), settings.root
        raise BenchError("as if something never arrived")
    assert not redis.is_running()
    assert not home.exists()


def test_a_service_that_does_not_run_is_named_with_its_log(free_settings):
    with pytest.raises(BenchError, match=r"redis is not running\n.*see .*redis.*log"):
        services.process(free_settings, "redis")


def test_waiting_ends_with_what_was_missing():
    with pytest.raises(BenchError, match="waited 0 s in vain: the last row"):
        services.wait(lambda: False, "the last row", timeout_s=0.0)


def test_waiting_ends_as_soon_as_it_is_done(monkeypatch):
    monkeypatch.setattr(services, "POLL_S", 0.0)
    answers = iter([False, False, True])
    services.wait(lambda: next(answers), "the third answer", timeout_s=60.0)
    assert next(answers, "none") == "none"


def test_what_is_done_already_needs_no_time():
    services.wait(lambda: True, "nothing", timeout_s=0.0)
