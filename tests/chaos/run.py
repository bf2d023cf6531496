"""One run: every phase of a plan on one platform, and the counts of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.report import machine
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from contracts.errors import JobError
from feature_store.backfill import run as backfill
from feature_store.parity import meter
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse, between
from streaming.synthetic.market import Market
from tests.chaos import count, platform, predict_client, recovery
from tests.chaos.count import Counts, Marks
from tests.chaos.faults import BASE_CLIENTS, BASE_PAUSE_S, Faults, Outcome
from tests.chaos.faults import predict_client as predicting
from tests.chaos.load import Load, exchange
from tests.chaos.plan import Action, Phase, Plan
from tests.chaos.predict_client import Answer, Summary
from tests.chaos.resources import Resources, Slope

SYMBOLS = 20
ORACLE_ROWS = 20
SETTLE_S = 300.0
SETTLE_POLL_S = 1.0
Say = Callable[[str], None]


@dataclass
class PhaseResult:
    """One row of the report: the outcomes of its actions, counts, answers of /predict during the
    faults and outside of them, and of the clients of an overload.
    """

    row: str
    outcomes: list[Outcome]
    counts: Counts
    during: Summary = field(default_factory=Summary)
    calm: Summary = field(default_factory=Summary)
    overload: Summary = field(default_factory=Summary)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost or changed, everything came back and no answer was wrong."""
        answers = (self.during, self.calm, self.overload)
        returned = all(outcome.returned for outcome in self.outcomes)
        return self.counts.clean and returned and not any(one.problems for one in answers)


@dataclass
class Report:
    """The results of a run, and the machine with its load average before and after."""

    plan: Plan
    machine: machine.Machine
    load_before: float
    load_after: float = 0.0
    elapsed_s: float = 0.0
    phases: list[PhaseResult] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every phase passed."""
        return all(phase.passed for phase in self.phases)


def run(plan: Plan, folder: Path, say: Say) -> Report:
    """Start a platform, do the plan to it, and count. Logs and answers are left in `folder`.

    Raises TickError if the platform does not start, or ticks cannot be sent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(plan, machine.describe(), machine.load_average())
    began_s = time.monotonic()
    market = exchange(plan.rate, SYMBOLS, plan.seed)
    with platform.started(market, folder / "logs") as settings:
        say(f"the platform is up after {time.monotonic() - began_s:.0f} s")
        load, resources = Load(settings, Market(market, now_us())), Resources(settings)
        load.start()
        resources.start()
        symbols = [f"{market.venue}:{name}" for name in market.symbols]
        answers = folder / "answers.csv"
        try:
            with predicting(settings, answers, BASE_CLIENTS, BASE_PAUSE_S, symbols):
                faults = Faults(settings, load, symbols, folder / "overload.csv")
                _Run(settings, load, faults, report, say).phases(market.venue, answers)
        finally:
            load.stop()
            resources.stop()
        report.slopes = resources.slopes()
    report.load_after, report.elapsed_s = machine.load_average(), time.monotonic() - began_s
    return report


