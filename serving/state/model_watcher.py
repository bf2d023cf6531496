"""Keeps the served models current: polls for changes in the registry and swaps the models."""

import asyncio
import time
from collections.abc import Mapping

import structlog

from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.redis_keys import RETIRED, model_key
from feature_store.online.reader import OnlineStoreUnavailable
from models.runtime import Model
from serving.state.registry_state import (
    ReadRegistry,
    RegistryState,
    ServedVersion,
    delete_last_served,
    load_last_served,
    served_model_names,
    write_last_served,
)
from serving.state.served_models import ServedModels

log = structlog.get_logger("serving")
CANCEL_RETRY_S = 0.1


class PollSchedule:
    """When the registry is read again without a signal: after `model_refresh_s`, or after a failure
    with exponential backoff from `model_retry_s`.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._refresh_s = settings.model_refresh_s
        self._retry_s = settings.model_retry_s
        self._read_s = 0.0  # monotonic time of the last read
        self._next_backoff_s = self._retry_s
        self.interval_s = self._retry_s  # from the last read to the next one

    @property
    def is_due(self) -> bool:
        """Whether the interval since the last read has passed."""
        return time.monotonic() - self._read_s >= self.interval_s

    def reset_backoff(self) -> None:
        """Start again with the shortest backoff at the next failure."""
        self._next_backoff_s = self._retry_s

    def note_success(self, age_s: float) -> None:
        """The registry was read `age_s` ago."""
        self._read_s = time.monotonic() - age_s
        self.interval_s = self._refresh_s
        self.reset_backoff()

    def note_failure(self, age_s: float) -> None:
        """The registry could not be read, or its model could not be loaded, `age_s` ago."""
        self._read_s = time.monotonic() - age_s
        self.interval_s = min(self._next_backoff_s, self._refresh_s)
        self._next_backoff_s = 2 * self.interval_s


class ModelWatcher:
    """Swaps the models in `models` when the registry changes.

    A change is signalled in Redis. Signals are best effort, so the registry is also read at the
    intervals of `PollSchedule`.
    """

    def __init__(
        self, settings: Settings, models: ServedModels, read_registry: ReadRegistry
    ) -> None:
        self._settings = settings
        self._models = models
        self._read_registry = read_registry
        self._schedule = PollSchedule(settings)
        self._signals: tuple[str, ...] = ("",)
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self) -> None:
        """Serve the model that was served last, or wait for the first read of the registry."""
        self._signals = await self._read_signals()
        if self._signals[0].startswith(RETIRED):  # retired while no API was running
            delete_last_served(self._settings)
        last_model = load_last_served(self._settings)
        if last_model is not None:
            self._models.serve(last_model)
            self._models.explanation = "the model served last; the registry is being read"
        else:
            await self._refresh()
        self._task = asyncio.create_task(self._watch(refresh_first=last_model is not None))

    async def stop(self) -> None:
        """Stop watching."""
        self._is_stopping = True
        while self._task is not None and not self._task.done():
            # Repeated: a client library whose timeout is just expiring can swallow a cancellation.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CANCEL_RETRY_S)

    async def _watch(self, refresh_first: bool) -> None:
        if refresh_first:
            await self._refresh()
        while not self._is_stopping:
            await asyncio.sleep(self._settings.model_watch_s)
            signals = await self._read_signals()
            if signals != self._signals:
                await self._handle_change(signals)
            elif self._schedule.is_due:
                await self._refresh()

    async def _handle_change(self, signals: tuple[str, ...]) -> None:
        self._schedule.reset_backoff()
        is_retired = signals[0] != self._signals[0] and signals[0].startswith(RETIRED)
        self._signals = signals
        if is_retired:
            self._retire()
            self._schedule.note_success(age_s=0.0)
        else:
            await self._refresh()

    async def _read_signals(self) -> tuple[str, ...]:
        """The newest signal per model, that of /predict first; the last ones while Redis does not
        respond.
        """
        keys = map(model_key, served_model_names(self._settings))
        try:
            texts = await self._models.reader.get_values(*keys)
        except OnlineStoreUnavailable:
            return self._signals
        return tuple((text or b"").decode() for text in texts)

    def _retire(self) -> None:
        delete_last_served(self._settings)
        self._models.retire()

    async def _refresh(self) -> None:
        """Read the registry and serve its models. A model that cannot be loaded never replaces a
        served one.
        """
        state = None
        problem = ""
        try:
            state = await self._read_registry(
                self._settings, self._signals, self._schedule.interval_s
            )
            await self._apply(state)
        except TickError as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - no failure of the registry may stop the API; the problem is reported and the read repeated
            problem = f"the model registry failed: {type(error).__name__}"
        self._models.explanation = problem
        self._schedule_next(state, problem)
        if problem:
            log.warning(
                "no model from the registry", reason=problem, next_s=self._schedule.interval_s
            )

    def _schedule_next(self, state: RegistryState | None, problem: str) -> None:
        if state is None:
            self._schedule.note_failure(age_s=0.0)
        # "No version is Production" counts as success: the first promotion is signalled.
        elif problem and not state.no_production:
            self._schedule.note_failure(state.age_s)
        else:
            self._schedule.note_success(state.age_s)

    async def _apply(self, state: RegistryState) -> None:
        """Serve the models of `state`. Raises TickError when its Production model cannot be served.

        The other models are loaded first, so that a broken Production model does not block them.
        """
        self._models.versions = state.versions
        if state.retired and self._models.production is not None:
            self._retire()
        self._models.others = await self._load_others(state.others)
        if isinstance(state.production, TickError):
            raise state.production
        self._models.serve(await asyncio.to_thread(state.production.load_model))
        write_last_served(self._settings, state.production)
        await self._apply_challenger(state.challenger, state.production)
        await self._models.close_unused()

    async def _apply_challenger(
        self, challenger: ServedVersion | None, production: ServedVersion
    ) -> None:
        model = None
        if challenger is not None and challenger.digest != production.digest:
            model = await self._load_or_keep("challenger", challenger)
        self._models.set_challenger(model)

    async def _load_others(self, versions: Mapping[str, ServedVersion]) -> dict[str, Model]:
        """The models of `versions` by name, without those that cannot be loaded."""
        models = {
            name: await self._load_or_keep(name, version) for name, version in versions.items()
        }
        return {name: model for name, model in models.items() if model is not None}

    async def _load_or_keep(self, name: str, version: ServedVersion) -> Model | None:
        """The model of `version`. If it cannot be loaded, that is logged, and the model that was
        served before under its name is kept.
        """
        served = self._models.others.get(name)
        if served is not None and served.digest == version.digest:
            return served
        try:
            return await asyncio.to_thread(version.load_model)
        except TickError as error:
            log.warning("a model cannot be served", model=name, reason=error.message)
            return served
