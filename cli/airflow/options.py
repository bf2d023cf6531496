"""Arguments that the commands of `tick airflow` share, and the run parameters made of them."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

Dag = Annotated[
    str, typer.Argument(help="such as tick_model_training; `tick airflow status` lists them")
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="a parameter of the run, name=value; the value as JSON or plain text"
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="wait until it is over")]


def conf_of(
    given: list[str] | None, start: datetime | None, end: datetime | None
) -> dict[str, Any]:
    """The parameters of a run. Raises BadParameter for what has no name."""
    conf: dict[str, Any] = {}
    for word in given or []:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{word!r} is not name=value", param_hint="--set")
        conf[name] = _plain(value)
    moments = {"from": start, "to": end}
    return conf | {
        name: moment.isoformat() for name, moment in moments.items() if moment is not None
    }


def _plain(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
