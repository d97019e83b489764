"""A smaller model that predicts the same for almost all texts: fewer features and dimensions, in 8 bits each.

What a feature contributes to texts decides whether it is kept. The embedding is rotated so that its first dimensions
have most of what moves the hidden layer, and cut to these; then its numbers become multiples of one step. Each kept
feature also stands for a share of those left out, so that mean embeddings stay where the layers expect them.

Source: Joulin et al. 2016, FastText.zip (features by their norms); Eckart and Young 1936 (the best dimensions).
"""

from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.kernels.forward import Parameters
from mlcore.kernels.layers import affine
from mlcore.results import Result
from mlcore.sentiment.evaluation import AnyEvaluation, assess
from mlcore.sentiment.model import Compressed, Model, in_range
from mlcore.sentiment.model_file import MIN_STEP, content_of
from mlcore.sentiment.prediction import judged
from mlcore.text.dataset import Dataset, occurrences
from mlcore.text.documents import Documents
from mlcore.text.labels import labels_in, shown
from mlcore.text.ngrams import BEGIN
from mlcore.text.overlap import FEW_FINGERPRINTS
from mlcore.text.vocabulary import WordTable

LEVELS = 127  # of a number, on either side of 0
ZIPF_EXPONENTS = {0: 0.75, 1: 1.0, 2: 0.75, 3: 0.6}  # by the words of a feature; 0: of characters
PAIR = 8  # bytes of an n-gram of words in a file
SLACK = 64  # bytes by which the digits of the step and of the dimensions may lengthen the header of a file
LEAST_GAIN = 1e-3  # of a hidden unit, so that its weights stay finite
DIGITS = 6  # of the rotation; processors agree on about fifteen
ROWS = 1 << 12  # of the embedding that are looked at at a time
MAX_CHANGES = 100


class Change(NamedTuple):
    """A text for which the two models decide differently."""

    place: str
    text: str
    truth: str
    before: str
    after: str
    difference: float  # as in Measured


@dataclass(frozen=True)
class Measured(Result):
    """Both models on those texts of a dataset that ``evaluate`` takes.

    ``difference`` is the mean over the texts of the largest difference of a probability, or of that of the ratings.
    """

    data: str
    part: str  # "test", "dev" or "all"
    before: AnyEvaluation
    after: AnyEvaluation
    agreement: float | None  # share of the texts for which both decide alike; None for ratings
    difference: float
    changes: list[Change]  # the largest differences first, up to MAX_CHANGES; of ratings, whatever their size


@dataclass(frozen=True)
class Compression(Result):
    """What has become of a model: each figure before and after."""

    bytes: tuple[int, int]
    features: tuple[int, int]
    dim: tuple[int, int]
    measured: Measured | None  # without texts


def compress_and_measure(
    model: Model, max_size: int, dataset: Dataset | None = None, threads: int = 1
) -> tuple[Model, Compression]:
    """A model whose file has at most ``max_size`` bytes, and how it compares with the original on labelled texts.

    The dataset, which has kept its texts, also tells how often features occur: by the texts that are not measured on,
    if there are any.

    Raises: InputError if no model is that small; as ``compress``; DataError if no label suits the model.
    """
    texts = None
    if dataset is not None:
        rows, _ = dataset.held_out()
        others = np.setdiff1d(np.arange(dataset.n_texts), rows)
        tokens = dataset.tokens.select(others if len(others) else rows)
        texts = model.features.documents_of(tokens, dataset.words, threads)
    small = compress(model, max_size, texts)
    if (least := len(content_of(small))) > max_size:
        expected = f"expected at least {least:,} bytes, which labels, layers, settings and one feature take"
        raise InputError(expected, parameter="max_size", value=max_size)
    measured = None if dataset is None else measure(model, small, dataset, threads)
    figures = ((len(content_of(one)), len(one.features), one.settings.dim) for one in (model, small))
    sizes, features, dims = zip(*figures, strict=True)
    return small, Compression(sizes, features, dims, measured)


