"""The loop over epochs: undisturbed, killed at any point and resumed, it ends with the same
network; it stops when nothing gets better.
"""

import json

import pytest

from training.vision import training_loop
from training.vision.directory import VisionDirectory


class Counter:
    """Trains a number: each epoch adds its own number; validation follows a given curve."""

    def __init__(self, curve, ends_at=None, when=""):
        self.curve, self.value, self.ends_at, self.when = curve, 0, ends_at, when

    def epoch(self, number, tell):
        self._maybe_end(number, "fit")
        self.value += number
        tell(1, 1)
        return {"loss": 1.0, "val_accuracy": self.curve[number - 1]}

    def save(self, file):
        file.write_text(json.dumps(self.value))
        self._maybe_end(int(file.stem.rpartition(".")[2]), "save")

    def load(self, file):
        self.value = json.loads(file.read_text())

    def _maybe_end(self, number, when):
        if (number, when) == (self.ends_at, self.when):
            raise KeyboardInterrupt


RISING = [0.1, 0.2, 0.4, 0.3, 0.5, 0.6]


def test_an_undisturbed_run_ends_at_its_best_epoch(tmp_path, capsys):
    counter = Counter([0.1, 0.5, 0.4])
    best = training_loop.train_epochs(counter, VisionDirectory(tmp_path), 3, 5, ".pt")
    assert (best.epoch, counter.value) == (2, 1 + 2)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0] == {"epoch": 1, "of": 3, "step": 1, "steps": 1}
    assert sorted(file.name for file in (tmp_path / "checkpoints").iterdir()) == [
        "002.pt",
        "003.pt",
    ]


@pytest.mark.parametrize("when", ["fit", "save"])
@pytest.mark.parametrize("at", [1, 2, 4, 6])
def test_a_killed_run_goes_on_and_ends_alike(tmp_path, at, when):
    with pytest.raises(KeyboardInterrupt):
        training_loop.train_epochs(
            Counter(RISING, at, when), VisionDirectory(tmp_path), 6, 9, ".pt"
        )
    assert len(training_loop.read_history(VisionDirectory(tmp_path))) == at - 1
    again = Counter(RISING)
    assert training_loop.train_epochs(again, VisionDirectory(tmp_path), 6, 9, ".pt").epoch == 6
    assert again.value == sum(range(1, 7))


def test_it_stops_when_nothing_gets_better_also_after_a_resume(tmp_path):
    curve = [0.5, 0.4, 0.5, 0.3, 0.9, 0.9]
    for _ in range(2):
        counter = Counter(curve)
        assert (
            training_loop.train_epochs(counter, VisionDirectory(tmp_path), 6, 3, ".pt").epoch == 1
        )
        assert counter.value == 1
    assert len(training_loop.read_history(VisionDirectory(tmp_path))) == 4


def test_of_equal_epochs_the_earlier_one_is_best():
    assert training_loop.best_epoch([{"val_accuracy": value} for value in (0.2, 0.7, 0.7)]) == 2
    assert training_loop.best_epoch([]) == 0
