"""Child process of `models.runtime.check_in_child`: `python -m models.load_check FOLDER DIGEST`.

Exits with 0 if the model loads and reproduces the stored forecasts of its golden rows.
"""

import sys
from pathlib import Path

from contracts.errors import TickError
from models.runtime import golden_difference, verify_manifest


def find_problem(folder: Path, digest: str) -> str | None:
    """Why the model must not be used, or None."""
    try:
        difference = golden_difference(folder, digest)
        difference_max = verify_manifest(folder, digest).difference_max
    except TickError as error:
        return error.message
    if difference <= difference_max:
        return None
    return f"golden forecasts differ by {difference:g}"


if __name__ == "__main__":
    sys.exit(find_problem(Path(sys.argv[1]), sys.argv[2]))
