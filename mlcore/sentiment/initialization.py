"""Where a training starts: small random embeddings, and what the labels of the training texts say of each feature."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from mlcore.errors import InputError, ShapeError
from mlcore.kernels.compiling import kernel
from mlcore.sentiment.model import Model, Parameters, Split, blocks_of_rows, initial_parameters
from mlcore.sentiment.preparation import TrainingData
from mlcore.sentiment.settings import Settings
from mlcore.text.memory import return_what_is_free
from mlcore.text.vectors import Vectors

NAIVE_BAYES_SCALE = 0.1  # about the length of a random embedding, for a feature e times as frequent with a label
# Mean length of embeddings that come from elsewhere, or stay as they are: what trains stays short enough to be moved
# by a few small steps; what is fixed is long enough for the layers to grow to it within the usual epochs (measured).
LENGTHS = {"trainable": 0.5, "fixed": 3.0}


def new_classifier(data: TrainingData, settings: Settings, vectors: Vectors | None = None, threads: int = 1) -> Model:
    """Untrained classifier for this data.

    ``vectors`` of the words of ``data.features``: where a word has one, it starts from there; all others, and the
    n-grams, get the start of the settings. What the vectors say is kept, but not their scale: all are multiplied by
    the same number, so that their mean length is the one of LENGTHS that training works with.

    Raises: ShapeError if the vectors do not belong to these words, or have another width.
    """
    outputs = len(data.labels) if len(data.labels) > 2 else 1
    features, naive_bayes = len(data.features), settings.start == "naive-bayes"
    find_ratios = partial(feature_ratios, data.train, data.labels, features)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(find_ratios) if naive_bayes and threads > 1 else None
        parameters = initial_parameters(features, outputs, settings)  # in this thread, which hears of Ctrl-C
    table, length = parameters.table[:, : settings.dim], LENGTHS[settings.embedding]
    if naive_bayes:
        _add_ratios(table, other.result() if other else find_ratios(), settings.seed)
    if vectors is not None:
        shape = len(data.features.words), settings.dim
        if vectors.table.shape != shape:
            raise ShapeError(f"vectors have shape {vectors.table.shape}; expected {shape}, a row for each known word.")
        table[: shape[0]][vectors.found] = with_length(vectors.table[vectors.found], length)
    elif settings.embedding == "fixed":
        table[:] = with_length(table, length)
    return_what_is_free()  # a training takes the most memory of all that is done
    return Model(settings, data.labels, data.features, parameters)


def _add_ratios(table: np.ndarray, ratios: np.ndarray, seed: int) -> None:
    """Add the ratio of each feature in a random direction for each label."""
    random = np.random.default_rng([seed, 3])
    directions = random.normal(size=(ratios.shape[1], table.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for block in blocks_of_rows(len(table)):
        table[block] += NAIVE_BAYES_SCALE * ratios[block] @ directions


def with_length(rows: np.ndarray, length: float) -> np.ndarray:
    """The rows times the number that makes their mean length this one; rows that are all 0 stay so."""
    mean = np.linalg.norm(rows.astype(np.float64), axis=1).mean() if len(rows) else 0.0
    return rows * np.float32(length / mean) if mean > 0 else rows


def feature_ratios(train: Split, labels: tuple[str, ...], features: int) -> np.ndarray:
    """How much more frequent each feature is in the texts of a label than in all others, as a logarithm: (v, k).

    log of (n_w + 1) / sum_w (n_w + 1), n_w being the number of the label's texts with the feature, minus the same
    of the other texts. k is the number of labels, or 1 for the positive one of two. Without labels, for ratings:
    the mean deviation of the ratings of its texts, in standard deviations, one text of deviation 0 added.

    Source: Wang and Manning 2012, the log-count ratio.
    """
    targets = train.targets[train.rows, 0].astype(np.float64)
    if not labels:
        deviations = (targets - targets.mean()) / max(float(targets.std()), 1e-9)
        totals = _totals(train, features, deviations, np.zeros(len(targets), np.int64), 1)
        return totals / (_totals(train, features, np.ones(len(targets)), np.zeros(len(targets), np.int64), 1) + 1)
    with_label = _totals(train, features, np.ones(len(targets)), targets.astype(np.int64), len(labels)) + 1
    without = with_label.sum(axis=1, keepdims=True) - with_label - (len(labels) - 2)
    ratios = np.log(with_label / with_label.sum(axis=0)) - np.log(without / without.sum(axis=0))
    return ratios[:, 1:] if len(labels) == 2 else ratios


def _totals(train: Split, features: int, values: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
    totals = np.zeros((features, width))
    for block, rows in train.documents.in_blocks(train.rows):
        add_values(train.documents.ids, train.documents.offsets, rows, values[block], columns[block], totals)
    return totals


@kernel
def add_values(ids, offsets, rows, values, columns, totals):
    """Add to every feature of a text, in the text's column, the value of the text: add to totals.

    Shapes: ids (m,), offsets (n + 1,); rows, values and columns (r,) of the texts -> totals (v, k).
    """
    for r in range(rows.shape[0]):
        for j in range(offsets[rows[r]], offsets[rows[r] + 1]):
            totals[ids[j], columns[r]] += values[r]


def continue_from(classifier: Model, earlier: Model) -> None:
    """Give an untrained classifier the parameters of an earlier one, whose features are the first of its own.

    Raises: InputError if the two do not fit together.
    """
    for name in ("dim", "hidden", "ngrams", "binary", "loss"):
        here, there = getattr(classifier.settings, name), getattr(earlier.settings, name)
        if here != there:
            option = f"--{'' if there else 'no-'}{name}" if name == "binary" else f"--{name} {there}"
            raise InputError(f"{name} is {here}, but the model to begin with has {there}; add {option}.")
    if classifier.labels != earlier.labels:
        here, there = (", ".join(map(repr, labels)) for labels in (classifier.labels, earlier.labels))
        raise InputError(f"The labels are {here}, but the model to begin with has {there}; expected the same.")
    words, ngrams = len(classifier.features.words), len(earlier.features.ngrams)
    known = len(earlier.features.words)
    table, *layers = classifier.parameters
    earlier_table, *earlier_layers = earlier.parameters
    table[:known], table[words : words + ngrams] = earlier_table[:known], earlier_table[known:]
    for layer, values in zip(layers, earlier_layers, strict=True):
        layer[:] = values
