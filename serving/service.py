"""What one API process holds: settings, online reader, recorder, metrics and, once there is one, the Production model."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from contracts.errors import TickError
from contracts.features import CORE
from contracts.settings import Settings
from feature_store.online import OnlineReader
from models.runtime import Model
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.production import Found, loads, recall, remember, resolve
from serving.recorder import Recorder

log = structlog.get_logger("serving")
Resolve = Callable[[Settings], Awaitable[Found]]


class Service:
    """Serves the Production model: at start the one served last, then the registry's, which is asked until it answers."""

    def __init__(self, settings: Settings, metrics: Metrics, resolve: Resolve = resolve) -> None:
        self.settings, self.metrics = settings, metrics
        self.recorder = Recorder(settings, metrics.dropped.inc)
        self.predictor: Predictor | None = None
        self.model_note = "the Production model is still being loaded"
        self._resolve = resolve
        self._core_reader = OnlineReader(settings, CORE)
        self._asking: asyncio.Task[None] | None = None

    @property
    def reader(self) -> OnlineReader:
        """The reader in use: the model's own features, or the core set while there is no model."""
        return self.predictor.reader if self.predictor else self._core_reader

    async def start(self) -> None:
        """Take up the model served last, at once; without one, wait for the registry's first answer."""
        last = loads(recall(self.settings))
        if last is not None:
            self._serve(last)
            self.model_note = "served last; the registry is being asked"
        else:
            await self._ask()
        self._asking = asyncio.create_task(self._keep_asking(answered=last is None and self.predictor is not None))

    async def stop(self) -> None:
        """End the search for a model, deliver what is still to be recorded, close the store."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        await asyncio.to_thread(self.recorder.close)
        for reader in {self.reader, self._core_reader}:
            await reader.close()

    async def _keep_asking(self, answered: bool) -> None:
        while not answered:
            answered = await self._ask()
            if not answered:
                await asyncio.sleep(self.settings.model_retry_s)

    async def _ask(self) -> bool:
        """Serve what the registry says; a model that cannot be had never replaces one that is there."""
        try:
            found = await self._resolve(self.settings)
            self._serve(await asyncio.to_thread(found.model))
            remember(self.settings, found)
        except TickError as error:
            self.model_note = error.message
        except Exception as error:  # noqa: BLE001 - whatever ails the registry, the API runs, says so and asks again
            self.model_note = f"the model registry failed: {type(error).__name__}"
        else:
            self.model_note = ""
            return True
        log.warning("no model from the registry", reason=self.model_note)
        return False

    def _serve(self, model: Model) -> None:
        """Put `model` in place in one step; requests at work keep the one they began with."""
        if self.predictor is not None and self.predictor.model.digest == model.digest:
            return
        reader = self._core_reader if model.features == CORE else OnlineReader(self.settings, model.features)
        self.predictor = Predictor(self.settings, reader, model)
        self.metrics.model.clear()
        self.metrics.model.labels(model.name, model.version).set(1)
        log.info("serving", model=model.name, version=model.version)
