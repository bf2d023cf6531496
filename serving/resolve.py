"""`python -m serving.resolve`: which model is Production, told as JSON by a process of its own.

MLflow costs five seconds of CPU and 200 MB to import; the API asks this child instead, and answers meanwhile.
Settings come as JSON on standard input; the last line of the output is the answer or the error.
"""

import sys

import orjson

from contracts.errors import TickError
from contracts.settings import Settings


def main(text: str) -> bytes:
    """The answer to settings given as JSON: name, version, path and digest, or error and hint."""
    from models.registry import production

    try:
        found = production(Settings.model_validate_json(text))
    except TickError as error:
        return orjson.dumps({"error": error.message, "hint": error.hint})
    return orjson.dumps({"name": found.name, "version": found.version, "path": str(found.path), "digest": found.digest})


if __name__ == "__main__":
    sys.stdout.buffer.write(b"\n" + main(sys.stdin.read()) + b"\n")