@dataclass
class _Run:
    settings: Settings
    load: Load
    faults: Faults
    report: Report
    say: Say

    def phases(self, venue: str, answers: Path) -> None:
        """Every phase, then the comparison of all of them with history."""
        borders = [self._phase(phase, venue, answers) for phase in self.report.plan.phases]
        self._compare_with_history(borders)

    def _phase(self, phase: Phase, venue: str, answers: Path) -> tuple[Marks, Marks]:
        produced = self.load.produced
        before = count.marks(self.settings)
        before = replace(before, event_us=self.load.resume())
        began_s = time.monotonic()
        outcomes = self._perform(phase.actions)
        end_us = self.load.pause(whole_minutes(before.event_us, 0)[0] + MINUTE_US)
        after = replace(count.marks(self.settings), event_us=end_us)
        ended_s = time.monotonic()
        counts = self._settle(before, after)
        counts.produced = counts.acked = self.load.produced - produced
        counts.lost += counts.acked - counts.topic
        self._check_online(counts, before, after, venue)
        result = PhaseResult(phase.row, outcomes, counts)
        _add_answers(result, answers, self.faults.overload_file, (began_s, ended_s))
        self.report.phases.append(result)
        return before, after

    def _perform(self, actions: Sequence[Action]) -> list[Outcome]:
        began_s, outcomes = time.monotonic(), []
        for group in grouped(actions):
            time.sleep(max(0.0, began_s + group[0].at_s - time.monotonic()))
            self.load.check()
            with ThreadPoolExecutor(len(group)) as pool:
                done = list(pool.map(self.faults.perform, group))
            for outcome in done:
                self.say(describe(outcome, began_s))
            outcomes += done
        return outcomes

    def _settle(self, before: Marks, after: Marks) -> Counts:
        """Wait until everything that was sent has arrived, and two more checkpoints, then count."""
        sent = count.read_sent(self.settings, before, after)
        ticks = int(sent.accepted["copies"].sum())
        silver = lambda: Lakehouse(self.settings).table(SILVER)  # noqa: E731
        event_time = between(before.event_us, after.event_us)
        _wait(lambda: silver().scan(row_filter=event_time).count() >= ticks)
        found = lambda: count.letters(self.settings, before, after)  # noqa: E731
        _wait(lambda: len(found()) >= len(sent.refused))
        recovery.flows(self.settings)
        time.sleep(2 * platform.CHECKPOINT_S + 1)
        return count.compare(sent, count.silver(self.settings, before, after), found())

    def _check_online(self, counts: Counts, before: Marks, after: Marks, venue: str) -> None:
        newest = lambda: count.online(self.settings, before.event_us, after.event_us, venue)  # noqa: E731
        _wait(lambda: not newest()[1], timeout_s=60.0)
        counts.online, others = newest()
        counts.stale = len(others)
        counts.examples += others[:5]

    def _compare_with_history(self, borders: Sequence[tuple[Marks, Marks]]) -> None:
        """Backfill the whole run once, and compare each phase's whole minutes."""
        spans = [whole_minutes(before.event_us, after.event_us) for before, after in borders]
        failed = backfill.run(self.settings, spans[0][0], spans[-1][1]).failed
        if failed:
            raise JobError(f"the backfill of the run failed: {failed}", "see the logs")
        for (from_us, to_us), phase in zip(spans, self.report.phases, strict=True):
            found = meter.measure(self.settings, from_us, to_us, now_us(), sample=ORACLE_ROWS)
            phase.counts.unexplained = found.unexplained
            phase.counts.examples += [str(example) for example in found.examples[:5]]


def _wait(done: Callable[[], bool], timeout_s: float = SETTLE_S) -> None:
    """Poll until `done` or the time is over: what is missing then is counted as lost."""
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        time.sleep(SETTLE_POLL_S)


def grouped(actions: Sequence[Action]) -> Iterator[list[Action]]:
    """Actions that are joined to the one before, together with it."""
    group: list[Action] = []
    for action in actions:
        if group and not action.joined:
            yield group
            group = []
        group.append(action)
    if group:
        yield group


def whole_minutes(from_us: int, to_us: int) -> tuple[int, int]:
    """The first and last whole minute between two times, µs UTC."""
    return -(-from_us // MINUTE_US) * MINUTE_US, to_us // MINUTE_US * MINUTE_US


def describe(outcome: Outcome, phase_began_s: float) -> str:
    """One line about an outcome."""
    at = f"{outcome.began_s - phase_began_s:7.1f} s  {outcome.action.label}"
    if not outcome.returned:
        return f"{at}: DID NOT COME BACK {outcome.note}"
    back = f": back after {outcome.recovery_s:.1f} s" if outcome.recovery_s is not None else ""
    return f"{at}{back}{f' ({outcome.note})' if outcome.note else ''}"


def _add_answers(
    result: PhaseResult, answers: Path, overload: Path, phase_s: tuple[float, float]
) -> None:
    """The answers of /predict during the faults of a phase, and in the rest of it."""
    faults_s = [(one.began_s, one.ended_s) for one in result.outcomes]
    read = predict_client.read(answers)
    result.during = predict_client.summarise(read, faults_s)
    result.calm = predict_client.summarise(_outside(read, faults_s), [phase_s])
    result.overload = predict_client.summarise(predict_client.read(overload), faults_s)


def _outside(answers: Sequence[Answer], times_s: Sequence[tuple[float, float]]) -> list[Answer]:
    return [one for one in answers if not any(a <= one.at_s <= b for a, b in times_s)]
