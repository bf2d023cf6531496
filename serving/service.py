"""What one API process holds: settings, online reader, recorder, metrics and, once there is one, the Production model."""

import asyncio
from collections.abc import Callable

import structlog

from contracts.errors import TickError
from contracts.features import CORE
from contracts.settings import Settings
from feature_store.online import OnlineReader
from models.runtime import Model
from models.runtime import load as load_model
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.recorder import Recorder

log = structlog.get_logger("serving")


def production_model(settings: Settings) -> Model:
    """The Production model of the registry, verified. Raises RegistryError. (MLflow takes seconds to import: not before this.)"""
    from models.registry import production

    found = production(settings)
    return load_model(found.path, found.digest, found.name, found.version)


class Service:
    """Loads the Production model at start; while there is none, looks again every `model_retry_s`."""

    def __init__(self, settings: Settings, metrics: Metrics, load: Callable[[Settings], Model] = production_model) -> None:
        self.settings, self.metrics = settings, metrics
        self.recorder = Recorder(settings, metrics.dropped.inc)
        self.predictor: Predictor | None = None
        self.no_model = "the Production model is still being loaded"
        self._load = load
        self._reader = OnlineReader(settings, CORE)
        self._loading: asyncio.Task[None] | None = None

    @property
    def reader(self) -> OnlineReader:
        """The reader in use: the model's own features, or the core set while there is no model."""
        return self.predictor.reader if self.predictor else self._reader

    async def start(self) -> None:
        """Load the model; without one, keep looking in the background."""
        await self._try_load()
        if self.predictor is None:
            self._loading = asyncio.create_task(self._keep_loading())

    async def stop(self) -> None:
        """End the search for a model, deliver what is still to be recorded, close the store."""
        if self._loading is not None:
            self._loading.cancel()
        await asyncio.to_thread(self.recorder.close)
        await self.reader.close()

    async def _keep_loading(self) -> None:
        while self.predictor is None:
            await asyncio.sleep(self.settings.model_retry_s)
            await self._try_load()

    async def _try_load(self) -> None:
        try:
            model = await asyncio.to_thread(self._load, self.settings)
            reader = self._reader if tuple(model.features) == CORE else OnlineReader(self.settings, model.features)
        except TickError as error:
            self.no_model = error.message
        except Exception as error:  # noqa: BLE001 - whatever ails the registry, the API starts, says so and looks again
            self.no_model = f"the model registry failed: {type(error).__name__}"
        else:
            self.predictor = Predictor(self.settings, reader, model)
            self.metrics.model.labels(model.name, model.version).set(1)
            log.info("serving", model=model.name, version=model.version)
            return
        log.warning("no model", reason=self.no_model)
