"""The exit codes of commands, for scripts: 0 success, 1 failed, 2 wrong argument, 3 refused."""

import typer

FAILED = 1
REFUSED = 3  # the command did its work, and the verdict is no


def exit_if(condition: bool, code: int) -> None:
    """End the command with this exit code if the condition holds. Raises typer.Exit."""
    if condition:
        raise typer.Exit(code)
