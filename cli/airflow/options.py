"""Arguments that the commands of `tick airflow` share, and the run parameters built from them."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

Dag = Annotated[
    str, typer.Argument(help="such as tick_model_training; `tick airflow status` lists them")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="a parameter of the run, name=value; the value as JSON or plain text"
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="wait until the run has ended")]


def build_conf(
    parameters: list[str] | None, start: datetime | None, end: datetime | None
) -> dict[str, Any]:
    """The parameters of a run. Raises BadParameter for text that is not name=value."""
    times = {"from": start, "to": end}
    return {
        **dict(map(_parse_parameter, parameters or ())),
        **{name: time.isoformat() for name, time in times.items() if time is not None},
    }


def _parse_parameter(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if not name or name == text:
        raise typer.BadParameter(f"{text!r} is not name=value", param_hint="--set")
    return name, _parse_value(value)


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
