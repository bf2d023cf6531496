"""The results of a run: tables for the terminal, JSON, and the page docs/reliability.md."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from bench.report.results import heading
from tests.chaos.predict_client import Summary
from tests.chaos.recovery import BOUNDS_S, Spread, spread
from tests.chaos.resources import Slope
from tests.chaos.run import PhaseResult, Report

Cells = list[tuple[str, ...]]
ARRIVED = ("row", "faults", "produced", "acked", "silver", "online", "dead", "late") + (
    "lost",
    "doubled",
    "differ",
)
BACK = ("fault", "times", "back", "min s", "median s", "max s", "P5 s", "")
ANSWERED = ("row", "when", "answers", "503", "other", "p50 ms", "p99 ms", "wrong")
GROWTH = ("what", "last", "per hour", "± error", "")
VERDICTS = {True: "within", False: "over", None: ""}
PUBLISHED = (
    "Kafka's own transaction test: 100,000 messages, none lost, none duplicated",
    "Flink 2021, recovery with default settings: about 50 s",
    "Flink's Jepsen suite: checks availability, not the values of results",
)
TITLES = ("what arrived", "recovery without a person", "/predict", "growth")


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated; empty for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def arrived(phases: Iterable[PhaseResult]) -> Cells:
    """A row for each phase: what was sent and what arrived."""
    rows = []
    for phase in phases:
        c = phase.counts
        numbers = (len(phase.outcomes), c.produced, c.acked, c.silver, c.online, c.dead, c.late)
        numbers += (c.lost, c.duplicated, c.mismatched)
        rows.append((phase.row, *map(number, numbers)))
    return rows


def spreads(phases: Iterable[PhaseResult]) -> dict[str, Spread]:
    """Recoveries by fault, of all phases together; faults without one are left out."""
    seconds: dict[str, list[float | None]] = defaultdict(list)
    for outcome in (one for phase in phases for one in phase.outcomes):
        if outcome.recovery_s is not None or not outcome.returned:
            seconds[outcome.action.label].append(outcome.recovery_s)
    return {label: spread(found) for label, found in sorted(seconds.items())}


def back(phases: Iterable[PhaseResult]) -> Cells:
    """A row for each fault after which something had to come back."""
    rows = []
    for label, s in spreads(phases).items():
        bound_s = BOUNDS_S.get(label)
        times = (number(one, 1) for one in (s.shortest, s.middle, s.longest))
        verdict = VERDICTS[s.within(bound_s)]
        rows.append(
            (label, str(s.count), str(s.count - s.absent), *times, number(bound_s), verdict)
        )
    return rows


def answered(phases: Iterable[PhaseResult]) -> Cells:
    """Rows for the answers of each phase: without a fault, during one, of the overload."""
    rows = []
    for phase in phases:
        parts = {"calm": phase.calm, "faults": phase.during, "overload": phase.overload}
        rows += [
            (phase.row, name, *_answers(part)) for name, part in parts.items() if part.statuses
        ]
    return rows


def _answers(part: Summary) -> tuple[str, ...]:
    total, refused = sum(part.statuses.values()), part.statuses.get(503, 0)
    other = total - refused - part.statuses.get(200, 0)
    numbers = (number(total), number(refused), number(other))
    return (*numbers, number(part.p50_ms, 1), number(part.p99_ms, 1), _wrong(part))


def _wrong(part: Summary) -> str:
    return ", ".join(f"{count} {problem}" for problem, count in part.problems.items()) or "0"


def growth(slopes: Iterable[Slope]) -> Cells:
    """A row for each quantity that was sampled."""
    return [
        (
            s.name,
            f"{number(s.last, 1)} {s.unit}".strip(),
            f"{s.per_hour:+,.1f}",
            number(s.error, 1),
            "flat" if s.flat else "",
        )
        for s in slopes
    ]


def sections(report: Report) -> list[tuple[str, tuple[str, ...], Cells]]:
    """Title, heads and rows of each table."""
    cells = (
        (ARRIVED, arrived(report.phases)),
        (BACK, back(report.phases)),
        (ANSWERED, answered(report.phases)),
        (GROWTH, growth(report.slopes)),
    )
    return [(title, *part) for title, part in zip(TITLES, cells, strict=True)]


def conditions(report: Report) -> str:
    """Seed, rate, machine, load and length of the run in one line."""
    plan = report.plan
    return (
        f"seed {plan.seed}, {plan.rate:,.0f} ticks/s, {heading(report.machine)}, load average"
        f" {report.load_before:g} before and {report.load_after:g} after, {report.elapsed_s:,.0f} s"
    )


def show(console: Console, report: Report) -> None:
    """Print the results, and examples of what is wrong."""
    console.print(conditions(report))
    for title, heads, rows in sections(report):
        table = Table(*heads, title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for phase in report.phases:
        for example in phase.counts.examples:
            console.print(f"{phase.row}: {example}", markup=False)
    console.print("passed" if report.passed else "FAILED")


def save(file: Path, report: Report) -> None:
    """Write everything as JSON."""
    rows = [asdict(phase) | {"passed": phase.passed} for phase in report.phases]
    content = asdict(report) | {"phases": rows, "passed": report.passed}
    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    file.write_bytes(orjson.dumps(content, option=option))


def page(report: Report) -> str:
    """The page docs/reliability.md."""
    parts = [INTRODUCTION, f"## Results\n\n{_folded(conditions(report))}\n"]
    for title, heads, rows in sections(report):
        parts.append(f"### {title[0].upper()}{title[1:]}\n\n{_markdown(heads, rows)}")
    parts.append("## What others publish\n\n" + "\n".join(f"- {line}." for line in PUBLISHED))
    return "\n".join(parts) + "\n"


def _markdown(heads: tuple[str, ...], rows: Cells) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _folded(text: str, width: int = 100) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


INTRODUCTION = """\
# Reliability

`make chaos` starts a platform in a temporary folder, sends ticks to it, does faults to it, and
counts afterwards what arrived. `python -m tests.chaos --write-docs` makes this page from the
results of its run.

- A run is a seed and a commit: the seed decides every action, its time and its content. The list of
  actions is printed and saved; `--plan FILE` does the same list again.
- `make chaos CHAOS="F1 F6 --seed 3 --count 5"` chooses rows, seed and the number of faults of each;
  `make chaos CHAOS="F28 --minutes 30"` is a soak with one fault in each minute.
- No operator repairs anything: the supervisor of the platform restarts what died. Signals go only
  to processes that the run started.

How it counts:

- **lost, doubled**: of each message in topic `ticks`, the contract says whether it is a tick or a
  dead letter. Each tick must be in silver as often as in the topic, each dead letter once with its
  reason. An acknowledged message that is not in the topic is lost too.
- **differ**: online rows that are not the newest closed rows of the live table, dead letters with
  another reason, and rows of the parity meter (live against backfilled and reference rows) without
  an explanation.
- **recovery**: from the signal until the service responds again; TaskManager, JobManager and Kafka:
  until a tick that was sent afterwards has passed through the whole pipeline into Redis. P5 is the
  bound that the design sets; on a machine with few cores the start of a JVM alone may exceed it.
- **/predict**: two clients with a pause of 50 ms, alongside everything else. Wrong is any answer
  but 200 and 503, a 503 without Retry-After, and features older than `TICK_FRESH_S` without
  `stale: true`. "Other" are connections refused or cut while the API is away.
- **growth**: least squares over samples taken every 10 s; flat if below two standard errors. A
  service that was restarted begins with less memory.
"""
