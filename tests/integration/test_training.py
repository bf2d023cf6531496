"""The gate on real training over features from Flink: passes on a planted signal, refuses noise."""

from dataclasses import replace

import pytest

from contracts.clock import now_us
from contracts.config.settings import Settings
from feature_store.backfill import run as backfill
from models.registry import Registry
from streaming.synthetic.history import load_synthetic
from streaming.synthetic.market import FIXTURE
from training.tick.all_steps import train_tick

pytestmark = pytest.mark.integration
DAY_US = 86_400_000_000
DAYS = 11  # seven whole days to judge on, the rest to learn from


@pytest.mark.filterwarnings("ignore")  # mlflow, sklearn and friends warn of each other
def test_the_gate_tells_signal_from_noise(platform: Settings) -> None:
    settings = platform
    noise_us = now_us() // DAY_US * DAY_US - 30 * DAY_US
    signal_us = noise_us + (DAYS + 2) * DAY_US
    load_synthetic(settings, replace(FIXTURE, ic=0.0, venue="NOISE", seed=5), noise_us, DAYS)
    load_synthetic(settings, replace(FIXTURE, ic=0.15), signal_us, DAYS)
    backfill.run(settings, noise_us, signal_us + DAYS * DAY_US, chunk_us=366 * DAY_US)

    noise = train_tick(settings, noise_us, noise_us + DAYS * DAY_US)
    assert not noise.promoted and Registry(settings).production_version() is None
    failed = {check.name for check in noise.verdict.checks if not check.passed}
    assert failed & {"sharpe", "max_drawdown", "psr"}, "refused for its numbers"
    assert not failed & {"test_days", "trades"}, "and not for want of data"

    signal = train_tick(settings, signal_us, signal_us + DAYS * DAY_US)
    assert signal.promoted and signal.verdict.gate_pass, signal.verdict.reasons
    production = Registry(settings).production_version()
    assert (
        production is not None
        and production.version == signal.version
        and production.stage == "Production"
    )
