"""``mlcore grad --model``: one text through a trained model and back, as exercise 1 does it with its small network."""

from functools import partial
from pathlib import Path

import numpy as np

from mlcore.sentiment.backpropagation import Backpropagation, backpropagate
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import load_model
from mlcore.sentiment.report import LOSSES
from mlcore.text.ngrams import legend

from . import render
from .explanation import FORMULAS
from .output import answer

MAX_UNITS = 12  # of a layer; --json has all
MAX_FEATURES = 15
GRADIENTS = {"W2": "δ₂ Hᵀ", "b2": "δ₂", "W1": "δ₁ Eᵀ", "b1": "δ₁", "E": "W1ᵀ δ₁"}


def gradients_of_model(model: Path, text: str, label: str, relu_at_zero: float, as_json: bool) -> None:
    """Show, or print as JSON, how one text goes through the model and its gradients come back."""
    loaded = load_model(model)
    answer("grad-model", backpropagate(loaded, text, label, relu_at_zero), partial(_show, loaded), as_json)


def _show(model: Model, found: Backpropagation) -> None:
    """Text and mean, units, output and loss, the gradients of the layers, and those of the embeddings."""
    _, loss, dlogits = FORMULAS[LOSSES[model.loss]]
    render.show(f"E = 1/N Σ E_w    H = φ(W1 E + b1)    ŷ = W2 H + b2\n{loss}")
    words = zip(found.tokens, found.known, strict=True)
    render.flow([("text:", ""), *((f" {word}", "") if known else (f" [{word}]", "dim") for word, known in words)])
    target = _number(found.target) + (f" ({render.shortened(found.label)})" if model.labels else "")
    unit = "known words" if model.settings.ngrams == 1 else "known words and n-grams"
    once = "each once" if model.settings.binary else "with repeats"
    render.side_by_side([f"y = {target}", f"N = {found.averaged:,} {unit}, {once}", f"|E| = {_norm(found.E)}"])
    if not found.averaged:
        render.paragraph("No known words: E = 0, and no embedding has a gradient.", "bold yellow")
    render.show("")
    _show_units(found)
    y_hat = f"ŷ = {_number(found.logits[0])}    " if len(found.logits) == 1 else ""
    render.show(f"{y_hat}J = {_number(found.loss)}\n", "bold")
    _show_gradients(found)
    render.show(f"δ₂ = {dlogits}    δ₁ = (W2ᵀ δ₂) ⊙ φ'(z)", "dim")
    if (found.z == 0).any():
        at_zero = f"these gradients use φ'(0) = {_number(found.relu_at_zero)}"
        render.paragraph(f"On the kink: z = 0 somewhere; {at_zero}.", "bold yellow")
    if not found.embeddings:
        return
    rows = [
        (render.shortened(entry.feature), f"{entry.count:,}/{found.averaged:,}", _norm(entry.gradient))
        for entry in found.embeddings
    ]
    columns, title = ("embedding", "count / N", "|dJ/dE_w|"), "\ndJ/dE_w = (count of w / N) W1ᵀ δ₁"
    render.table(columns, rows, title, most=MAX_FEATURES)
    if signs := legend(entry.feature for entry in found.embeddings[:MAX_FEATURES]):
        render.show(signs, "dim")
    frozen = " (The training of this model kept its embedding fixed.)" * model.settings.freeze_embedding
    render.paragraph(f"All other embeddings have gradient 0.{frozen}", "dim")


def _show_units(found: Backpropagation) -> None:
    """The units and outputs whose delta is largest, in their order."""
    rows: list[list[render.Cell]] = []
    outputs = list(map(render.shortened, found.labels)) if len(found.logits) > 1 else ["1"]
    layers = {"hidden": (found.z, found.h, found.dz), "output": (found.logits, found.logits, found.dlogits)}
    for layer, (z, a, delta) in layers.items():
        for unit in sorted(np.argsort(-np.abs(delta), kind="stable")[:MAX_UNITS]):
            state = ("on the kink", "bold yellow") if z[unit] == 0 else ("on" if z[unit] > 0 else "off", "dim")
            name, numbers = str(unit + 1), map(_number, (z[unit], a[unit], delta[unit]))
            rows.append([layer, name, *numbers, state] if layer == "hidden" else [layer, outputs[unit], *numbers])
        if (more := len(z) - MAX_UNITS) > 0:
            rows.append(["", f"({more:,} more)"])
    if len(found.z) > MAX_UNITS:
        render.show(f"{np.count_nonzero(found.z > 0)} of {len(found.z)} hidden units are on.")
    render.table(("layer", "unit", "z", "a", "δ = dJ/dz", ""), rows, left=2)


def _show_gradients(found: Backpropagation) -> None:
    rows = []
    for name, formula in GRADIENTS.items():
        gradient: np.ndarray = getattr(found, f"d{name}")
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        entry = f"[{', '.join(str(i + 1) for i in place)}] {render.number(float(gradient[place]) + 0.0, '.3g')}"
        shape = " × ".join(map(str, gradient.shape))
        rows.append((f"dJ/d{name}", formula, shape, _norm(gradient), entry))
    render.table(("gradient", "formula", "shape", "norm", "largest entry"), rows, left=(0, 1, 2, 4))


def _norm(array: np.ndarray) -> str:
    return _number(float(np.linalg.norm(array)))


def _number(value: float) -> str:
    return render.number(value + 0.0, ".4g")  # without the sign of -0.0
