"""Image data sets and the specification of a training on one of them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.errors import DatasetError

if TYPE_CHECKING:
    from contracts.config.home import HomeSettings

EPOCHS_MAX = 1000


@dataclass(frozen=True)
class ImageDataset:
    """A public data set, the framework and defaults of its trainings, and its gate.

    `shape` is (height, width, channels). The gate is `relation` `accuracy_min`; it comes from the
    mission, so it is a constant and not a setting. `validation` is the share of the training images
    held out for early stopping.
    """

    name: str
    framework: str
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    relation: str
    accuracy_min: float
    profiles: tuple[str, ...]
    epochs: int
    batch: int
    validation: float
    patience: int

    def model_name(self, settings: "HomeSettings") -> str:
        """Name of the registered model."""
        return str(getattr(settings, f"{self.name}_model_name"))

    def experiment(self, settings: "HomeSettings") -> str:
        """Name of the MLflow experiment."""
        return str(getattr(settings, f"{self.name}_experiment"))


# Disables early stopping: a schedule that ends with small steps gains most in its last epochs.
NEVER = 1000
MNIST = ImageDataset(
    name="mnist",
    framework="keras",
    shape=(28, 28, 1),
    labels=tuple("0123456789"),
    relation=">",
    accuracy_min=0.95,
    profiles=("cnn",),
    epochs=10,
    batch=32,
    validation=0.2,
    patience=3,
)
CIFAR10 = ImageDataset(
    name="cifar10",
    framework="torch",
    shape=(32, 32, 3),
    labels=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    relation=">=",
    accuracy_min=0.85,
    profiles=("resnet9", "simple"),
    epochs=15,
    batch=128,
    validation=0.1,
    patience=NEVER,
)
DATASETS = {dataset.name: dataset for dataset in (MNIST, CIFAR10)}


@dataclass(frozen=True)
class VisionSpec:
    """Specification of one training.

    `profile` names the network. An empty profile, or 0 epochs or patience, selects the default of
    the data set. `rows_max` limits the training images, for a quick try; 0: all.

    Raises DatasetError for an unknown data set or profile, or numbers out of range.
    """

    kind: str
    profile: str = ""
    epochs: int = 0
    seed: int = 7
    patience: int = 0
    rows_max: int = 0
    dataset: ImageDataset = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Apply the defaults of the data set and validate."""
        if self.kind not in DATASETS:
            raise DatasetError(
                f"there is no image data set {self.kind!r}", f"choose one of {', '.join(DATASETS)}"
            )
        dataset = DATASETS[self.kind]
        object.__setattr__(self, "dataset", dataset)
        object.__setattr__(self, "profile", self.profile or dataset.profiles[0])
        object.__setattr__(self, "epochs", self.epochs or dataset.epochs)
        object.__setattr__(self, "patience", self.patience or dataset.patience)
        if self.profile not in dataset.profiles:
            raise DatasetError(
                f"{self.kind} has no profile {self.profile!r}",
                f"choose one of {', '.join(dataset.profiles)}",
            )
        if not 1 <= self.epochs <= EPOCHS_MAX or self.patience < 1 or self.rows_max < 0:
            raise DatasetError(
                f"{self.epochs} epochs with patience {self.patience} and rows_max {self.rows_max}"
                " are out of range",
                f"epochs are 1 to {EPOCHS_MAX}, patience is at least 1, rows_max at least 0",
            )

    def as_dict(self) -> dict[str, str | int]:
        """The fields as JSON values, for the child process and MLflow."""
        return {
            "kind": self.kind,
            "profile": self.profile,
            "epochs": self.epochs,
            "seed": self.seed,
            "patience": self.patience,
            "rows_max": self.rows_max,
        }
