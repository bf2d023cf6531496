"""Download of a public file: resumable, verified by SHA-256, and renamed only when complete."""

import hashlib
import http.client
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from contracts.errors import TickError
from contracts.progress import Progress

CHUNK_BYTES = 1 << 20


class DownloadError(TickError):
    """A public file could not be downloaded, or its content is not the expected one."""


def download_file(
    url: str, target: Path, sha256: str, timeout_s: float, bytes_max: int, progress: Progress
) -> Path:
    """Download `url` to `target`, unless the file with that SHA-256 exists already.

    The part that an interrupted attempt left in `<target>.part` is resumed by a range request.
    Returns `target`.

    Raises DownloadError if the URL is not http(s), the server refuses, the connection breaks (run
    it again to resume), the file is longer than `bytes_max`, or the SHA-256 differs.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is not a web address", "only http:// and https:// are fetched")
    if target.is_file() and _sha256(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        _receive(url, partial, timeout_s, bytes_max, progress)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        raise DownloadError(
            f"{url} answers {refusal.code} {refusal.reason}", "check the address"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        received = partial.stat().st_size if partial.exists() else 0
        hint = (
            f"check the network; {received:,} bytes are saved: run the command again to resume, or"
            " pass the file itself with --data"
        )
        raise DownloadError(
            f"{url} cannot be fetched: {error or type(error).__name__}", hint
        ) from error
    _verify(partial, sha256, url)
    partial.replace(target)
    return target


def _receive(url: str, partial: Path, timeout_s: float, bytes_max: int, progress: Progress) -> None:
    offset = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as refusal:
        if refusal.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not offset:
            raise
        refusal.close()  # the partial file is complete or too long: its SHA-256 decides
        return
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            offset = 0  # the server does not support ranges and sends the file from the start
        _copy(response, partial, offset, bytes_max, progress)


def _copy(response: Any, partial: Path, offset: int, bytes_max: int, progress: Progress) -> None:
    received = offset
    total = offset + int(response.headers.get("Content-Length") or 0)
    with partial.open("ab" if offset else "wb") as out:
        while chunk := response.read(CHUNK_BYTES):
            received += len(chunk)
            if received > bytes_max:
                raise DownloadError(
                    f"the file is longer than {bytes_max:,} bytes", "see TICK_DOWNLOAD_BYTES_MAX"
                )
            out.write(chunk)
            progress("download", received, max(total, received))
    if received < total:
        raise http.client.IncompleteRead(b"", total - received)


def _verify(partial: Path, sha256: str, url: str) -> None:
    actual = _sha256(partial)
    if actual != sha256:
        partial.unlink()
        raise DownloadError(
            f"the file from {url} has the SHA-256 {actual}, not {sha256}",
            "it was deleted; if a new version was published, change the setting of its SHA-256",
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
