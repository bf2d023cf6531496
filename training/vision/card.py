"""The model card of an image classifier: what it is, what it saw, how it was judged, and what it
must not be used for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from training.run.gate import Verdict
from training.vision.specs import Spec

CARD = "model_card.md"
LOSSY = (
    "**The images are a JPEG copy of the original**: lossy, so numbers are close to, and not the"
    " same as, those of the public files."
)


def card(
    spec: Spec,
    verdict: Verdict,
    state: Mapping[str, Any],
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
) -> str:
    """Markdown; all that it says also stands in the run's numbers, parameters and tags."""
    check = verdict.checks[0]
    passed = (
        "Passed the gate."
        if verdict.gate_pass
        else f"**Refused by the gate**, hence not registered: {'; '.join(verdict.reasons)}"
    )
    lines = "\n".join(
        f"| {line['epoch']:.0f} | {line['loss']:.4f} | {line['accuracy']:.4f} |"
        f" {line['val_accuracy']:.4f} |"
        for line in history
    )
    parameters = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"""# {spec.kind}, profile {spec.profile}

{passed}

## What it is
A classifier of images of {" × ".join(map(str, spec.fields.shape))} bytes into
{", ".join(spec.fields.labels)}.
Seed {spec.seed}; {parameters}.
The file is ONNX: pixels from 0 to 255 go in, a probability per label comes out.

## Data
{state["source"]}, SHA-256 of the arrays `{state["dataset_sha256"]}`.
{LOSSY if state["lossy"] else ""}

## The gate
Accuracy on the plain test images, by the very file that is served: {check.value:.4f};
it must be {check.relation} {check.limit:g}.

## Epochs
| epoch | loss | accuracy | validation accuracy |
|---|---|---|---|
{lines}

The model is that of epoch {facts["best_epoch"]}: the best on {spec.fields.validation:.0%} of the
training images, held out.

## Limits
A benchmark of its time: small centred objects of ten kinds. Whatever else it is shown, it answers
with one of them.
"""
