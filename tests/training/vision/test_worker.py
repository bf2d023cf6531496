"""What both training processes share, and how the parent follows them."""

import io
import json
import tempfile

import numpy as np
import pytest

from tests.support.made_images import digits
from training.vision import child, worker_common
from training.vision.directory import VisionDirectory
from training.vision.specs import CIFAR10, MNIST, VisionSpec


@pytest.fixture
def directory(tmp_path):
    return VisionDirectory(tmp_path)


class TestSplit:
    def test_parts_are_disjoint_and_cover_all_images(self):
        train, valid = worker_common.split_indices(digits(rows=60), VisionSpec("mnist"))
        assert (len(train), len(valid)) == (48, 12)
        assert sorted([*train, *valid]) == list(range(60))

    def test_a_limit_of_rows_draws_some_of_the_images(self):
        train, valid = worker_common.split_indices(
            digits(rows=60), VisionSpec("mnist", rows_max=10)
        )
        assert (len(train), len(valid)) == (8, 2)
        assert len({*train, *valid}) == 10

    def test_the_seed_decides(self):
        images = digits(rows=60)
        one, same, other = (
            worker_common.split_indices(images, VisionSpec("mnist", seed=seed))[0].tolist()
            for seed in (1, 1, 2)
        )
        assert one == same != other

    def test_there_is_at_least_one_validation_image(self):
        _, valid = worker_common.split_indices(digits(rows=60), VisionSpec("mnist", rows_max=2))
        assert len(valid) == 1


class TestResults:
    def test_probabilities_are_float32_and_the_network_is_written_last(
        self, directory, monkeypatch
    ):
        written = []
        replace_file = worker_common.replace_file
        monkeypatch.setattr(
            worker_common,
            "replace_file",
            lambda file, write: written.append(file) or replace_file(file, write),
        )
        worker_common.write_results(directory, b"onnx", np.array([[0.25, 0.75]]), {"a": 1})
        assert written[-1] == directory.network
        assert directory.network.read_bytes() == b"onnx"
        assert json.loads(directory.facts.read_text()) == {"a": 1}
        with np.load(directory.probabilities) as arrays:
            assert arrays["answers"].dtype == np.float32
            assert arrays["answers"].tolist() == [[0.25, 0.75]]

    @pytest.mark.parametrize(("value", "threads"), [("5", 5), (None, 2)])
    def test_threads_come_from_the_parent(self, monkeypatch, value, threads):
        if value is None:
            monkeypatch.delenv("TRAIN_JOBS", raising=False)
        else:
            monkeypatch.setenv("TRAIN_JOBS", value)
        assert worker_common.thread_count() == threads

    @pytest.mark.parametrize("lossy", [False, True])
    def test_images_are_restored_with_their_mark(self, directory, lossy):
        images = digits(rows=50)
        directory.update_state(lossy=lossy)
        directory.save_images(images)
        restored = directory.load_images()
        assert restored.sha256() == images.sha256()
        assert restored.lossy is lossy


class TestParent:
    def test_messages_become_progress_and_prints_of_libraries_are_skipped(self):
        lines = [
            b"loading cuda\n",
            b'{"resumed": 1}\n',
            b'{"epoch": 2, "of": 3, "step": 1, "steps": 4}\n',
            b'{"epoch": 3, "of": 3, "step": 0, "steps": 0}\n',
        ]
        steps = []
        child._report_progress(lines, 3, lambda *step: steps.append(step))
        assert steps == [("train", 1250, 3000), ("train", 2000, 3000), ("train", 3000, 3000)]

    @pytest.mark.parametrize(
        ("code", "text"), [(-9, "signal 9"), (1, "exit code 1"), (0, "exit code 0")]
    )
    def test_the_end_of_a_child_is_a_signal_or_a_code(self, code, text):
        assert child._describe(code) == text

    def test_only_the_last_lines_of_its_errors_are_shown(self):
        with tempfile.TemporaryFile() as errors:
            errors.write("".join(f"line {n}\n" for n in range(20)).encode() + b"\xff")
            shown = child._last_lines(errors).splitlines()
        assert shown == [*(f"line {n}" for n in range(13, 20)), "\ufffd"]
        assert child._last_lines(io.BytesIO()) == "no error output"


class TestSpec:
    @pytest.mark.parametrize("dataset", [MNIST, CIFAR10])
    def test_defaults_are_those_of_the_data_set(self, dataset):
        spec = VisionSpec(dataset.name)
        assert (spec.profile, spec.epochs) == (dataset.profiles[0], dataset.epochs)
        assert spec.patience == dataset.patience
        assert VisionSpec(**spec.as_dict()) == spec

    def test_given_values_win(self):
        spec = VisionSpec("cifar10", "simple", epochs=3, seed=1, patience=2, rows_max=5)
        assert spec.as_dict() == {
            "kind": "cifar10",
            "profile": "simple",
            "epochs": 3,
            "seed": 1,
            "patience": 2,
            "rows_max": 5,
        }
