"""Model card of an image classifier: network, data, gate, epochs and limits."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.run.gate import GateVerdict
from training.vision.specs import VisionSpec

CARD = "model_card.md"
LOSSY = (
    "**The images are lossy JPEG copies of the originals**, so the metrics differ slightly from"
    " those on the public files."
)


def write_card(
    spec: VisionSpec,
    verdict: GateVerdict,
    state: Mapping[str, Any],
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
) -> str:
    """The card in Markdown. Its content is also in the metrics, parameters and tags of the run.

    `state` is that of the run directory, `facts` are parameters known after the training, `history`
    the metrics of each epoch.
    """
    check = verdict.checks[0]
    passed = (
        "Passed the gate."
        if verdict.gate_pass
        else f"**Refused by the gate**, hence not registered: {'; '.join(verdict.reasons)}"
    )
    epochs = "\n".join(
        f"| {each['epoch']:.0f} | {each['loss']:.4f} | {each['accuracy']:.4f} |"
        f" {each['val_accuracy']:.4f} |"
        for each in history
    )
    parameters = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"""# {spec.kind}, profile {spec.profile}

{passed}

## What it is
A classifier of images of {" × ".join(map(str, spec.dataset.shape))} bytes into
{", ".join(spec.dataset.labels)}.
Seed {spec.seed}; {parameters}.
The file is ONNX: input are pixels from 0 to 255, output is a probability per label.

## Data
{state["source"]}, SHA-256 of the arrays `{state["dataset_sha256"]}`.
{LOSSY if state["lossy"] else ""}

## The gate
Accuracy of the exported file on the original test images: {check.value:.4f};
it must be {check.relation} {check.limit:g}.

## Epochs
| epoch | loss | accuracy | validation accuracy |
|---|---|---|---|
{epochs}

The model is from epoch {facts["best_epoch"]}, the best one on the {spec.dataset.validation:.0%} of
the training images that were held out.

## Limits
A benchmark: small centred objects of ten classes. For any other picture it still answers one of
these classes.
"""
