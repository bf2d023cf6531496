"""A public file brought here once: resumed after a kill, verified by SHA-256, and only then given
its name.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from contracts.errors import TickError
from contracts.progress import Progress

PIECE_BYTES = 1 << 20


class DownloadError(TickError):
    """A public file could not be fetched, or is not the one that was asked for."""


def fetch(
    url: str, target: Path, sha256: str, timeout_s: float, bytes_max: int, progress: Progress
) -> Path:
    """`target`, downloaded from `url` unless the right file is there already; what an earlier try
    left in `.part` is continued.

    Raises DownloadError: no network, a refusing server, a broken connection (say it again), too
    many bytes, another SHA-256.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is not a web address", "only http:// and https:// are fetched")
    if target.is_file() and _sha256(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _receive(url, part, timeout_s, bytes_max, progress)
    except urllib.error.HTTPError as refused:
        refused.close()
        raise DownloadError(
            f"{url} answers {refused.code} {refused.reason}", "is the address right?"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        kept = part.stat().st_size if part.exists() else 0
        hint = (
            f"no network? {kept:,} bytes are kept: say it again to continue, or give the file"
            " itself with --data"
        )
        raise DownloadError(
            f"{url} cannot be fetched: {error or type(error).__name__}", hint
        ) from error
    _verify(part, sha256, url)
    part.replace(target)
    return target


def _receive(url: str, part: Path, timeout_s: float, bytes_max: int, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as refused:
        if refused.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        refused.close()  # all of it is here, or more than there is: the digest tells
        return
    with answer:
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # this server starts over
        _copy(answer, part, have, bytes_max, progress)


def _copy(answer: Any, part: Path, have: int, bytes_max: int, progress: Progress) -> None:
    left = int(answer.headers.get("Content-Length") or 0)
    total = have + left
    with part.open("ab" if have else "wb") as out:
        while piece := answer.read(PIECE_BYTES):
            have += len(piece)
            if have > bytes_max:
                raise DownloadError(
                    f"the file is longer than {bytes_max:,} bytes", "see TICK_DOWNLOAD_BYTES_MAX"
                )
            out.write(piece)
            progress("download", have, max(total, have))
    if have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _verify(part: Path, sha256: str, url: str) -> None:
    found = _sha256(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"what {url} sent has the SHA-256 {found}, not {sha256}",
            "it was deleted; was the file published again? See the setting of its SHA-256",
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
