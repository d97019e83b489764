"""What a classifier has to be better than: the most frequent label, and a linear model on the same features."""

from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.sentiment.initialization import feature_ratios
from mlcore.sentiment.model import sigmoid
from mlcore.text.dataset import Split
from mlcore.text.dataset import Documents, EncodedDataset

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # weights of the loss against the penalty that are tried
TOLERANCE = 1e-3  # of the gradient's length, relative to the start: further steps do not change an accuracy
MOST_STEPS, MOST_INNER_STEPS, MOST_HALVINGS = 50, 200, 30
SUFFICIENT = 1e-4  # share of the promised decrease that a step has to bring (Armijo)


class LinearModel(NamedTuple):
    """A linear model on presence of features, for each label or for the positive one of two."""

    weights: np.ndarray  # (v, k)
    biases: np.ndarray  # (k,)
    strength: float

    def decide(self, part: Split) -> np.ndarray:
        """Number of the label of each text of the part: (n,)."""
        scores = np.stack(
            [present_sums(part, np.ascontiguousarray(column)) for column in self.weights.T], axis=1
        ) + self.biases  # fmt: skip
        return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)


def accuracy(decided: np.ndarray | int, part: Split) -> float:
    """Share of the texts of a part for which the label with this number is right."""
    return float(np.mean(part.targets[part.rows, 0] == decided))


def majority_label(data: EncodedDataset) -> int:
    """Number of the label that most of the training texts have, the lowest on ties."""
    return int(np.bincount(data.train.targets[data.train.rows, 0].astype(np.int64)).argmax())


def fit_linear_model(data: EncodedDataset) -> LinearModel:
    """Logistic regression on presence times log-count ratio, with the penalty that suits the held-out part best.

    With more than two labels, each against the others. On ties, the strongest penalty is taken.

    Source: Wang and Manning 2012, who take a support vector machine; with logistic regression Mesnil et al. 2014.
    """
    ratios = feature_ratios(data.train, data.labels, len(data.features))
    truth = data.train.targets[data.train.rows, 0]
    numbers = [1] if len(data.labels) == 2 else range(len(data.labels))
    starts = [np.zeros(len(ratios) + 1) for _ in numbers]
    best, best_accuracy = None, -1.0
    for strength in STRENGTHS:  # each solution is close to the last one
        starts = [
            minimise(Problem(data.train, np.ascontiguousarray(ratios[:, i]), truth == number, strength), starts[i])
            for i, number in enumerate(numbers)
        ]
        solution = np.stack(starts, axis=1)
        model = LinearModel(solution[:-1] * ratios, solution[-1], strength)
        found = accuracy(model.decide(data.dev), data.dev)
        if found > best_accuracy:
            best, best_accuracy = model, found
    return best


class Problem:
    """``strength * sum of the logistic losses + 1/2 w.w`` of a linear model ``sum of r_f w_f over features + b``.

    A point is (v + 1,): the weights w, and last the bias b, which is not penalised. r (v,) are the log-count ratios.
    """

    def __init__(self, part: Split, ratios: np.ndarray, positive: np.ndarray, strength: float) -> None:
        self.part, self.ratios, self.strength = part, ratios, strength
        self.positive = positive.astype(np.float64)  # (n,) 1 for the texts of the label, 0 for the others

    def value(self, point: np.ndarray) -> float:
        """The function to be minimised."""
        scores = self._scores(point)
        losses = np.logaddexp(0, scores) - self.positive * scores
        return float(self.strength * losses.sum() + 0.5 * dot(point[:-1], point[:-1]))

    def gradient(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient, (v + 1,), and the second derivatives of the losses by the scores, (n,)."""
        probabilities = sigmoid(self._scores(point))
        gradient = self._back(self.strength * (probabilities - self.positive))
        gradient[:-1] += point[:-1]
        return gradient, self.strength * probabilities * (1 - probabilities)

    def curvature(self, curvatures: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Hessian times a direction: (v + 1,)."""
        product = self._back(curvatures * self._scores(direction))
        product[:-1] += direction[:-1]
        return product

    def _scores(self, point: np.ndarray) -> np.ndarray:
        return present_sums(self.part, self.ratios * point[:-1]) + point[-1]

    def _back(self, dscores: np.ndarray) -> np.ndarray:
        """Gradient by the point from the gradient by the scores, (n,)."""
        totals = np.zeros(len(self.ratios))
        add_to_present(*_entries(self.part), dscores, totals)
        return np.append(self.ratios * totals, dscores.sum())


def minimise(problem: Problem, start: np.ndarray) -> np.ndarray:
    """Newton's method, its systems solved by conjugate gradients as far as it pays, with steps halved as needed.

    Source: Nocedal and Wright 2006, algorithm 7.1.
    """
    point, value = start.copy(), problem.value(start)
    first = length_of(problem.gradient(np.zeros_like(start))[0])
    for _ in range(MOST_STEPS):
        gradient, curvatures = problem.gradient(point)
        length = length_of(gradient)
        if length <= TOLERANCE * first:
            break
        step = _newton_step(problem, curvatures, gradient, min(0.5, np.sqrt(length / first)) * length)
        slope, size = dot(gradient, step), 1.0
        for _ in range(MOST_HALVINGS):
            if (new_value := problem.value(point + size * step)) <= value + SUFFICIENT * size * slope:
                break
            size /= 2
        else:  # as low as float64 can tell
            break
        point, value = point + size * step, new_value
    return point


def _newton_step(problem: Problem, curvatures: np.ndarray, gradient: np.ndarray, enough: float) -> np.ndarray:
    """Conjugate gradients for ``Hessian @ step = -gradient``, until the residual is no longer than ``enough``."""
    step, residual = np.zeros_like(gradient), -gradient
    direction, squared = residual.copy(), dot(residual, residual)
    for _ in range(MOST_INNER_STEPS):
        if np.sqrt(squared) <= enough:
            break
        product = problem.curvature(curvatures, direction)
        rate = squared / dot(direction, product)
        step += rate * direction
        residual -= rate * product
        before, squared = squared, dot(residual, residual)
        direction = residual + squared / before * direction
    return step


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Scalar product, in this thread: NumPy's @ starts threads, which takes longer and may change the last bits."""
    return float(np.einsum("i,i", a, b))


def length_of(a: np.ndarray) -> float:
    """Euclidean length."""
    return np.sqrt(dot(a, a))


def present_sums(part: Split, weights: np.ndarray) -> np.ndarray:
    """Sum of the weights of each text's distinct features: (v,) -> (n,) float64."""
    sums = np.empty(len(part.rows))
    sum_present(*_entries(part), weights, sums)
    return sums


def _entries(part: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    documents: Documents = part.documents
    return documents.ids, documents.offsets[part.rows], documents.offsets[part.rows + 1]


@kernel
def sum_present(ids, starts, ends, weights, sums):
    """Sum of the weights of each text's distinct features: overwrite sums.

    Shapes: ids (m,); starts, ends (n,) of each text's entries; weights (v,) -> sums (n,).
    """
    for text in range(starts.shape[0]):
        total = weights.dtype.type(0)
        for j in range(starts[text], ends[text]):
            total += weights[ids[j]]
        sums[text] = total


@kernel
def add_to_present(ids, starts, ends, values, totals):
    """Backward pass of ``sum_present``: add each text's value to the totals of its distinct features.

    Shapes: ids (m,); starts, ends, values (n,) -> totals (v,).
    """
    for text in range(starts.shape[0]):
        value = values[text]
        for j in range(starts[text], ends[text]):
            totals[ids[j]] += value
