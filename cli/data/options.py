"""Arguments and options that the commands on files of trades share."""

from typing import Annotated

import typer

SYNTHETIC = "synthetic"

Files = Annotated[list[str], typer.Argument(help="files or quoted globs")]
FilesOrSynthetic = Annotated[
    list[str], typer.Argument(help=f"files or quoted globs, or the word: {SYNTHETIC}")
]
Format = Annotated[
    str | None,
    typer.Option(help="name of the format instead of detecting it; an unknown name lists all"),
]
Venue = Annotated[str | None, typer.Option(help="venue, instead of the one in the file")]
Symbol = Annotated[str | None, typer.Option(help="symbol, instead of the one in the file")]

Speed = Annotated[
    float,
    typer.Option(
        min=0.0,
        help=(
            "event time per wall time: 1 = real time, 60 = a minute per second, 0.5 = half speed,"
            " 0 = as fast as possible"
        ),
    ),
]
AsLive = Annotated[
    bool,
    typer.Option(
        "--as-live",
        help=(
            "move event times to now: the last trade happens when the replay ends; a speed below 1"
            " stretches the time between trades"
        ),
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="continue where an interrupted replay of these files stopped"),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="discard the saved position and send everything")
]
SyntheticMinutes = Annotated[
    float, typer.Option(min=0.0, help="synthetic only: minutes from now on")
]
SyntheticHistory = Annotated[
    float, typer.Option(min=0.0, help="synthetic only: minutes before now, sent first")
]
SyntheticPreset = Annotated[str, typer.Option(help="synthetic only: demo or fixture")]
