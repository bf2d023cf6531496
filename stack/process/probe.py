"""HTTP probes of services on this machine."""

import json
import urllib.request
from typing import Any


def fetch_json(url: str, timeout_s: float) -> dict[str, Any] | None:
    """The JSON object at a URL; None when there is no response, or it is not JSON."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            content: dict[str, Any] = json.load(response)
            return content
    except (OSError, ValueError):
        return None


def returns_ok(url: str, timeout_s: float) -> bool:
    """Whether the URL responds with HTTP status 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False
