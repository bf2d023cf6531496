"""What a service on this machine says of itself, or nothing."""

import json
import urllib.request
from typing import Any


def json_at(url: str, timeout_s: float) -> dict[str, Any] | None:
    """The JSON object at an address; None when no one answers, or something else."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None
