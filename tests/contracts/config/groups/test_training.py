"""Settings of training: limits that keep the gate strict, files with a checksum."""

import pytest

from contracts.config.groups.training import TrainingSettings
from tests.contracts.config.groups import limits
from tests.contracts.config.groups.limits import Below

LIMITS = {
    "mlflow_port": (1, 65_535),
    "decision_grid_s": (1, 3600),
    "horizon_s": (1, 86_400),
    "entry_delay_s": (5, 3600),
    "entry_late_s_max": (0, 3600),
    "cost_bp": (1, 100),
    "seed": (0, Below(2**32)),
    "train_threads": (1, 256),
    "test_days": (7, 366),
    "walk_forward_folds": (1, 20),
    "embargo_share": (0.01, Below(0.5)),
    "power_test_days": (28, 366),
    "power_valid_days": (7, 366),
    "model_check_timeout_s": (1, 3600),
}
FILES = ("power", "mnist", "cifar10")


def test_every_number_is_in_the_table():
    assert limits.numbers(TrainingSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(TrainingSettings, name, *LIMITS[name])


@pytest.mark.parametrize("name", ["cost_bp", "embargo_share", "model_check_timeout_s"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_what_is_not_a_finite_number_is_refused(name, text):
    with pytest.raises(ValueError, match=name):
        limits.read_from_environment(TrainingSettings, name, text)


@pytest.mark.parametrize("file", FILES)
def test_a_public_file_has_an_address_and_a_checksum(file):
    assert not limits.accepts(TrainingSettings, f"{file}_url", "file:///etc/passwd")
    assert limits.accepts(TrainingSettings, f"{file}_url", "http://mirror/file")
    for checksum in ("", "0" * 63, "0" * 65, "A" * 64):
        assert not limits.accepts(TrainingSettings, f"{file}_sha256", checksum)
    assert limits.accepts(TrainingSettings, f"{file}_sha256", "a" * 64)


def test_every_pipeline_has_its_own_model_and_experiment():
    defaults = TrainingSettings()
    prefixes = ("", "power_", "mnist_", "cifar10_")
    names = [getattr(defaults, f"{prefix}model_name") for prefix in prefixes]
    names += [getattr(defaults, f"{prefix}experiment") for prefix in prefixes]
    assert len(set(names)) == len(names)