def compress(model: Model, max_size: int, texts: Documents | None = None) -> Model:
    """A model whose file has at most ``max_size`` bytes, or the smallest one: this one, if it has no more.

    Of all numbers of dimensions, each with as many features as there is room for, that with the smallest expected
    square error of what the hidden layer gets, each unit weighted by the norm of its outgoing weights.

    ``texts``: how often features occur; by default their order tells, for more frequent ones come first.

    Raises: ModelFileError if its numbers are too large.
    """
    if len(content_of(model)) <= max_size:
        return model
    counts = expected_counts(model)
    if texts is not None and texts.n_texts:
        found = occurrences(texts, np.arange(texts.n_texts), len(counts))
        counts += found * (trained_texts(model) or texts.n_texts) / texts.n_texts
    rotated, layer, energies = _rotate(model, counts)
    mean = np.einsum("v,vr->r", counts, rotated) / counts.sum()
    strengths = counts * ((rotated - mean.astype(np.float32)) ** 2).sum(axis=1)
    order = _order(model, strengths)
    sizes, lost = _sizes(model)[order], np.append(np.cumsum(strengths[order[::-1]])[::-1], 0)
    whole = content_of(_cut(model, order, counts, rotated, layer, 1))
    fixed = len(whole) - int((sizes + 1).sum()) + SLACK
    best, best_error = (order[:1], 1), np.inf
    for dim in _dimensions(len(energies)):
        room = max_size - fixed - layer[:, 1:dim].size * np.dtype(np.float32).itemsize
        n = int(np.searchsorted(np.cumsum(sizes + dim), room, side="right"))
        step = np.abs(rotated[order[:n], :dim]).max(initial=0) / LEVELS
        rounding = counts[order[:n]].sum() * dim * step**2 / 12
        if n and (error := lost[n] + energies[dim:].sum() + rounding) < best_error:
            best, best_error = (order[:n], dim), error
    small = _cut(model, best[0], counts, rotated, layer, best[1])
    if not all(in_range(array) for array in small.parameters):
        raise ModelFileError("The model has numbers that are too large to be compressed; train it again")
    return small


def trained_texts(model: Model) -> int:
    """The number of texts that a model was trained on at last; 0 if it does not say."""
    return sum(model.provenance.texts.get(name, 0) for name in ("train", "dev"))


def expected_counts(model: Model) -> np.ndarray:
    """How often each feature occurs in the training texts, by Zipf's law from the rarest up: (v,) float64."""
    words_in, counts = model.features.words_in(), np.zeros(len(model.features))
    kinds = np.where(model.features.begins(), 1 - words_in, words_in)  # the most frequent of each come first
    for kind in np.unique(kinds):
        at = np.flatnonzero(kinds == kind)
        exponent = ZIPF_EXPONENTS[abs(int(kind))]
        counts[at] = model.settings.min_count * (len(at) / np.arange(1, len(at) + 1)) ** exponent
    return np.minimum(counts, trained_texts(model) or np.inf) if model.settings.binary else counts


