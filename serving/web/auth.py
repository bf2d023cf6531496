"""API keys: which keys are accepted, and the ASGI middleware that answers 401 without one."""

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.config.groups.serving import ServingSettings
from contracts.errors import ServiceError
from serving.web.headers import find_header
from serving.web.http_middleware import HttpMiddleware
from serving.web.problems import ProblemError

log = structlog.get_logger("serving")
LIVENESS = "/healthz"
KEY_HEADER = b"x-api-key"
# Key of the ASGI scope under which `RequireKey` stores the index of the accepted key.
CALLER = "tick.caller"
KEYS_RELOAD_S = 5.0


class ApiKeys:
    """The accepted API keys, stored only as SHA-256 digests and compared in constant time.

    The key file is checked for changes every `KEYS_RELOAD_S` seconds, so that keys can be added
    and revoked without a restart. A line of the file is a key, or `sha256:` and the hex digest of
    a key. A file that cannot be read keeps its keys for `stale_s_max`, an absent one until the next
    check; then only the fixed keys are accepted. `report` gets the result of every check.
    """

    def __init__(
        self,
        keys: Iterable[str],
        file: Path | None = None,
        stale_s_max: float = 0.0,
        report: Callable[[bool], None] = lambda _is_readable: None,
    ) -> None:
        self._fixed_digests = tuple(_digest(key) for key in keys)
        self._digests = self._fixed_digests
        self._file = file
        self._file_mtime_ns = 0
        self._next_reload_s = 0.0
        self._stale_s_max = stale_s_max
        self._report = report
        self._unreadable_since_s: float | None = None
        self._is_absent = False
        self._reload()
        report(True)

    def __len__(self) -> int:
        return len(self._digests)

    def match(self, key: bytes) -> int | None:
        """The index of `key` among the accepted keys, or None."""
        if time.monotonic() >= self._next_reload_s:
            self._check_file()
        digest = hashlib.sha256(key).digest()
        matches = [hmac.compare_digest(digest, accepted) for accepted in self._digests]
        return matches.index(True) if any(matches) else None

    def _check_file(self) -> None:
        try:
            self._reload()
        except ServiceError as error:
            log.error("API keys not read", reason=error.message, hint=error.hint)
            self._handle_unreadable(isinstance(error.__cause__, FileNotFoundError))
            self._report(False)
            return
        self._unreadable_since_s = None
        self._is_absent = False
        self._report(True)

    def _handle_unreadable(self, is_absent: bool) -> None:
        """Revoke the keys of the file when it has been absent or unreadable for too long.

        One check may fall between the removal and the new file of a replacement that is not atomic.
        """
        now_s = time.monotonic()
        if self._unreadable_since_s is None:
            self._unreadable_since_s = now_s
        is_stale = now_s - self._unreadable_since_s >= self._stale_s_max
        if is_stale or (is_absent and self._is_absent):
            log.error("the keys of the file are revoked", file=str(self._file))
            self._digests = self._fixed_digests
            self._file_mtime_ns = 0  # the next file that can be read counts as changed
        self._is_absent = is_absent

    def _reload(self) -> None:
        self._next_reload_s = time.monotonic() + KEYS_RELOAD_S
        if self._file is None:
            return
        try:
            mtime_ns = self._file.stat().st_mtime_ns
            if mtime_ns != self._file_mtime_ns:
                self._digests = self._fixed_digests + _file_digests(self._file)
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the API keys in {self._file} cannot be read: {error}", "check TICK_API_KEYS_FILE"
            ) from error
        self._file_mtime_ns = mtime_ns


def _file_digests(file: Path) -> tuple[bytes, ...]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return tuple(_digest(line) for line in lines if line and not line.startswith("#"))


def _digest(key: str) -> bytes:
    prefix, _, hex_digest = key.partition(":")
    if prefix == "sha256" and len(hex_digest) == 64:
        return bytes.fromhex(hex_digest)
    return hashlib.sha256(key.encode()).digest()


def load_api_keys(
    settings: ServingSettings, report: Callable[[bool], None] = lambda _is_readable: None
) -> ApiKeys:
    """The accepted keys of `settings`; `report` gets whether the key file could be read.

    Raises ServiceError when there is no key, unless `api_open` is set and the host is loopback.
    """
    _forbid_open_network(settings)
    # An empty secret is false.
    keys = [settings.api_key.get_secret_value()] if settings.api_key else []
    accepted = ApiKeys(keys, settings.api_keys_file, settings.api_keys_stale_s_max, report)
    if len(accepted) or settings.api_open:
        return accepted
    raise ServiceError(
        "the API has no key",
        "set TICK_API_KEY; for development on loopback, TICK_API_OPEN=true serves without a key",
    )


def _forbid_open_network(settings: ServingSettings) -> None:
    if settings.api_open and not _is_loopback(settings.host):
        raise ServiceError(
            f"TICK_API_OPEN on {settings.host} would serve everyone on the network without a key",
            "set TICK_API_KEY, or set TICK_HOST to a loopback address for development",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RequireKey(HttpMiddleware):
    """Answers 401 to requests without an accepted key; the liveness check and `public` paths pass.

    The key is the X-API-Key header, a bearer token, or the password of HTTP Basic (for browsers,
    which prompt for it).
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, public: frozenset[str], open_to_all: bool = False
    ) -> None:
        super().__init__(app)
        self.keys = keys
        self.public = public | {LIVENESS}
        self.open_to_all = open_to_all

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.open_to_all or scope["path"] in self.public:
            return await self.app(scope, receive, send)
        caller = self._find_caller(scope)
        if caller is None:
            return await _unauthorized(scope).response()(scope, receive, send)
        scope[CALLER] = caller
        return await self.app(scope, receive, send)

    def _find_caller(self, scope: Scope) -> int | None:
        key = _request_key(scope)
        return None if key is None else self.keys.match(key)


def _unauthorized(scope: Scope) -> ProblemError:
    is_browser = b"text/html" in find_header(scope, b"accept")
    challenge = 'Basic realm="lakehouse-tick", charset="UTF-8"' if is_browser else "X-API-Key"
    return ProblemError(
        401,
        "unauthorized",
        "A valid X-API-Key header is required.",
        headers={"WWW-Authenticate": challenge},
    )


def _request_key(scope: Scope) -> bytes | None:
    """The key of a request; None when it has no key or more than one."""
    keys = [_KEY_READERS[name](value) for name, value in scope["headers"] if name in _KEY_READERS]
    return keys[0] if len(keys) == 1 else None


def _authorization_key(value: bytes) -> bytes:
    scheme, _, credentials = value.partition(b" ")
    if scheme.lower() == b"bearer":
        return credentials.strip()
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


# How the key is read from the headers that can have one.
_KEY_READERS: dict[bytes, Callable[[bytes], bytes]] = {
    KEY_HEADER: bytes,
    b"authorization": _authorization_key,
}
