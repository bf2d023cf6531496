"""`python -m tests.support.phrases`: where a banned phrase is in a source, page or message.

The list is `banned_phrases.toml`. `make check` runs this; the exit code is 1 when it finds any.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("banned_phrases.toml")
EXAMPLES = ROOT / "tests" / "test_phrases.py"
SUFFIXES = (".py", ".md", ".yml", ".yaml", ".sh", ".html", ".toml", "Makefile", "Dockerfile")


@cache
def banned() -> dict[re.Pattern[str], str]:
    """What to write instead, by pattern."""
    phrases = tomllib.loads(LIST.read_text())["phrases"]
    return {re.compile(rf"\b{p}\b", re.IGNORECASE): instead for p, instead in phrases.items()}


def files() -> list[Path]:
    """Every tracked text that a person reads, except the list itself and its tests."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    return [
        ROOT / name
        for name in tracked
        if name.endswith(SUFFIXES) and ROOT / name not in (LIST, EXAMPLES)
    ]


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, phrase, what to write instead) of every banned phrase, also inside names."""
    text = text.replace("_", " ")
    for pattern, instead in banned().items():
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match[0], instead


def main() -> int:
    """Print what was found; returns how many."""
    count = 0
    for file in files():
        for line, phrase, instead in found_in(file.read_text()):
            print(f"{file.relative_to(ROOT)}:{line}: “{phrase}”: write {instead}")
            count += 1
    return count


if __name__ == "__main__":
    sys.exit(min(main(), 1))
