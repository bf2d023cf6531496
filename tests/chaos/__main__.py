"""`python -m tests.chaos [ROW…]`: do faults to a platform, print what arrived, save all results."""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.clock import now_us
from contracts.config.settings import settings
from tests.chaos import plan as plans
from tests.chaos import report, run

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
RATE, SMOKE_RATE = 2000.0, 500.0


def main(
    rows: Annotated[
        list[str] | None,
        typer.Argument(help=f"rows to run, by default all: {', '.join(plans.NAMES)}"),
    ] = None,
    seed: Annotated[int, typer.Option(help="decides every action")] = 1,
    count: Annotated[
        int | None, typer.Option(min=1, help="faults of each row; default: as the row says")
    ] = None,
    minutes: Annotated[float, typer.Option(min=1, help="length of the soak F28")] = 30.0,
    rate: Annotated[float | None, typer.Option(min=10, help="ticks per second")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="one short phase with six faults")] = False,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="do this saved list of actions again")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for plan, results and logs")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="only print the list of actions")] = False,
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="write docs/reliability.md")
    ] = False,
) -> None:
    """Exit code 1: a tick was lost, counted twice or changed, a service did not come back, or an
    answer was wrong.
    """
    # sys.exit runs the clean-up handlers, which stop the platform.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    if unknown := set(rows or ()) - set(plans.NAMES):
        raise typer.BadParameter(f"unknown row {', '.join(sorted(unknown))}")
    if plan_file is not None:
        plan = plans.Plan.load(plan_file)
    else:
        names = (plans.SMOKE,) if smoke else tuple(rows or plans.NAMES)
        plan = plans.make(names, seed, rate or (SMOKE_RATE if smoke else RATE), count, minutes)
    for line in plan.lines():
        console.print(line, markup=False, highlight=False)
    if dry:
        return
    folder = out or settings().root / "chaos" / f"{_now():%Y%m%dT%H%M%SZ}"
    plan.save(folder / "plan.json")
    results = run.run(plan, folder, lambda line: console.print(line, markup=False, highlight=False))
    report.show(console, results)
    report.save(folder / "report.json", results)
    if write_docs:
        PAGE.write_text(report.page(results))
    console.print(f"saved to {folder}", soft_wrap=True)
    raise typer.Exit(int(not results.passed))


def _now() -> datetime:
    return datetime.fromtimestamp(now_us() / 1e6, UTC)


if __name__ == "__main__":
    typer.run(main)
