"""The state of one API process: settings, models, metrics, recorder and background tasks."""

import asyncio

from contracts.config.settings import Settings
from feature_store.online.reader import OnlineReader
from serving.core.symbol_list import SymbolList
from serving.state.job_watch import JobWatch
from serving.state.metrics import Metrics
from serving.state.model_watcher import ModelWatcher
from serving.state.platform_metrics import PlatformMetrics
from serving.state.prices import Prices
from serving.state.recorder import Recorder
from serving.state.registry_state import ReadRegistry
from serving.state.served_models import ServedModels


class Service:
    """What the routes of one process share. `start` and `stop` run with the application."""

    def __init__(self, settings: Settings, metrics: Metrics, read_registry: ReadRegistry) -> None:
        self.settings = settings
        self.metrics = metrics
        self.recorder = Recorder(settings, metrics.dropped.inc)
        self.models = ServedModels(settings, metrics)
        self.model_watcher = ModelWatcher(settings, self.models, read_registry)
        self.platform_metrics = PlatformMetrics(settings, lambda: self.models.reader)
        self.prices = Prices(settings)
        self.job_watch = JobWatch(settings)
        self.symbol_list = SymbolList(settings.live_symbols_max, settings.live_symbols_age_s)

    @property
    def reader(self) -> OnlineReader:
        """The reader of the online store in use."""
        return self.models.reader

    async def start(self) -> None:
        """Start the background tasks, and serve a model if one can be loaded."""
        self.job_watch.start()
        await self.model_watcher.start()

    async def stop(self) -> None:
        """Stop the background tasks, deliver the queued records, and close all connections."""
        await self.model_watcher.stop()
        await self.job_watch.stop()
        for part in (self.recorder, self.prices, self.platform_metrics):
            await asyncio.to_thread(part.close)
        await self.models.close()
