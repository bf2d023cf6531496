"""`python -m training.vision.keras_child FOLDER`: MNIST by the mission's Keras network, in a
its own process.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.export_images import keras_chain
from training.vision import training_loop, worker_common
from training.vision.images import Images
from training.vision.specs import Spec
from training.vision.training_loop import Line, Tell

STEPS_TOLD = 50


def network(shape: tuple[int, ...], outputs: int) -> Any:
    """Conv32 – Pool – Conv64 – Pool – Flatten – Dense64 – Dense10: 121,930 parameters on 28 × 28
    images.
    """
    layers = keras.layers
    parts = [
        keras.Input(shape),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
    ]
    parts += [
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(outputs, activation="softmax"),
    ]
    made = keras.Sequential(parts)
    made.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


class Told(keras.callbacks.Callback):  # type: ignore[misc]
    """Says how far an epoch is."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self.tell = tell

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Every so many batches."""
        if batch % STEPS_TOLD == 0:
            self.tell(batch, self.params["steps"])


class Trainer:
    """See epochs.Trainer."""

    def __init__(self, spec: Spec, images: Images) -> None:
        self.spec = spec
        train, valid = worker_common.parts(images, spec)
        self.train = images.train_x[train] / np.float32(255), images.train_y[train]
        self.valid = images.train_x[valid] / np.float32(255), images.train_y[valid]
        keras.utils.set_random_seed(spec.seed)
        # Else sums end in another order on every run.
        tf.config.experimental.enable_op_determinism()
        self.model = network(spec.fields.shape, len(spec.fields.labels))

    def epoch(self, number: int, tell: Tell) -> Line:
        """One epoch, its order drawn by its number."""
        keras.utils.set_random_seed(self.spec.seed + number)
        x, y = self.train
        fitted = self.model.fit(
            x,
            y,
            batch_size=self.spec.fields.batch,
            initial_epoch=number - 1,
            epochs=number,
            validation_data=self.valid,
            verbose=0,
            callbacks=[Told(tell)],
        )
        return {name: float(values[-1]) for name, values in fitted.history.items()}

    def save(self, file: Path) -> None:
        """Weights and optimiser."""
        self.model.save(file)

    def load(self, file: Path) -> None:
        """The same again."""
        self.model = keras.saving.load_model(file)


def main(argument: str) -> None:
    """Train, or go on, and leave the network."""
    folder, spec, images = worker_common.begin(argument)
    tf.config.threading.set_intra_op_parallelism_threads(worker_common.jobs())
    trainer = Trainer(spec, images)
    best = training_loop.run(trainer, folder, spec.epochs, spec.patience, ".keras")
    content = keras_chain(
        [np.asarray(w, dtype=np.float32) for w in trainer.model.get_weights()], spec.fields.shape
    )
    answers = trainer.model.predict(
        images.test_x[: worker_common.COMPARED] / np.float32(255), verbose=0
    )
    facts = {
        "parameters": int(trainer.model.count_params()),
        "best_epoch": best.epoch,
        "framework": f"keras {keras.__version__}",
    }
    facts |= {
        "optimizer": "adam",
        "learning_rate": float(trainer.model.optimizer.learning_rate),
        "batch_size": spec.fields.batch,
    }
    facts |= {"device": "cuda" if tf.config.list_physical_devices("GPU") else "cpu"}
    worker_common.leave(folder, content, answers, facts)


if __name__ == "__main__":
    main(sys.argv[1])
