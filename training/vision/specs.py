"""The two image data sets, and what a training of one of them is, as data: a variant is a Spec with
other values.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.errors import DatasetError

if TYPE_CHECKING:
    from contracts.config.settings import Settings


@dataclass(frozen=True)
class Kind:
    """A public data set with its network's framework and the gate; the gate's limits are the
    mission's, hence no settings.
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

    def model_name(self, settings: "Settings") -> str:
        """Registered model."""
        return str(getattr(settings, f"{self.name}_model_name"))

    def experiment(self, settings: "Settings") -> str:
        """MLflow experiment."""
        return str(getattr(settings, f"{self.name}_experiment"))


# A schedule that ends with small steps gains most in its last epochs: it is not stopped early.
NEVER = 1000
MNIST = Kind(
    "mnist", "keras", (28, 28, 1), tuple("0123456789"), ">", 0.95, ("cnn",), 10, 32, 0.2, 3
)
CIFAR10_LABELS = (
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
)
CIFAR10 = Kind(
    "cifar10",
    "torch",
    (32, 32, 3),
    CIFAR10_LABELS,
    ">=",
    0.85,
    ("resnet9", "simple"),
    15,
    128,
    0.1,
    NEVER,
)
KINDS = {kind.name: kind for kind in (MNIST, CIFAR10)}


@dataclass(frozen=True)
class Spec:
    """One training. `profile` is the network; 0 epochs or patience: the kind's own. `rows_max` cuts
    the training images, for a look.
    """

    kind: str
    profile: str = ""
    epochs: int = 0
    seed: int = 7
    patience: int = 0
    rows_max: int = 0
    fields: Kind = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill in the kind's own values. Raises DatasetError for an unknown kind or profile, or
        impossible numbers.
        """
        if self.kind not in KINDS:
            raise DatasetError(
                f"there is no image data set {self.kind!r}", f"known: {', '.join(KINDS)}"
            )
        kind = KINDS[self.kind]
        object.__setattr__(self, "fields", kind)
        object.__setattr__(self, "profile", self.profile or kind.profiles[0])
        object.__setattr__(self, "epochs", self.epochs or kind.epochs)
        object.__setattr__(self, "patience", self.patience or kind.patience)
        if self.profile not in kind.profiles:
            raise DatasetError(
                f"{self.kind} has no profile {self.profile!r}", f"known: {', '.join(kind.profiles)}"
            )
        if not 1 <= self.epochs <= 1000 or self.patience < 1 or self.rows_max < 0:
            raise DatasetError("epochs are 1 to 1000, patience at least 1", "see --help")

    def as_dict(self) -> dict[str, str | int]:
        """What a child process and a run are told."""
        return {
            name: getattr(self, name)
            for name in ("kind", "profile", "epochs", "seed", "patience", "rows_max")
        }
