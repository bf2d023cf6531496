"""What one API process holds: settings, online reader, recorder, metrics and, once there is one,
the Production model.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.features import CORE
from contracts.redis_keys import RETIRED, model_key
from feature_store.online.reader import OnlineReader, OnlineStoreUnavailable
from models.runtime import Model
from serving.core.predictor import Predictor
from serving.state.job_watch import JobWatch
from serving.state.metrics import Metrics
from serving.state.platform_metrics import Figures
from serving.state.prices import Prices
from serving.state.production_model import (
    Answers,
    Found,
    forget,
    loads,
    model_names,
    recall,
    remember,
    resolve,
)
from serving.state.recorder import Recorder

log = structlog.get_logger("serving")
STOP_POLL_S = 0.1
# Of settings and notices; the answer may be as many seconds old.
Resolve = Callable[[Settings, Sequence[str], float], Awaitable[Answers]]


class Service:
    """Serves the Production model: at start the one served last, then the registry's, which is
    asked until it answers.
    """

    def __init__(self, settings: Settings, metrics: Metrics, resolve: Resolve = resolve) -> None:
        self.settings, self.metrics = settings, metrics
        self.recorder = Recorder(settings, metrics.dropped.inc)
        self.predictor: Predictor | None = None
        self.challenger: Predictor | None = None
        self.others: dict[str, Model] = {}
        self.versions: Sequence[Mapping[str, Any]] = ()
        self.figures = Figures(settings, lambda: self.reader)
        self.prices = Prices(settings)
        self.job_watch = JobWatch(settings)
        self.model_note = "the Production model is still being loaded"
        self._resolve = resolve
        self._core_reader = OnlineReader(settings, CORE)
        self._asking: asyncio.Task[None] | None = None
        self._stopping = False
        self._noticed: tuple[str, ...] = ("",)
        self._marked: tuple[str, str] | None = None
        self._asked_s = 0.0  # when the registry gave its last answer, by the monotonic clock
        self._pause_s = settings.model_retry_s  # from the last answer to the next question
        self._backoff_s = settings.model_retry_s  # the pause after the next failure

    @property
    def reader(self) -> OnlineReader:
        """The reader in use: the model's own features, or the core set while there is no model."""
        return self.predictor.reader if self.predictor else self._core_reader

    async def start(self) -> None:
        """Take up the model served last, at once; without one, wait for the registry's first
        answer.
        """
        self.job_watch.start()
        self._noticed = await self._notice()
        if self._noticed[0].startswith(RETIRED):  # while no one served
            forget(self.settings)
        last = loads(recall(self.settings))
        if last is not None:
            self._serve(last)
            self.model_note = "served last; the registry is being asked"
        else:
            await self._ask()
        self._asking = asyncio.create_task(self._keep_watching(asked=last is None))

    async def stop(self) -> None:
        """End the search for a model, deliver what is still to be recorded, close the store."""
        self._stopping = True
        while self._asking is not None and not self._asking.done():
            # Repeated: a client in the middle of its time-out may take the first one for
            # that.
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=STOP_POLL_S)
        await self.job_watch.stop()
        for part in (self.recorder, self.prices, self.figures):
            await asyncio.to_thread(part.close)
        for reader in {self.reader, self._core_reader}:
            await reader.close()

    async def _keep_watching(self, asked: bool) -> None:
        """Ask on every notice of a change, and without one when the last answer is too old."""
        if not asked:
            await self._ask()
        while not self._stopping:
            await asyncio.sleep(self.settings.model_watch_s)
            notice = await self._notice()
            if notice == self._noticed and time.monotonic() - self._asked_s < self._pause_s:
                continue
            if notice != self._noticed:
                self._backoff_s = self.settings.model_retry_s
            retired = notice[0] != self._noticed[0] and notice[0].startswith(RETIRED)
            self._noticed = notice
            if retired:
                self._retire()
                self._note_answer(answered=True, age_s=0.0)
            else:
                await self._ask()

    async def _notice(self) -> tuple[str, ...]:
        """The newest notices of a change, Production's first, or the last ones while Redis is
        away."""
        names = model_names(self.settings)
        try:
            return tuple(
                (text or b"").decode() for text in await self.reader.texts(*map(model_key, names))
            )
        except OnlineStoreUnavailable:
            return self._noticed

    def _retire(self) -> None:
        """Serve no model, as someone decided."""
        forget(self.settings)
        self.predictor = self.challenger = None
        self.model_note = f"{self.settings.model_name} was retired: no version is Production"
        self._mark(None)
        log.info("retired", model=self.settings.model_name)

    async def _ask(self) -> None:
        """Serve what the registry says; a model that cannot be had never replaces one that is
        there.
        """
        answers, reason = None, ""
        try:
            answers = await self._resolve(self.settings, self._noticed, self._pause_s)
            await self._take(answers)
        except TickError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - whatever ails the registry, the API runs, says so and asks again
            reason = f"the model registry failed: {type(error).__name__}"
        self.model_note = reason
        absent = answers is not None and answers.absent
        self._note_answer(absent or not reason, answers.age_s if answers else 0.0)
        if reason:
            log.warning("no model from the registry", reason=reason, next_s=self._pause_s)

    def _note_answer(self, answered: bool, age_s: float) -> None:
        """Set the next question: after the refresh interval, or after a failure the backoff,
        doubled.

        "No version is Production" is an answer too: the notice of the first promotion ends the
        pause.
        """
        limits = self.settings
        self._asked_s = time.monotonic() - age_s
        if answered:
            self._pause_s, self._backoff_s = limits.model_refresh_s, limits.model_retry_s
        else:
            self._pause_s = min(self._backoff_s, limits.model_refresh_s)
            self._backoff_s = 2 * self._pause_s

    async def _take(self, told: Answers) -> None:
        """Others first, so that a Production model that fails does not keep them away. Raises
        TickError for that one.
        """
        self.versions = told.versions
        if told.retired and self.predictor is not None:
            self._retire()
        self.others = await self._loaded(told.others)
        if isinstance(told.production, TickError):
            raise told.production
        self._serve(await asyncio.to_thread(told.production.model))
        remember(self.settings, told.production)
        trial = (
            {"challenger": told.challenger}
            if told.challenger and told.challenger.digest != told.production.digest
            else {}
        )
        self.challenger = self._beside((await self._loaded(trial)).get("challenger"))

    async def _loaded(self, wanted: Mapping[str, Found]) -> dict[str, Model]:
        """Those of `wanted` that load; why another one does not is logged, and the model it was
        before goes on.
        """
        loaded: dict[str, Model] = {}
        for name, found in wanted.items():
            before = self.others.get(name)
            if before is not None and before.digest == found.digest:
                loaded[name] = before
                continue
            try:
                loaded[name] = await asyncio.to_thread(found.model)
            except TickError as error:
                log.warning("a model cannot be served", model=name, reason=error.message)
                loaded |= {name: before} if before else {}
        return loaded

    def _beside(self, model: Model | None) -> Predictor | None:
        """A predictor on the features that Production reads; a challenger that needs others is not
        tried.
        """
        if model is None or self.predictor is None:
            return None
        if model.features != self.predictor.model.features:
            log.warning(
                "the challenger takes other features than Production", version=model.version
            )
            return None
        return Predictor(self.settings, self.predictor.reader, model)

    def _serve(self, model: Model) -> None:
        """Put `model` in place in one step; requests at work keep the one they began with."""
        now = self.predictor
        if now is not None and (now.model.digest, now.model.version) == (
            model.digest,
            model.version,
        ):
            return
        if now is not None and now.model.features == model.features:
            reader = now.reader
        else:
            reader = (
                self._core_reader
                if model.features == CORE
                else OnlineReader(self.settings, model.features)
            )
        self.predictor = Predictor(self.settings, reader, model)
        self._mark(model)
        log.info("serving", model=model.name, version=model.version)

    def _mark(self, model: Model | None) -> None:
        """Only one version counts as served. With several workers a label that was set once stays
        in their files, hence the zero.
        """
        if self._marked is not None:
            self.metrics.model.labels(*self._marked).set(0)
            self.metrics.model.clear()
        self._marked = (model.name, model.version) if model else None
        if model is not None:
            self.metrics.model.labels(model.name, model.version).set(1)
            self.metrics.trained.set(model.trained_to_us / 1e6)
            self.metrics.swaps.inc()