def _dimensions(largest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ... and the largest."""
    powers = [1 << i for i in range(largest.bit_length())]
    return sorted({dim for dim in chain(powers, (3 * one for one in powers)) if dim < largest} | {largest})


def _rotate(model: Model, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The embedding in the directions that move the hidden layer most, with the W1 of these, and how much each does.

    Shapes: counts (v,) -> (v, r) float32, (h, r) float64, (r,) descending.
    """
    table, W1, _, W2, _ = model.parameters
    gains = np.linalg.norm(W2.astype(np.float64), axis=0)
    gains = np.maximum(gains, LEAST_GAIN * gains.max()) if gains.any() else np.ones_like(gains)
    weighted = gains[:, np.newaxis] * W1
    moments = np.zeros((table.shape[1],) * 2)
    for start in range(0, len(table), ROWS):
        rows = table[start : start + ROWS].astype(np.float64)
        moments += (rows * counts[start : start + ROWS, np.newaxis]).T @ rows
    energies, directions = np.linalg.eigh(weighted @ moments @ weighted.T)
    rank = min(model.settings.dim, model.settings.hidden)
    directions = directions[:, ::-1][:, :rank]
    largest = np.abs(directions.round(DIGITS)).argmax(axis=0)
    directions = (directions * np.sign(directions[largest, np.arange(rank)])).round(DIGITS)
    rotated = np.empty((len(table), rank), np.float32)
    affine(table, (directions.T @ weighted).astype(np.float32), None, rotated)
    return rotated, directions / gains[:, np.newaxis], np.maximum(energies[::-1][:rank], 0)


def _order(model: Model, strengths: np.ndarray) -> np.ndarray:
    """The features, the strongest first, each behind those that it is made of: (v,)."""
    features, strengths = model.features, strengths.copy()
    words_in = features.words_in()
    for size in range(features.depth, 1, -1):
        at = np.flatnonzero(words_in == size)
        keys = features.ngrams[at - len(features.words)]
        for parts in (keys >> 32, keys & 0xFFFFFFFF):
            np.maximum.at(strengths, parts[parts != BEGIN], strengths[at[parts != BEGIN]])
    return np.argsort(-strengths, kind="stable")


def _sizes(model: Model) -> np.ndarray:
    """Bytes in a file that each feature takes, besides its row of the embedding: (v,)."""

    def lengths(table: WordTable) -> np.ndarray:
        return np.diff(np.flatnonzero(table.to_lines() == ord("\n")), prepend=-1)

    features = model.features
    return np.concatenate([
        lengths(features.words), np.full(len(features.ngrams), PAIR), lengths(features.pieces.table)
    ])  # fmt: skip


def _cut(model: Model, kept: np.ndarray, counts: np.ndarray, rotated: np.ndarray, layer: np.ndarray, dim: int) -> Model:
    """The model with these features and the first dimensions of the rotated embedding."""
    is_kept = np.zeros(len(counts), bool)
    is_kept[kept] = True
    shares = counts / counts.sum()
    others = np.einsum("v,vr->r", shares[~is_kept], rotated[~is_kept, :dim])
    table = (shares[is_kept].sum() * rotated[is_kept, :dim] + others).astype(np.float32)
    step = np.float32(max(np.abs(table).max(initial=0) / LEVELS, MIN_STEP))
    parameters = Parameters.zeros(len(table), dim, *model.parameters.W2.shape[::-1])
    parameters.table[:, :dim] = np.rint(table / step) * step
    parameters.W1[:, :dim] = layer[:, :dim]
    for array, values in zip(parameters[2:], model.parameters[2:], strict=True):
        array[:] = values
    original = model.compressed or Compressed(0.0, len(counts), model.settings.dim)
    return replace(
        model,
        settings=replace(model.settings, dim=dim, float16=False),
        features=model.features.select(is_kept),
        parameters=parameters,
        trained_on=model.trained_on[:FEW_FINGERPRINTS],
        compressed=original._replace(step=float(step)),
    )


def measure(model: Model, small: Model, dataset: Dataset, threads: int = 1) -> Measured:
    """Compare two models on those texts of a dataset that ``assess`` takes; it has kept its texts.

    Raises: DataError if no label suits the models, or one is no rating.
    """
    models = model, small
    before, after = found = [assess(one, dataset, threads=threads) for one in models]
    rows = before.split.rows

    def compared(block: slice) -> tuple[np.ndarray, ...]:
        pairs = zip(models, found, strict=True)
        logits = [(one, one.logits(its.split.documents, rows[block])) for one, its in pairs]
        outputs, probabilities, decided = zip(*(judged(*some) for some in logits), strict=True)
        one, other = probabilities if model.labels else outputs
        return np.abs(one - other).max(axis=1), *(decided if model.labels else outputs)

    parts = model.in_blocks(compared, len(rows), threads)
    differences, *answers = map(np.concatenate, zip(*parts, strict=True))
    differs = (answers[0] != answers[1]).reshape(len(rows), -1).any(axis=1) | (not model.labels)
    changed, changes = np.flatnonzero(differs), []
    for i in changed[np.argsort(-differences[changed], kind="stable")][:MAX_CHANGES].tolist():
        row = int(rows[i])
        truth, text = shown(labels_in(dataset.label_names[dataset.labels[row]])), (dataset.texts or [])[row]
        was, now = (shown(model.names_of(some[i])) if model.labels else f"{some[i, 0]:.4g}" for some in answers)
        changes.append(Change(dataset.place(row), text, truth, was, now, float(differences[i])))
    agreement = 1 - len(changed) / len(rows) if model.labels else None
    mean = float(differences.mean())
    return Measured(before.data, before.part, before.evaluation, after.evaluation, agreement, mean, changes)
