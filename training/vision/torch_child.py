"""`python -m training.vision.torch_child RUN_DIRECTORY`: train CIFAR-10 with PyTorch.

A separate process, started by `training.vision.child`. Uses CUDA if available.
"""

import io
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from training.vision import training_loop, worker_common
from training.vision.images import Images
from training.vision.specs import VisionSpec
from training.vision.torch_networks import ServedNetwork, build_network
from training.vision.training_loop import EpochMetrics, StepProgress

CROP_MARGIN = 4
LABEL_SMOOTHING = 0.1
LEARNING_RATE_MAX, WEIGHT_DECAY, MOMENTUM = 0.15, 5e-4, 0.9
WARMUP_SHARE = 0.3
SIMPLE_LEARNING_RATE = 1e-3
EVALUATION_BATCH = 1000
PROGRESS_BATCHES = 10
EPOCH_SEEDS = 10_000
OPSET = 15
PROBABILITY_MIN = 1e-12


class TorchTrainer:
    """Implements `training_loop.Trainer`.

    ResNet-9: random flips and crops, SGD with a one-cycle schedule, label smoothing. Profile
    `simple`: Adam on the images as they are.
    """

    def __init__(self, spec: VisionSpec, images: Images) -> None:
        torch.manual_seed(spec.seed)
        self.spec = spec
        self.is_simple = spec.profile == "simple"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.use_bf16 = not self.is_simple and has_fast_bf16(self.device)
        indices = worker_common.split_indices(images, spec)
        train, valid = (torch.from_numpy(each) for each in indices)
        x = torch.from_numpy(images.train_x)
        y = torch.from_numpy(images.train_y).long()
        self.x = x[train].to(self.device)
        self.y = y[train].to(self.device)
        self.valid_x = x[valid].to(self.device)
        self.valid_y = y[valid].to(self.device)
        served = ServedNetwork(build_network(spec.profile, len(spec.dataset.labels)))
        self.served: Any = served.to(self.device, memory_format=torch.channels_last)
        self.steps = math.ceil(len(self.x) / spec.dataset.batch)
        self.optimizer, self.schedule = self._build_optimizer()

    def _build_optimizer(self) -> tuple[Any, Any]:
        weights = self.served.network.parameters()
        if self.is_simple:
            adam = torch.optim.Adam(weights, lr=SIMPLE_LEARNING_RATE)
            return adam, torch.optim.lr_scheduler.ConstantLR(adam, factor=1.0)
        sgd = torch.optim.SGD(
            weights,
            lr=LEARNING_RATE_MAX,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
            nesterov=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            sgd,
            LEARNING_RATE_MAX,
            total_steps=self.steps * self.spec.epochs + 1,
            pct_start=WARMUP_SHARE,
        )
        return sgd, schedule

    def epoch(self, number: int, progress: StepProgress) -> EpochMetrics:
        """Fit one epoch; its order, flips and crops are drawn by its number."""
        generator = torch.Generator().manual_seed(self.spec.seed * EPOCH_SEEDS + number)
        order = torch.randperm(len(self.x), generator=generator).to(self.device)
        self.served.train()
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        for step, rows in enumerate(order.split(self.spec.dataset.batch), start=1):
            loss, logits = self._fit_batch(rows, generator)
            loss_sum = loss_sum + loss * len(rows)
            correct = correct + (logits.argmax(1) == self.y[rows]).sum()
            if step % PROGRESS_BATCHES == 0:
                progress(step, self.steps)
        return {
            "loss": loss_sum.item() / len(self.x),
            "accuracy": correct.item() / len(self.x),
            **self._validation_metrics(),
            "learning_rate": float(self.schedule.get_last_lr()[0]),
        }

    def _fit_batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images = self.served.normalise(self.x[rows].float())
        if not self.is_simple:
            images = flip_and_crop(images, generator)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.use_bf16):
            logits = self.served.network(images.contiguous(memory_format=torch.channels_last))
        smoothing = 0.0 if self.is_simple else LABEL_SMOOTHING
        loss = cross_entropy(logits.float(), self.y[rows], label_smoothing=smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach(), logits.detach()

    def _validation_metrics(self) -> EpochMetrics:
        self.served.eval()
        with torch.no_grad():
            batches = self.valid_x.split(EVALUATION_BATCH)
            probabilities = torch.cat([self.served(batch.float()) for batch in batches])
        of_label = probabilities.gather(1, self.valid_y[:, None]).clamp_min(PROBABILITY_MIN)
        correct = (probabilities.argmax(1) == self.valid_y).float()
        return {
            "val_loss": -of_label.log().mean().item(),
            "val_accuracy": correct.mean().item(),
        }

    @property
    def _checkpoint_parts(self) -> dict[str, Any]:
        # "whole" is the name of the network in existing checkpoints.
        return {"whole": self.served, "optimizer": self.optimizer, "schedule": self.schedule}

    def save(self, file: Path) -> None:
        """Write weights, optimiser and schedule."""
        parts = {name: part.state_dict() for name, part in self._checkpoint_parts.items()}
        torch.save(parts, file)

    def load(self, file: Path) -> None:
        """Restore weights, optimiser and schedule.

        `weights_only`: a checkpoint is a pickle, which could otherwise execute code.
        """
        state = torch.load(file, map_location=self.device, weights_only=True)
        for name, part in self._checkpoint_parts.items():
            part.load_state_dict(state[name])


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware supports bfloat16; emulating it is many times slower than float32."""
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def flip_and_crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image at random, and crop it at random after padding by reflection.

    `images` is (rows × channels × side × side), as is the result; the padding is CROP_MARGIN.
    """
    rows = len(images)
    side = images.shape[-1]
    flips = torch.rand(rows, generator=generator) < 0.5
    down = torch.randint(0, 2 * CROP_MARGIN + 1, (rows, 1), generator=generator)
    right = torch.randint(0, 2 * CROP_MARGIN + 1, (rows, 1), generator=generator)
    span = torch.arange(side)
    columns = torch.where(flips[:, None], span.flip(0), span) + right
    image_index = torch.arange(rows)[:, None, None].to(images.device)
    row_index = (span + down)[:, :, None].to(images.device)
    column_index = columns[:, None, :].to(images.device)
    padded = torch.nn.functional.pad(images, (CROP_MARGIN,) * 4, mode="reflect")
    cropped = padded.permute(0, 2, 3, 1)[image_index, row_index, column_index]
    return cropped.permute(0, 3, 1, 2)


def to_onnx(served: Any, shape: tuple[int, ...]) -> bytes:
    """Export by tracing, which needs no further package; the network has no branches."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            served,
            (torch.zeros(1, *shape),),
            out,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_axes={"images": {0: "rows"}, "probabilities": {0: "rows"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return out.getvalue()


def training_facts(trainer: TorchTrainer, best_epoch: int) -> dict[str, Any]:
    """Parameters of a finished training, for MLflow and the model card."""
    facts = {
        "parameters": sum(each.numel() for each in trainer.served.parameters()),
        "best_epoch": best_epoch,
        "framework": f"torch {torch.__version__}",
        "device": trainer.device.type,
        "batch_size": trainer.spec.dataset.batch,
        "optimizer": type(trainer.optimizer).__name__,
    }
    if trainer.is_simple:
        return facts | {"learning_rate": SIMPLE_LEARNING_RATE}
    return facts | {
        "learning_rate_max": LEARNING_RATE_MAX,
        "weight_decay": WEIGHT_DECAY,
        "momentum": MOMENTUM,
        "label_smoothing": LABEL_SMOOTHING,
        "augmentation": "flip, crop 4",
        "precision": "bf16" if trainer.use_bf16 else "float32",
    }


def train_network(argument: str) -> None:
    """Train or resume in the run directory `argument`, and write the results there."""
    directory, spec, images = worker_common.start_worker(argument)
    torch.set_num_threads(worker_common.thread_count())
    trainer = TorchTrainer(spec, images)
    best = training_loop.train_epochs(trainer, directory, spec.epochs, spec.patience, ".pt")
    facts = training_facts(trainer, best.epoch)
    served = trainer.served.to("cpu", memory_format=torch.contiguous_format).float().eval()
    compared = torch.from_numpy(images.test_x[: worker_common.COMPARED_ROWS]).float()
    with torch.no_grad():
        probabilities = served(compared).numpy()
    network = to_onnx(served, spec.dataset.shape)
    worker_common.write_results(directory, network, probabilities, facts)


if __name__ == "__main__":
    train_network(sys.argv[1])
