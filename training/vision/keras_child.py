"""`python -m training.vision.keras_child RUN_DIRECTORY`: train MNIST with Keras.

A separate process, started by `training.vision.child`.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.export.image_network import keras_to_onnx
from training.vision import training_loop, worker_common
from training.vision.images import Images
from training.vision.specs import VisionSpec
from training.vision.training_loop import EpochMetrics, StepProgress

PROGRESS_BATCHES = 50
PIXEL_MAX = np.float32(255)


def build_network(shape: tuple[int, ...], outputs: int) -> Any:
    """The mission's network: Conv32 - Pool - Conv64 - Pool - Flatten - Dense64 - Dense10.

    It has 121,930 parameters for 28 × 28 images.
    """
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(outputs, activation="softmax"),
        ]
    )
    network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


class ProgressCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the progress within an epoch."""

    def __init__(self, progress: StepProgress) -> None:
        super().__init__()
        self.progress = progress

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report every PROGRESS_BATCHES batches."""
        if batch % PROGRESS_BATCHES == 0:
            self.progress(batch, self.params["steps"])


class KerasTrainer:
    """Implements `training_loop.Trainer`."""

    def __init__(self, spec: VisionSpec, images: Images) -> None:
        self.spec = spec
        train, valid = worker_common.split_indices(images, spec)
        self.train = images.train_x[train] / PIXEL_MAX, images.train_y[train]
        self.valid = images.train_x[valid] / PIXEL_MAX, images.train_y[valid]
        keras.utils.set_random_seed(spec.seed)
        # Without it, the order of float sums and hence the weights differ from run to run.
        tf.config.experimental.enable_op_determinism()
        self.model = build_network(spec.dataset.shape, len(spec.dataset.labels))

    def epoch(self, number: int, progress: StepProgress) -> EpochMetrics:
        """Fit one epoch; its order of images is drawn by its number."""
        keras.utils.set_random_seed(self.spec.seed + number)
        x, y = self.train
        result = self.model.fit(
            x,
            y,
            batch_size=self.spec.dataset.batch,
            initial_epoch=number - 1,
            epochs=number,
            validation_data=self.valid,
            verbose=0,
            callbacks=[ProgressCallback(progress)],
        )
        return {name: float(values[-1]) for name, values in result.history.items()}

    def save(self, file: Path) -> None:
        """Write weights and optimiser."""
        self.model.save(file)

    def load(self, file: Path) -> None:
        """Restore weights and optimiser."""
        self.model = keras.saving.load_model(file)


def train_network(argument: str) -> None:
    """Train or resume in the run directory `argument`, and write the results there."""
    directory, spec, images = worker_common.start_worker(argument)
    tf.config.threading.set_intra_op_parallelism_threads(worker_common.thread_count())
    trainer = KerasTrainer(spec, images)
    best = training_loop.train_epochs(trainer, directory, spec.epochs, spec.patience, ".keras")
    weights = [np.asarray(each, dtype=np.float32) for each in trainer.model.get_weights()]
    network = keras_to_onnx(weights, spec.dataset.shape)
    compared = images.test_x[: worker_common.COMPARED_ROWS] / PIXEL_MAX
    facts = {
        "parameters": int(trainer.model.count_params()),
        "best_epoch": best.epoch,
        "framework": f"keras {keras.__version__}",
        "optimizer": "adam",
        "learning_rate": float(trainer.model.optimizer.learning_rate),
        "batch_size": spec.dataset.batch,
        "device": "cuda" if tf.config.list_physical_devices("GPU") else "cpu",
    }
    probabilities = trainer.model.predict(compared, verbose=0)
    worker_common.write_results(directory, network, probabilities, facts)


if __name__ == "__main__":
    train_network(sys.argv[1])
