"""What people see of a lesson: the layers and gradients of a real network, in summary."""

from typing import TYPE_CHECKING

import numpy as np

from mlcore.kernels import losses

from .explanation_view import shortened
from .render import Grid, flow, out, paragraph, show

if TYPE_CHECKING:
    from mlcore.sentiment.backpropagation import Lesson
    from mlcore.sentiment.model import Model

MOST_UNITS = 12  # of a layer; --json has all
MOST_FEATURES = 15
LARGEST = 2  # entries shown of a gradient
LOSS = {
    losses.LOGISTIC: "J = log(1 + exp ŷ) − y ŷ",
    losses.SOFTMAX: "J = log Σ exp ŷ − ŷ of the label",
    losses.SQUARED: "J = ½ (y − ŷ)²",
}
DELTA = {losses.LOGISTIC: "σ(ŷ) − y", losses.SOFTMAX: "softmax(ŷ) − y", losses.SQUARED: "ŷ − y"}


def lesson(found: "Lesson", classifier: "Model", relu_at_zero: float) -> None:
    """Text and mean, units, output and loss, the gradients of the layers, and those of the embeddings."""
    show(f"E = 1/N Σ E_w    H = φ(W1 E + b1)    ŷ = W2 H + b2\n{LOSS[classifier.loss]}")
    flow(_text(found))
    once = ", each once" if classifier.settings.binary else ", with repeats"
    things = "known words" if classifier.settings.ngrams == 1 else "known words and n-grams"
    show(f"y = {_target(found, classifier)}    N = {found.averaged:,} {things}{once}    |E| = {_norm(found.E)}")
    if not found.averaged:
        paragraph("No known word: E = 0, and no embedding has a gradient.", "bold yellow")
    show("")
    _units(found, classifier)
    y_hat = f"ŷ = {_number(found.logits[0])}    " if len(found.logits) == 1 else ""
    show(f"{y_hat}J = {_number(found.loss)}", "bold")
    show("")
    _gradients(found)
    show(f"δ₂ = {DELTA[classifier.loss]}    δ₁ = (W2ᵀ δ₂) ⊙ φ'(z)", "dim")
    if (found.z == 0).any():
        paragraph(f"On the kink: z = 0 somewhere, and φ'(0) is taken to be {_number(relu_at_zero)}.", "bold yellow")
    if found.embeddings:
        _embeddings(found, classifier)


def _text(found: "Lesson") -> list[tuple[str, str]]:
    words = [(word if known else f"[{word}]", "" if known else "dim")
             for word, known in zip(found.tokens, found.known, strict=True)]  # fmt: skip
    return [("text:", "")] + [piece for word in words for piece in ((" ", ""), word)]


def _target(found: "Lesson", classifier: "Model") -> str:
    return _number(found.target) + (f" ({found.label})" if classifier.labels else "")


def _units(found: "Lesson", classifier: "Model") -> None:
    """The units whose delta is largest, in their order, and the outputs."""
    grid = Grid("layer", "unit", "z", "a", "δ = dJ/dz", "", left=2)
    grid.columns[-1].justify = "left"
    shown = _largest(found.dz, MOST_UNITS)
    for unit in shown:
        z = found.z[unit]
        state = "on the kink" if z == 0 else "off" if z < 0 else "on"
        style = "bold yellow" if z == 0 else "dim"
        grid.add("hidden", str(unit + 1), _number(z), _number(found.h[unit]), _number(found.dz[unit]), (state, style))
    if len(shown) < len(found.z):
        on = int(np.count_nonzero(found.z > 0))
        grid.add("", f"({len(found.z) - len(shown)} more)", "", "", "", (f"on: {on} of {len(found.z)} in all", "dim"))
    names = classifier.labels if len(found.logits) > 1 else ("1",)
    for unit in _largest(found.dlogits, MOST_UNITS):
        value = _number(found.logits[unit])
        grid.add("output", shortened(names[unit]), value, value, _number(found.dlogits[unit]), ("", ""))
    out.print(grid)


def _gradients(found: "Lesson") -> None:
    grid = Grid("gradient", "formula", "shape", "norm", "largest entries", left=3)
    grid.columns[-1].justify = "left"
    formulas = {
        "W2": ("δ₂ Hᵀ", found.dW2), "b2": ("δ₂", found.db2), "W1": ("δ₁ Eᵀ", found.dW1), "b1": ("δ₁", found.db1),
        "E": ("W1ᵀ δ₁", found.dE),
    }  # fmt: skip
    for name, (formula, gradient) in formulas.items():
        grid.add(f"dJ/d{name}", formula, " × ".join(map(str, gradient.shape)), _norm(gradient), _entries(gradient))
    out.print(grid)


def _entries(gradient: np.ndarray) -> str:
    """The largest entries with their places, counted from 1."""
    places = [np.unravel_index(i, gradient.shape) for i in _by_size(gradient)[:LARGEST] if gradient.flat[i]]
    return ", ".join(f"[{', '.join(str(i + 1) for i in place)}] {gradient[place]:.3g}" for place in places).replace(
        "-", "−"
    )


def _embeddings(found: "Lesson", classifier: "Model") -> None:
    many = len(classifier.labels) > 2
    logit = "the prediction" if not classifier.labels else f"the logit of {found.label}" if many else "ŷ"
    show("\ndJ/dE_w = (count of w / N) W1ᵀ δ₁", "bold")
    grid = Grid("embedding", "count / N", "|dJ/dE_w|", "change of ŷ")
    for row in found.embeddings[:MOST_FEATURES]:
        share = f"{row.count:,}/{found.averaged:,}"
        grid.add(shortened(row.feature), share, _norm(row.gradient), f"{row.change:+.3g}".replace("-", "−"))
    if len(found.embeddings) > MOST_FEATURES:
        grid.add(f"({len(found.embeddings) - MOST_FEATURES:,} more)", "", "", "")
    out.print(grid)
    fixed = " (In training this model's embedding was fixed.)" if classifier.settings.embedding == "fixed" else ""
    paragraph(
        f"The last column is the change of {logit} after one step of gradient descent of rate 1 on this embedding "
        f"alone. All other embeddings have gradient 0.{fixed}",
        "dim",
    )


def _largest(values: np.ndarray, most: int) -> list[int]:
    """Places of the entries that are largest in size, in their order."""
    return sorted(_by_size(values)[:most])


def _by_size(values: np.ndarray) -> list[int]:
    return np.argsort(-np.abs(values), axis=None, kind="stable").tolist()


def _norm(array: np.ndarray) -> str:
    return _number(float(np.linalg.norm(array)))


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
