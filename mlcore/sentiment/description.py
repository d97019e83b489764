"""The facts about a model: its shapes, its vocabulary, how it was trained and how well it did."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels import losses
from mlcore.results import Result
from mlcore.sentiment.model import Compressed, Model, Provenance
from mlcore.sentiment.settings import reproducing_command

LOSSES = {losses.LOGISTIC: "logistic", losses.SOFTMAX: "softmax", losses.SQUARED: "squared"}
MOST_FREQUENT = 12


class Vocabulary(NamedTuple):
    """Features of one size: how many there are, and the most frequent ones in the training texts, in order."""

    words: int  # in each of them; 0 for n-grams of characters
    features: int
    most_frequent: list[str]

    @property
    def name(self) -> str:
        """What they are."""
        return ("n-grams of characters", "words", "word pairs", "word triples")[self.words]


@dataclass(kw_only=True)
class Description(Provenance, Result):
    """A model in figures, and where it comes from.

    ``best`` is the entry of the kept epoch in the history, None without a history.
    """

    file: dict[str, Any] | None  # path, bytes and sha256
    labels: tuple[str, ...]
    loss: str
    shapes: dict[str, list[int]]  # of the parameters, without padding
    parameters: int
    vocabulary: list[Vocabulary]
    settings: dict[str, Any]
    best: dict[str, Any] | None
    compressed: Compressed | None
    command: str

    @property
    def formulas(self) -> str:
        """The network with the shapes of its parameters."""
        (features, dim), (hidden, _), (outputs, _) = (self.shapes[name] for name in ("table", "W1", "W2"))
        frozen, distinct = "frozen " * self.settings["freeze_embedding"], "distinct " * self.settings["binary"]
        return (
            f"E = 1/N Σ E_w       {frozen}embedding {features:,} × {dim}, mean over N {distinct}features\n"
            f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}, φ(z) = max(0, z)\n"
            f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}"
        )


def describe(model: Model, path: Path | None = None) -> Description:
    """What a model, loaded from this path, says about itself."""
    file: dict[str, Any] = {"path": str(path), "bytes": None, "sha256": None}
    if path and path.is_file():  # what came through a pipe is gone
        with open(path, "rb") as opened:
            file |= {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}
    shapes = {name: list(array.shape) for name, array in model.parameters._asdict().items()}
    for name in ("table", "W1"):
        shapes[name][1] = model.settings.dim
    sizes, vocabulary = model.features.words_in(), []
    for size in [*range(1, model.features.largest + 1), *[0] * bool(model.features.pieces.sizes)]:
        numbers = np.flatnonzero(sizes == size)  # from the most frequent on
        names = model.features.names_of(numbers[:MOST_FREQUENT].tolist())
        vocabulary.append(Vocabulary(size, len(numbers), names))
    return Description(
        file=file if path else None,
        labels=model.labels,
        loss=LOSSES[model.loss],
        shapes=shapes,
        parameters=model.n_parameters,
        vocabulary=vocabulary,
        settings=asdict(model.settings),
        best=next((epoch for epoch in reversed(model.provenance.history) if epoch["best"]), None),
        compressed=model.compressed,
        command=reproducing_command(model, path),
        **vars(model.provenance),
    )
