"""`python -m training.vision.torch_child FOLDER`: CIFAR-10 by Torch, in a separate process; on
CUDA where there is one.
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
from training.vision.specs import Spec
from training.vision.torch_networks import Whole, made
from training.vision.training_loop import Line, Tell

PAD = 4
SMOOTHING = 0.1
RATE_MAX, DECAY, MOMENTUM = 0.15, 5e-4, 0.9
SIMPLE_RATE = 1e-3
ROWS_AT_ONCE = 1000
STEPS_TOLD = 10
EPOCH_SEEDS = 10_000
OPSET = 15


class Trainer:
    """See epochs.Trainer. ResNet-9: flips and crops, SGD on a one-cycle schedule, label smoothing;
    `simple`: Adam on plain images.
    """

    def __init__(self, spec: Spec, images: Images) -> None:
        torch.manual_seed(spec.seed)
        self.spec, self.plain = spec, spec.profile == "simple"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = not self.plain and is_half_fast(self.device)
        train, valid = (torch.from_numpy(part) for part in worker_common.parts(images, spec))
        x, y = torch.from_numpy(images.train_x), torch.from_numpy(images.train_y).long()
        self.x, self.y, self.valid_x, self.valid_y = (
            t.to(self.device) for t in (x[train], y[train], x[valid], y[valid])
        )
        whole = Whole(made(spec.profile, len(spec.fields.labels)))
        self.whole: Any = whole.to(self.device, memory_format=torch.channels_last)
        self.steps = math.ceil(len(self.x) / spec.fields.batch)
        self.optimizer, self.schedule = self._optimizer()

    def _optimizer(self) -> tuple[Any, Any]:
        weights = self.whole.network.parameters()
        if self.plain:
            adam = torch.optim.Adam(weights, lr=SIMPLE_RATE)
            return adam, torch.optim.lr_scheduler.ConstantLR(adam, factor=1.0)
        sgd = torch.optim.SGD(
            weights, lr=RATE_MAX, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
        )
        return sgd, torch.optim.lr_scheduler.OneCycleLR(
            sgd, RATE_MAX, total_steps=self.steps * self.spec.epochs + 1, pct_start=0.3
        )

    def epoch(self, number: int, tell: Tell) -> Line:
        """One epoch; order, flips and crops are drawn by its number."""
        draw = torch.Generator().manual_seed(self.spec.seed * EPOCH_SEEDS + number)
        order = torch.randperm(len(self.x), generator=draw).to(self.device)
        self.whole.train()
        loss_sum, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for step, rows in enumerate(order.split(self.spec.fields.batch), start=1):
            loss, logits = self._step(rows, draw)
            loss_sum, right = (
                loss_sum + loss * len(rows),
                right + (logits.argmax(1) == self.y[rows]).sum(),
            )
            if step % STEPS_TOLD == 0:
                tell(step, self.steps)
        numbers: Line = {
            "loss": loss_sum.item() / len(self.x),
            "accuracy": right.item() / len(self.x),
        }
        return {
            **numbers,
            **self._validated(),
            "learning_rate": float(self.schedule.get_last_lr()[0]),
        }

    def _step(self, rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        images = self.whole.normal(self.x[rows].float())
        if not self.plain:
            images = varied(images, draw)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
            logits = self.whole.network(images.contiguous(memory_format=torch.channels_last))
        loss = cross_entropy(
            logits.float(), self.y[rows], label_smoothing=0.0 if self.plain else SMOOTHING
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach(), logits.detach()

    def _validated(self) -> Line:
        self.whole.eval()
        with torch.no_grad():
            answers = torch.cat(
                [self.whole(part.float()) for part in self.valid_x.split(ROWS_AT_ONCE)]
            )
        picked = answers.gather(1, self.valid_y[:, None]).clamp_min(1e-12)
        return {
            "val_loss": -picked.log().mean().item(),
            "val_accuracy": (answers.argmax(1) == self.valid_y).float().mean().item(),
        }

    def save(self, file: Path) -> None:
        """Weights, optimiser and schedule."""
        parts = {"whole": self.whole, "optimizer": self.optimizer, "schedule": self.schedule}
        torch.save({name: part.state_dict() for name, part in parts.items()}, file)

    def load(self, file: Path) -> None:
        """The same again; `weights_only` runs no code that a file may carry."""
        state = torch.load(file, map_location=self.device, weights_only=True)
        for name, part in {
            "whole": self.whole,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }.items():
            part.load_state_dict(state[name])


def is_half_fast(device: torch.device) -> bool:
    """Whether bf16 is done by the hardware: a processor without it takes many times as long as for
    float32.
    """
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def varied(images: Tensor, draw: torch.Generator) -> Tensor:
    """Each image (rows × channels × side × side) flipped or not, and cropped after a reflected
    border of `PAD`.
    """
    rows, side = len(images), images.shape[-1]
    flips = torch.rand(rows, generator=draw) < 0.5
    down, right = (torch.randint(0, 2 * PAD + 1, (rows, 1), generator=draw) for _ in range(2))
    span = torch.arange(side)
    columns = torch.where(flips[:, None], span.flip(0), span) + right
    at = [
        index.to(images.device)
        for index in (
            torch.arange(rows)[:, None, None],
            (span + down)[:, :, None],
            columns[:, None, :],
        )
    ]
    padded = torch.nn.functional.pad(images, (PAD,) * 4, mode="reflect")
    return padded.permute(0, 2, 3, 1)[at[0], at[1], at[2]].permute(0, 3, 1, 2)


def written(whole: Any, shape: tuple[int, ...]) -> bytes:
    """The network as ONNX. The exporter by tracing needs no further package, and the network has no
    branch.
    """
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            whole,
            (torch.zeros(1, *shape),),
            out,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_axes={"images": {0: "rows"}, "probabilities": {0: "rows"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return out.getvalue()


def main(argument: str) -> None:
    """Train, or go on, and leave the network."""
    folder, spec, images = worker_common.begin(argument)
    torch.set_num_threads(worker_common.jobs())
    trainer = Trainer(spec, images)
    best = training_loop.run(trainer, folder, spec.epochs, spec.patience, ".pt")
    whole = trainer.whole.to("cpu", memory_format=torch.contiguous_format).float().eval()
    with torch.no_grad():
        answers = whole(torch.from_numpy(images.test_x[: worker_common.COMPARED]).float()).numpy()
    facts = {
        "parameters": sum(p.numel() for p in whole.parameters()),
        "best_epoch": best.epoch,
        "framework": f"torch {torch.__version__}",
    }
    facts |= {
        "device": trainer.device.type,
        "batch_size": spec.fields.batch,
        "optimizer": type(trainer.optimizer).__name__,
    }
    facts |= (
        {"learning_rate": SIMPLE_RATE}
        if trainer.plain
        else {"learning_rate_max": RATE_MAX, "weight_decay": DECAY, "momentum": MOMENTUM}
    )
    facts |= (
        {}
        if trainer.plain
        else {
            "label_smoothing": SMOOTHING,
            "augmentation": "flip, crop 4",
            "precision": "bf16" if trainer.half else "float32",
        }
    )
    worker_common.leave(folder, written(whole, spec.fields.shape), answers, facts)


if __name__ == "__main__":
    main(sys.argv[1])
