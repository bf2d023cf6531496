"""The models that one API process serves now. `ModelWatcher` changes them, the routes read them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from contracts.config.settings import Settings
from contracts.features import CORE
from feature_store.online.reader import OnlineReader
from models.runtime import Model
from serving.core.predictor import Predictor
from serving.state.metrics import Metrics

log = structlog.get_logger("serving")


class ServedModels:
    """The Production model and its challenger as predictors, the other models by name, and the
    newest versions in the registry. `explanation` says why there is no model, or no newer one.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.production: Predictor | None = None
        self.challenger: Predictor | None = None
        self.others: dict[str, Model] = {}
        self.versions: Sequence[Mapping[str, Any]] = ()
        self.explanation = "the Production model is still being loaded"
        self._settings = settings
        self._metrics = metrics
        self._core_reader = OnlineReader(settings, CORE)
        self._version_labels: tuple[str, str] | None = None
        self._opened: set[OnlineReader] = set()  # besides the reader of the core set

    @property
    def reader(self) -> OnlineReader:
        """The reader of the model's features, or of the core set while there is no model."""
        return self.production.reader if self.production else self._core_reader

    @property
    def compared(self) -> tuple[Predictor, ...]:
        """The challenger and the Production model; empty unless there are both."""
        if self.challenger is None or self.production is None:
            return ()
        return self.challenger, self.production

    def serve(self, model: Model) -> None:
        """Serve `model` as Production. Requests in progress keep the model they started with."""
        current = self.production
        if current is not None and (current.model.digest, current.model.version) == (
            model.digest,
            model.version,
        ):
            return
        self.production = Predictor(self._settings, self._reader_of(model.features), model)
        self._set_model_metric(model)
        log.info("serving", model=model.name, version=model.version)

    def _reader_of(self, features: tuple[str, ...]) -> OnlineReader:
        """A reader of these features: one that is open already, if possible."""
        for reader in (self.reader, self._core_reader):
            if reader.plan.names == features:
                return reader
        reader = OnlineReader(self._settings, features)
        self._opened.add(reader)
        return reader

    async def close_unused(self) -> None:
        """Close the readers of models that are no longer served, after the longest time that a
        read of a request in progress can take.
        """
        unused = self._opened - {self.reader}
        if not unused:
            return
        await asyncio.sleep(self._settings.feature_read_ms_max / 1000)
        for reader in unused - {self.reader}:
            await reader.close()
            self._opened.discard(reader)

    def set_challenger(self, model: Model | None) -> None:
        """Score `model` next to Production, on the same features; one with other features is not
        used.
        """
        self.challenger = None
        if model is None or self.production is None:
            return
        if model.features != self.production.model.features:
            log.warning(
                "the challenger has other features than the Production model",
                version=model.version,
            )
            return
        self.challenger = Predictor(self._settings, self.production.reader, model)

    def retire(self) -> None:
        """Serve no Production model, because its version was retired in the registry."""
        name = self._settings.model_name
        self.production = None
        self.challenger = None
        self.explanation = f"{name} was retired: no version is Production"
        self._set_model_metric(None)
        log.info("retired", model=name)

    async def close(self) -> None:
        """Close the connections to the online store."""
        for reader in {self.reader, self._core_reader, *self._opened}:
            await reader.close()

    def _set_model_metric(self, model: Model | None) -> None:
        """Report only `model` as served. The old labels are set to 0 before they are cleared: with
        several workers they stay in the workers' files.
        """
        if self._version_labels is not None:
            self._metrics.model.labels(*self._version_labels).set(0)
            self._metrics.model.clear()
        self._version_labels = (model.name, model.version) if model else None
        if model is not None:
            self._metrics.model.labels(model.name, model.version).set(1)
            self._metrics.trained_to.set(model.trained_to_us / 1e6)
            self._metrics.swaps.inc()
