"""The child process of `models.runtime.check`: exit 0 when a model folder loads and answers its
golden rows as stored.
"""

import sys
from pathlib import Path

from contracts.errors import TickError
from models.runtime import golden_difference, verified


def main(folder: str, digest: str) -> str | None:
    """None when all is well, else the complaint."""
    try:
        difference, bound = (
            golden_difference(Path(folder), digest),
            verified(Path(folder), digest).difference_max,
        )
    except TickError as error:
        return error.message
    return None if difference <= bound else f"golden forecasts differ by {difference:g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
