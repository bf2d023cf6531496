"""The platform of one bench: started on free ports, and stopped whatever happens."""

import pytest

from bench.errors import BenchError
from bench.platform import services


@pytest.mark.integration
def test_a_platform_is_stopped_after_a_failure():
    with pytest.raises(BenchError), services.run_services(("redis",)) as settings:
        redis, home = services.process(settings, "redis"), settings.root
        raise BenchError("as if something never arrived")
    assert not redis.is_running()
    assert not home.exists()


def test_waiting_ends_with_what_was_missing():
    with pytest.raises(BenchError, match="in vain: the last row"):
        services.wait(lambda: False, "the last row", timeout_s=0.0)
    services.wait(lambda: True, "nothing", timeout_s=0.0)
