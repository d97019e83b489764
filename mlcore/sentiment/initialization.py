"""Where a training starts: small random embeddings, and what the labels of the training texts say of each feature."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mlcore.errors import InputError, ShapeError
from mlcore.kernels.compiling import kernel
from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import Model
from mlcore.sentiment.settings import Facts, Settings
from mlcore.text.dataset import Dataset, EncodedDataset, Split
from mlcore.text.labels import labels_in, listed
from mlcore.text.overlap import kept
from mlcore.text.pool import shares
from mlcore.text.vectors import Vectors
from mlcore.text.vocabulary import Tokens

NAIVE_BAYES_SCALE = 0.1  # about the length of a random embedding, for a feature e times as frequent with a label
# Mean length of frozen embeddings and of what given vectors add to the others. Frozen ones are long enough for the
# layers to grow to them within the usual epochs. In long texts the words' own labels say more than given vectors, which
# are better short there (measured on SST-2, MR and 1,000 texts of IMDb, and so is the next).
FROZEN_LENGTH, SHORT_TEXTS_LENGTH, LONG_TEXTS_LENGTH = 3.0, 1.0, 0.2
GIVEN_SQUARES = np.float32(0.1)  # share of its first squares that a word with a vector has, of which more is known
# A word has a dozen n-grams of characters, which would outweigh it, most of all a short word such as "not". Hence these
# factors of the initial embeddings and of the learning rate.
WORDS_SCALE, PIECES_SCALE = 5.0, 0.4
MAX_RATIOS = 1_000  # labels; of 1,500, and of 7,000, hidden words were learned far better from a random start
CAUTION = 3.0  # of the first steps of a feature whose ratios have a mean square of 1, some sixty usual gradients
LEAST_SQUARE = 0.0025  # mean square of ratios that a feature counts as having, so that it can learn at all
LOOKED_AT, FEW_PAIRS = 50_000, 3_000  # words by which the texts are judged, and pairs of neighbours by which it is not
GRADES = 11  # labels at most, such as 0 to 10
ORDERED = 0.99  # times as many different pairs of neighbours as by chance, or fewer
LONG = 50  # distinct words of a text
ROWS = 1 << 10  # of a table that are drawn at a time, since float64 numbers take twice its memory


def facts_of(
    dataset: Dataset, dev: float | None, vectors: Vectors | None = None, labels: Collection[str] | None = None
) -> Facts:
    """What automatic settings are chosen by; ``dev`` and ``labels`` as ``encode`` takes them."""
    labels = labels or {label for name in dataset.label_names for label in labels_in(name)}
    words, width = int(dataset.tokens.offsets[-1]), vectors.shape[1] if vectors else None
    ordered, repeated = order_tells(dataset.tokens), words > len(dataset.words)
    numbers = (label.lstrip("+-−")[:1].isdecimal() for label in labels)  # labels may be 3 stars
    graded = len(labels) <= GRADES and 2 * sum(numbers) > len(labels)
    ids, counts = np.unique(dataset.tokens.ids[:LOOKED_AT], return_counts=True)
    spaced = 2 * int(counts[dataset.words.select(ids).lengths() == 1].sum()) <= int(counts.sum())
    return Facts(len(labels), dataset.n_texts, words, dev != 0, ordered, repeated, graded, spaced, width)


def order_tells(tokens: Tokens) -> bool:
    """Whether the order of words says something, as it does in language, but not in lists of tags or ingredients.

    Such words are in any order, so that there are as few different pairs of neighbours after shuffling each text, or
    they are sorted, so that no pair is there the other way round. Few words cannot tell.
    """
    texts = int(np.searchsorted(tokens.offsets, LOOKED_AT, "right")) - 1
    owners = np.repeat(np.arange(texts), np.diff(tokens.offsets[: texts + 1]))
    ids = tokens.ids[: len(owners)].astype(np.int64)
    neighbours = owners[1:] == owners[:-1]
    if np.count_nonzero(neighbours) < FEW_PAIRS:
        return True
    shuffled = ids[np.lexsort([np.random.default_rng(1).random(len(ids)), owners])]
    size = int(ids.max()) + 1
    pairs, by_chance = (np.unique((some[:-1] * size + some[1:])[neighbours]) for some in (ids, shuffled))
    firsts, seconds = np.divmod(pairs, size)
    sorted_ = not np.isin((seconds * size + firsts)[firsts != seconds], pairs).any()
    return len(pairs) < ORDERED * len(by_chance) and not sorted_


def new_model(
    data: EncodedDataset,
    settings: Settings,
    vectors: Vectors | None = None,
    threads: int = 1,
    earlier: Model | None = None,
) -> Model:
    """Untrained model for this data, with resolved settings, or one that knows what an earlier model does.

    A word that has a vector starts from it, scaled to a length that trains well for texts of this length, and from what
    the labels say of it.

    Raises: InputError if there are no thresholds to tune, or the earlier model does not fit; ShapeError if the vectors
    do not belong to the words of ``data.features``, or have another width.
    """
    if settings.tune_thresholds and not settings.multi_label:
        raise InputError("leave it out where each text has one label", parameter="tune_thresholds", value=True)
    outputs = settings.outputs(len(data.labels))
    features = len(data.features)
    naive_bayes = settings.initialization == "naive-bayes" and len(data.labels) <= MAX_RATIOS
    find_ratios = partial(feature_ratios, data.train, data.labels, features)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(find_ratios) if naive_bayes and threads > 1 else None
        parameters = random_parameters(features, outputs, settings)  # in this thread, which receives Ctrl-C
    table, first_squares = parameters.table[:, : settings.dim], None
    if naive_bayes:  # each label's ratios in a random direction of its own
        ratios = other.result() if other else find_ratios()
        directions = np.random.default_rng([settings.seed, 3]).normal(size=(outputs, settings.dim))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ratios.add_to(table, NAIVE_BAYES_SCALE * directions, threads)
        # Of the few texts of a model that goes on, all may have one label; numbers and several labels gain nothing
        if not earlier and data.labels and not settings.multi_label:
            first_squares = ratios.first_squares(min(settings.batch_size, len(data.train.rows)))
    if vectors is not None:
        shape = len(data.features.words), settings.dim
        if vectors.shape != shape:
            raise ShapeError(f"vectors have shape {vectors.shape}; expected {shape}, a row for each known word.")
        documents = data.train.documents
        long = np.count_nonzero(documents.ids < len(data.features.words)) > LONG * documents.n_texts
        length = FROZEN_LENGTH if settings.freeze_embedding else LONG_TEXTS_LENGTH if long else SHORT_TEXTS_LENGTH
        if settings.freeze_embedding:
            table[: shape[0]][vectors.found] = 0
        table[: shape[0]][vectors.found] += _with_length(vectors.of_found(), length)
        if first_squares is not None:
            first_squares[: shape[0]][vectors.found] *= GIVEN_SQUARES
    elif settings.freeze_embedding:
        table[:] = _with_length(table, FROZEN_LENGTH)
    if settings.characters:
        of_words, of_pieces = scales(settings)
        table[: data.features.first_piece] *= of_words
        table[data.features.first_piece :] *= of_pieces
    model = Model(settings, data.labels, data.features, parameters, trained_on=data.fingerprints)
    model.first_squares = first_squares
    if not data.labels:
        ratings = data.train.targets[data.train.rows]
        model.seen = float(ratings.min()), float(ratings.max())
    if earlier:
        continue_from(model, earlier)
    return model


def scales(settings: Settings) -> tuple[float, float]:
    """Factors of the initial embedding and of the learning rate: words and their n-grams, n-grams of characters."""
    return (WORDS_SCALE, PIECES_SCALE) if settings.characters else (1.0, 1.0)


def random_parameters(features: int, outputs: int, settings: Settings) -> Parameters:
    """Small uniform embeddings, He-uniform W1 and W2, and biases of 0."""
    random = np.random.default_rng([settings.seed, 0])
    parameters = Parameters.zeros(features, settings.dim, settings.hidden, outputs)
    for array, limit in (
        (parameters.table[:, : settings.dim], 0.1 / np.sqrt(settings.dim)),
        (parameters.W1[:, : settings.dim], np.sqrt(6 / settings.dim)),
        (parameters.W2, np.sqrt(6 / settings.hidden)),
    ):
        for start in range(0, len(array), ROWS):
            block = array[start : start + ROWS]
            block[:] = random.uniform(-limit, limit, block.shape)
    return parameters


def _with_length(rows: np.ndarray, length: float) -> np.ndarray:
    """The rows scaled by one factor to this mean length; rows that are all 0 stay so."""
    mean = np.linalg.norm(rows.astype(np.float64), axis=1).mean() if len(rows) else 0.0
    return np.asarray(rows * np.float32(length / mean) if mean > 0 else rows)


@dataclass(frozen=True)
class Ratios:
    """A ratio for each of v features and k labels: most depend on the feature and on the label alone."""

    of_features: np.ndarray  # (v,)
    of_labels: np.ndarray  # (k,), to be added
    keys: np.ndarray  # (m,) int64, feature * k + label, ascending, of those to which more has to be added
    more: np.ndarray  # (m,)
    features_per_text: float

    def first_squares(self, batch_size: int) -> np.ndarray:
        """What Adagrad's sum of squared gradients begins with in each row, (v,) float32.

        Features that say little of the labels learn cautiously, as in naive-Bayes logistic regression: there a weight
        is the ratio times what is learned, so that a step is proportional to the square of the ratio.
        """
        k = len(self.of_labels)
        features, labels = np.divmod(self.keys, k)
        squares = k * self.of_features**2 + 2 * self.of_features * self.of_labels.sum() + (self.of_labels**2).sum()
        changes = self.more * (2 * (self.of_features[features] + self.of_labels[labels]) + self.more)
        squares += np.bincount(features, changes, len(squares))
        gradients = CAUTION / (batch_size * self.features_per_text * np.maximum(squares / k, LEAST_SQUARE))
        return np.asarray(gradients**2, np.float32)

    def dense(self) -> np.ndarray:
        """All ratios: (v, k)."""
        found: np.ndarray = self.of_features[:, np.newaxis] + self.of_labels
        found.ravel()[self.keys] += self.more
        return found

    def add_to(self, table: np.ndarray, directions: np.ndarray, threads: int = 1) -> None:
        """Add the ratios times the directions of their labels, (k, d), to the rows of the features, (v, d)."""
        starts = np.searchsorted(self.keys, np.arange(len(table) + 1) * len(directions))
        common = directions.sum(axis=0), self.of_labels @ directions

        def add(rows: slice) -> None:
            own = starts[rows.start : rows.stop + 1]
            add_directions(self.of_features[rows], *common, own, self.keys, self.more, directions, table[rows])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(add, shares(len(table), threads)))


@kernel
def add_directions(of_features, of_all, of_labels, starts, keys, more, directions, table):
    """Add to row i the sum of ``more[j] * directions[keys[j] % k]``, j from starts[i] on and before starts[i + 1], and
    ``of_features[i] * of_all + of_labels``.

    Shapes: of_features (v,), of_all and of_labels (d,), starts (v + 1,), keys and more (m,), directions (k, d)
    -> table (v, d).
    """
    sums = np.empty_like(of_all)
    for i in range(table.shape[0]):
        sums[:] = 0
        for j in range(starts[i], starts[i + 1]):
            label = keys[j] % directions.shape[0]
            for column in range(sums.shape[0]):
                sums[column] += more[j] * directions[label, column]
        for column in range(sums.shape[0]):
            table[i, column] += sums[column] + (of_features[i] * of_all[column] + of_labels[column])


def feature_ratios(train: Split, labels: tuple[str, ...], features: int) -> Ratios:
    """Log-count ratio of each feature: how much more frequent it is in a label's texts than in all others.

    log of (n_w + 1) / sum_w (n_w + 1), n_w being the number of the label's texts with the feature, minus the same
    of the other texts. k is the number of labels, or 1 for the positive one of two of which one is right. For ratings:
    the mean deviation of the ratings of its texts, in standard deviations, one text of deviation 0 added.

    Source: Wang and Manning 2012.
    """
    rows, targets, totals = train.rows, train.targets[train.rows].astype(np.float64), train.documents.totals
    weights = np.ones(len(train.targets)) if train.weights is None else train.weights.astype(np.float64)
    weights = weights[rows] / weights[rows].mean()
    none, texts_with = np.zeros(len(rows), np.int64), np.zeros(features)
    keys, sums = totals(rows, none, weights, (features, 1))
    texts_with[keys] = sums
    per_text = texts_with.sum() / len(rows)
    if not labels:
        deviations = (targets[:, 0] - targets.mean()) / max(float(targets.std()), 1e-9)
        keys, sums = totals(rows, none, deviations * weights, (features, 1))
        return Ratios(np.zeros(features), np.zeros(1), keys, sums / (1 + texts_with[keys]), per_text)
    if len(labels) == 2 or targets.shape[1] > 1:
        places, columns = np.nonzero(targets)
    else:
        places, columns = np.arange(len(rows)), targets[:, 0].astype(np.int64)
    k = len(labels) if targets.shape[1] > 1 or len(labels) > 2 else 1
    keys, sums = totals(rows[places], columns, weights[places], (features, k))
    own, everywhere = np.bincount(keys % k, sums, k) + features, texts_with[keys // k]
    of_labels = np.log(texts_with.sum() + 2 * features - own) - np.log(own)
    more = np.log(sums + 1) - np.log(everywhere - sums + 1) + np.log(everywhere + 1)
    return Ratios(-np.log(texts_with + 1), of_labels, keys, more, per_text)


def continued(given: Settings, earlier: Settings) -> Settings:
    """The settings, with what an earlier model fixes of those that are automatic."""
    shape = {name: getattr(earlier, name) for name in ("ngrams", "char_ngrams", "binary", "dim", "hidden")}
    return replace(given, **{name: value for name, value in shape.items() if getattr(given, name) is None})


def continue_from(model: Model, earlier: Model) -> None:
    """Give an untrained model the parameters of an earlier one, whose features are the first of its own.

    Raises: InputError if the two do not fit together.
    """
    for name in ("dim", "hidden", "ngrams", "char_ngrams", "binary", "loss"):
        here, there = getattr(model.settings, name), getattr(earlier.settings, name)
        if here != there:
            raise InputError(
                f"the model to start from has {there!r}", parameter=name, value=here, suggestion={name: there}
            )
    if model.labels != earlier.labels:
        here, there = listed(model.labels), listed(earlier.labels)
        raise InputError(f"The texts have the labels {here}, but the model to start from has {there}; use its labels.")
    if model.seen and earlier.seen:
        model.seen = min(model.seen[0], earlier.seen[0]), max(model.seen[1], earlier.seen[1])
    model.trained_on = kept(np.concatenate([model.trained_on, earlier.trained_on]))
    new, known = model.features, earlier.features
    for first, old, last in (
        (0, 0, len(known.words)), (len(new.words), len(known.words), known.first_piece),
        (new.first_piece, known.first_piece, len(known)),
    ):  # fmt: skip
        model.parameters.table[first : first + last - old] = earlier.parameters.table[old:last]
    for layer, values in zip(model.parameters[1:], earlier.parameters[1:], strict=True):
        layer[:] = values
