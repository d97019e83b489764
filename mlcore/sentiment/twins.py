"""Kernels beside their naive twins: for each kernel a case, which yields what the kernel finds and its twin expects."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import SimpleNamespace

import numpy as np

from mlcore.kernels import embedding as _e
from mlcore.kernels import forward as _f
from mlcore.kernels import layers as _l
from mlcore.kernels import losses as _o
from mlcore.kernels import training_step as steps
from mlcore.kernels.simd import LANES

kernels = SimpleNamespace(**{k: v for m in (_l, _o, _e, _f) for k, v in vars(m).items()})
from mlcore.kernels import reference
from mlcore.sentiment.model import Parameters
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.kernels.optimizers import with_moments
from mlcore.kernels.training_step import Recipe, Workspace, run_together
from mlcore.text.dataset import Documents

Random = np.random.Generator
Dtype = type[np.floating]
Pairs = Iterator[tuple[np.ndarray, np.ndarray]]  # (found, expected)

# One word, no word, repeats, and two texts that share words.
DOCUMENTS = Documents(
    ids=np.array([2, 0, 1, 3, 1, 2, 4], np.int32),
    counts=np.array([1, 3, 1, 2, 1, 5, 1], np.int32),
    offsets=np.array([0, 1, 1, 4, 7]),
)
TEXTS = np.array([3, 0, 1, 2])


def _documents(random: Random, texts: int, words: int) -> Documents:
    """Texts of 0, 1, 2, ... distinct words, most of them repeated."""
    lengths = np.array([min(t % 7, words) for t in range(texts)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.zeros(0, int), *(random.permutation(words)[:n] for n in lengths)]).astype(np.int32)
    return Documents(ids, random.integers(1, 5, len(ids)).astype(np.int32), offsets)


def _compared(name: str, *inputs: np.ndarray | float | None, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel writes into an array of this shape, which holds NaN before, and what its twin returns."""
    output = np.full(shape, np.nan, inputs[0].dtype)
    getattr(kernels, name)(*inputs, output)
    return output, getattr(reference, name)(*inputs)


def case_affine(random: Random, dtype: Dtype, n: int) -> Pairs:
    for bias in (None, random.normal(size=n + 2).astype(dtype)):
        X, W = random.normal(size=(n, 2 * n + 1)).astype(dtype), random.normal(size=(n + 2, 2 * n + 1)).astype(dtype)
        yield _compared("affine", X, W, bias, shape=(n, n + 2))


def case_affine_backward_input(random: Random, dtype: Dtype, n: int) -> Pairs:
    dY, W = random.normal(size=(n, n + 2)).astype(dtype), random.normal(size=(n + 2, 2 * n + 1)).astype(dtype)
    yield _compared("affine_backward_input", dY, W, shape=(n, 2 * n + 1))


def case_affine_backward_weights(random: Random, dtype: Dtype, n: int) -> Pairs:
    dY, X = random.normal(size=(n, n + 2)).astype(dtype), random.normal(size=(n, 2 * n + 1)).astype(dtype)
    before_W, before_b = random.normal(size=(n + 2, 2 * n + 1)).astype(dtype), random.normal(size=n + 2).astype(dtype)
    expected_W, expected_b = reference.affine_backward_weights(dY, X)
    dW, db = before_W.copy(), before_b.copy()
    kernels.affine_backward_weights(dY, X, 0, 2 * n + 1, dW, db)
    yield dW, before_W + expected_W  # added to, as the docstring says
    yield db, before_b + expected_b
    dW = np.zeros_like(dW)
    for first, last in _columns(2 * n + 1):
        kernels.affine_backward_weights(dY, X, first, last, dW, None)
    yield dW, expected_W


def _columns(width: int) -> list[tuple[int, int]]:
    """All columns in three parts."""
    cuts = [width * part // 3 for part in range(4)]
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def case_relu(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("relu", _with_zeros(random, dtype, (n, n + 2)), shape=(n, n + 2))


def case_relu_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    dH, Z = random.normal(size=(n, n + 2)).astype(dtype), _with_zeros(random, dtype, (n, n + 2))
    for at_zero in (0.0, 0.5, 1.0):
        yield _compared("relu_backward", dH, Z, at_zero, shape=Z.shape)


def _with_zeros(random: Random, dtype: Dtype, shape: tuple[int, int]) -> np.ndarray:
    return (random.normal(size=shape) * random.integers(0, 2, shape)).astype(dtype)


def case_sigmoid(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("sigmoid", (5 * random.normal(size=(n, 3))).astype(dtype), shape=(n, 3))


def case_sigmoid_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("sigmoid_backward", *random.uniform(size=(2, n, 3)).astype(dtype), shape=(n, 3))


def case_tanh(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("tanh", random.normal(size=(n, 3)).astype(dtype), shape=(n, 3))


def case_tanh_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("tanh_backward", *random.uniform(-1, 1, size=(2, n, 3)).astype(dtype), shape=(n, 3))


def case_half_squared(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("half_squared", *random.normal(size=(2, n, 3)).astype(dtype), shape=(n,))


def case_half_squared_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("half_squared_backward", *random.normal(size=(2, n, 3)).astype(dtype), 0.25, shape=(n, 3))


def case_logistic(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("logistic", *_logits_and_labels(random, dtype, n), shape=(n,))


def case_logistic_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("logistic_backward", *_logits_and_labels(random, dtype, n), 0.25, shape=(n, 3))


def _logits_and_labels(random: Random, dtype: Dtype, n: int) -> tuple[np.ndarray, np.ndarray]:
    return (10 * random.normal(size=(n, 3))).astype(dtype), random.integers(0, 2, (n, 3)).astype(dtype)


def case_softmax(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("softmax", *_logits_and_classes(random, dtype, n), shape=(n,))


def case_softmax_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    yield _compared("softmax_backward", *_logits_and_classes(random, dtype, n), 0.25, shape=(n, 4))


def _logits_and_classes(random: Random, dtype: Dtype, n: int) -> tuple[np.ndarray, np.ndarray]:
    return (5 * random.normal(size=(n, 4))).astype(dtype), random.integers(0, 4, (n, 1)).astype(dtype)


LOSSES = {kernels.LOGISTIC: "logistic", kernels.SOFTMAX: "softmax", kernels.SQUARED: "half_squared"}


def case_loss_of(random: Random, dtype: Dtype, n: int) -> Pairs:
    Z, Y = random.normal(size=(n, 2)).astype(dtype), random.integers(0, 2, (n, 2)).astype(dtype)
    for loss, name in LOSSES.items():
        losses = np.full(n, np.nan, dtype)
        kernels.loss_of(loss, Z, Y, losses)
        yield losses, getattr(reference, name)(Z, Y)


def case_loss_of_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    Z, Y = random.normal(size=(n, 2)).astype(dtype), random.integers(0, 2, (n, 1)).astype(dtype)
    for loss, name in LOSSES.items():
        targets = Y if loss == kernels.SOFTMAX else np.hstack([Y, Y])
        dZ = np.full_like(Z, np.nan)
        kernels.loss_of_backward(loss, Z, targets, 0.25, dZ)
        yield dZ, getattr(reference, f"{name}_backward")(Z, targets, 0.25)


def case_mix_bits(random: Random, dtype: Dtype, n: int) -> Pairs:
    numbers = random.integers(0, 2**32, n).tolist()
    for bits in (0xFFFF, 0xFFFF0000):  # in halves, which float32 holds exactly
        found, expected = ([function(x) & bits for x in numbers] for function in (kernels.mix_bits, reference.mix_bits))
        yield np.array(found, dtype), np.array(expected, dtype)


def case_take_words(random: Random, dtype: Dtype, n: int) -> Pairs:
    documents, texts = _documents(random, n, n + 4), random.permutation(n)
    for dropout in (0.0, 0.4):
        numbers = (np.full(len(documents.ids), -1, np.int32) for _ in range(2))
        words = kernels.Words(*numbers, *(np.full(n, -1, np.int64) for _ in range(2)))
        kernels.take_words(documents, texts, dropout, 12345, words)
        kept = words if dropout else documents
        for t, (ids, counts) in enumerate(reference.take_words(documents, texts, dropout, 12345)):
            entries = slice(words.starts[t], words.ends[t])
            yield kept.ids[entries].astype(dtype), ids.astype(dtype)
            yield kept.counts[entries].astype(dtype), counts.astype(dtype)


def entries_of(documents: Documents, texts: np.ndarray) -> tuple[np.ndarray, ...]:
    """ids, counts, starts and ends of some texts."""
    return documents.ids, documents.counts, documents.offsets[texts], documents.offsets[texts + 1]


def _width(n: int) -> int:
    """Columns that are whole lines: 1, 2 or 4 of them, or 3."""
    return LANES * {0: 1, 1: 2, 3: 4}.get(n, 3)


def _lines(width: int) -> list[tuple[int, int]]:
    """All columns in three parts, each of whole lines, and perhaps of none."""
    return [(first * LANES, last * LANES) for first, last in _columns(width // LANES)]


def case_gather_mean(random: Random, dtype: Dtype, n: int) -> Pairs:
    table = random.normal(size=(n + 4, _width(n))).astype(dtype)
    entries = entries_of(_documents(random, n, n + 4), random.permutation(n))
    for parts in (_lines(_width(n)), [(0, _width(n))]):
        E = np.full((n, _width(n)), np.nan, dtype)
        for first, last in parts:
            kernels.gather_mean(table, *entries, first, last, E)
        yield E, reference.gather_mean(table, *entries)


def case_list_rows(random: Random, dtype: Dtype, n: int) -> Pairs:
    entries = entries_of(_documents(random, n, n + 4), random.permutation(n))
    index = kernels.RowList.allocate(n + 4, len(entries[0]), dtype)
    used = kernels.list_rows(*entries, index)
    expected = reference.list_rows(*entries)
    yield index.rows[:used].astype(dtype), np.array(list(expected), dtype)
    for slot, texts in enumerate(expected.values()):
        places = slice(index.firsts[slot], index.firsts[slot + 1])
        yield np.stack([index.texts[places], index.shares[places]], axis=1).astype(dtype), np.array(texts, dtype)
    yield index.slot_of.astype(dtype), np.full(n + 4, -1, dtype)  # the scratch memory is as it was


def case_gather_mean_backward(random: Random, dtype: Dtype, n: int) -> Pairs:
    entries = entries_of(_documents(random, n, n + 4), random.permutation(n))
    dE = random.normal(size=(n, _width(n))).astype(dtype)
    for parts in (_lines(_width(n)), [(0, _width(n))]):
        yield table_gradient(dE, entries, n + 4, parts), reference.gather_mean_backward(dE, *entries, n + 4)


def table_gradient(
    dE: np.ndarray, entries: tuple[np.ndarray, ...], rows: int, parts: list[tuple[int, int]]
) -> np.ndarray:
    """Gradient for the whole table, some columns at a time."""
    index = kernels.RowList.allocate(rows, len(entries[0]), dE.dtype.type)
    used = kernels.list_rows(*entries, index)
    dRows, dtable = np.full((used, dE.shape[1]), np.nan, dE.dtype), np.zeros((rows, dE.shape[1]), dE.dtype)
    for first, last in parts:
        kernels.gather_mean_backward(dE, index, used, first, last, dRows)
    dtable[index.rows[:used]] = dRows
    return dtable


def _optimised(
    optimizer: str, P: np.ndarray, dP: np.ndarray, M: np.ndarray, S: np.ndarray, eps: float
) -> tuple[np.ndarray, ...]:
    """New P, M and S by the twins, with a learning rate of 0.1, in step 3."""
    if optimizer == "sgd":
        return reference.sgd(P, dP, 0.1), M, S
    if optimizer == "adagrad":
        P, S = reference.adagrad(P, dP, S, 0.1)
        return P, M, S
    return reference.adam(P, dP, M, S, 0.1, 3, eps)


def kept_moments(optimizer: str, M: np.ndarray, S: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """M and S as the kernels want them: None for what the optimiser does not have."""
    return M if optimizer == "adam" else None, S if optimizer != "sgd" else None


def step_for(optimizer: str, decay: float) -> steps.Step:
    """Step 3 with a learning rate of 0.1, from the formulas."""
    if optimizer != "adam":
        return steps.Step(0.1, 1 - 0.1 * decay, 1e-10, 1e-10)
    root = np.sqrt(1 - 0.999**3)
    return steps.Step(0.1 * root / (1 - 0.9**3), 1 - 0.1 * decay, 1e-8, 1e-8 * root)


WEIGHT_DECAYS = (0.0, 0.5)  # with a learning rate of 0.1, the second leaves 0.95


def case_update_rows(random: Random, dtype: Dtype, n: int) -> Pairs:
    entries = entries_of(_documents(random, n, n + 4), random.permutation(n))
    dE = random.normal(size=(n, _width(n))).astype(dtype)
    index = kernels.RowList.allocate(n + 4, len(entries[0]), dtype)
    used = kernels.list_rows(*entries, index)
    dtable, rows = reference.gather_mean_backward(dE, *entries, n + 4), index.rows[:used]
    for optimizer, decay in product(LEARNING_RATES, WEIGHT_DECAYS):
        P, M, S = random.uniform(size=(3, n + 4, _width(n))).astype(dtype)
        expected = P.copy(), M.copy(), S.copy()
        shrunk = reference.shrink(P[rows], 1 - 0.1 * decay)
        results = _optimised(optimizer, shrunk, dtable[rows], M[rows], S[rows], 1e-8)
        for array, result in zip(expected, results, strict=True):
            array[rows] = result
        moments, step = kept_moments(optimizer, M, S), step_for(optimizer, decay)
        for first, last in _lines(_width(n)):
            steps.update_rows(dE, index, used, P, *moments, first, last, step)
        yield from zip((P, M, S), expected, strict=True)


def case_update_layer(random: Random, dtype: Dtype, n: int) -> Pairs:
    for optimizer, decay in product(LEARNING_RATES, WEIGHT_DECAYS):
        dY, X = random.normal(size=(n, n + 2)).astype(dtype), random.normal(size=(n, n + 1)).astype(dtype)
        W, M_W, S_W = random.uniform(size=(3, n + 2, n + 1)).astype(dtype)
        b, M_b, S_b = random.uniform(size=(3, n + 2)).astype(dtype)
        expected_dW, expected_db = reference.affine_backward_weights(dY, X)
        eps = 1e-8 * np.sqrt(1 - 0.999**3)
        shrunk_W, shrunk_b = (reference.shrink(array, 1 - 0.1 * decay) for array in (W, b))
        of_W, of_b = (shrunk_W, expected_dW, M_W, S_W, eps), (shrunk_b, expected_db, M_b, S_b, eps)
        expected = [array.copy() for arrays in (of_W, of_b) for array in _optimised(optimizer, *arrays)]
        dW, db, half = np.full_like(W, np.nan), np.full_like(b, np.nan), (n + 2) // 2
        kept_M_W, kept_S_W = kept_moments(optimizer, M_W, S_W)
        kept_M_b, kept_S_b = kept_moments(optimizer, M_b, S_b)
        step = step_for(optimizer, decay)
        for first, last in ((half, n + 1), (0, half)):  # the bias goes with the first column
            steps.update_layer(dY, X, W, b, kept_M_W, kept_M_b, kept_S_W, kept_S_b, dW, db, first, last, step)
        yield from zip((W, M_W, S_W, b, M_b, S_b), expected, strict=True)
        yield from ((dW, expected_dW), (db, expected_db))


def case_forward_means(random: Random, dtype: Dtype, n: int) -> Pairs:
    weights = _random_parameters(random, dtype, n)
    E = random.normal(size=(n, _width(n))).astype(dtype)
    expected = _layers(E, weights)
    found = [np.full_like(array, np.nan) for array in expected]
    kernels.forward_means(weights, E, *found)
    yield from zip(found, expected, strict=True)


def case_forward_texts(random: Random, dtype: Dtype, n: int) -> Pairs:
    weights = _random_parameters(random, dtype, n)
    entries = entries_of(_documents(random, n, n + 4), random.permutation(n))
    E = reference.gather_mean(weights.table, *entries)
    expected = E, *_layers(E, weights)
    found = [np.full_like(array, np.nan) for array in expected]
    kernels.forward_texts(*entries, weights, *found)
    yield from zip(found, expected, strict=True)


def _random_parameters(random: Random, dtype: Dtype, n: int) -> Parameters:
    shapes = Parameters((n + 4, _width(n)), (n + 2, _width(n)), (n + 2,), (2, n + 2), (2,))
    return Parameters(*(random.normal(size=shape).astype(dtype) for shape in shapes))


def _layers(E: np.ndarray, weights: Parameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    Z = reference.affine(E, weights.W1, weights.b1)
    H = reference.relu(Z)
    return Z, H, reference.affine(H, weights.W2, weights.b2)


def case_backpropagate(random: Random, dtype: Dtype, n: int) -> Pairs:
    weights, texts = _random_parameters(random, dtype, n), random.permutation(2 * n)[:n]
    targets, of_texts = random.integers(0, 2, (2 * n, 1)).astype(dtype), random.uniform(size=2 * n).astype(dtype)
    work = Workspace.allocate(weights, n, 0, 1)
    work.E[:] = random.normal(size=(n, _width(n))) / 10
    losses = np.full(2 * n, np.nan, dtype)
    for a, b in _columns(n):  # here of texts
        steps.backpropagate(texts, a, b, targets, of_texts, kernels.SOFTMAX, weights, work, losses)
    Z, H, logits = _layers(work.E, weights)
    dlogits = reference.softmax_backward(logits, targets[texts], 1 / max(n, 1)) * of_texts[texts, np.newaxis]
    dZ = reference.relu_backward(reference.affine_backward_input(dlogits.astype(dtype), weights.W2), Z, 0.0)
    yield from ((work.Z, Z), (work.H, H), (work.logits, logits), (work.dlogits, dlogits.astype(dtype)), (work.dZ, dZ))
    yield work.dE, reference.affine_backward_input(dZ, weights.W1)
    yield losses[texts], (reference.softmax(logits, targets[texts]) * of_texts[texts]).astype(dtype)


def training_step(random: Random, threads: int) -> Pairs:
    """A step of gradient descent on the batch of DOCUMENTS, by the kernel and by the twins one after the other.

    Some texts weigh more than others, weights decay, and word dropout leaves out two of the seven entries.
    """
    start = Parameters.initial(6, 1, Settings(dim=20, hidden=8))
    start.table[:, :20] += random.normal(size=(6, 20))
    start.b1[:] = random.normal(size=8)
    table, W1, b1, W2, b2 = start
    _, found, M, S = with_moments(start, "sgd")
    targets, weights = np.array([[1], [0], [1], [1]], np.float32), np.array([0.5, 2, 1, 1.5], np.float32)
    losses = np.full(4, np.nan, np.float32)
    work = Workspace.allocate(found, 4, len(DOCUMENTS.ids), threads)
    recipe = Recipe(4, kernels.LOGISTIC, word_dropout=0.2, weight_decay=0.1, trainable=True)
    with ThreadPoolExecutor(threads) as pool:
        run_together(
            pool, work.arrived, steps.train_batches, TEXTS, 0, 1, DOCUMENTS, targets, weights, recipe,
            np.array([0.5]), found, M, S, work, losses,
        )  # fmt: skip
    kept = reference.take_words(DOCUMENTS, TEXTS, 0.2, 1)
    ends = np.cumsum([len(ids) for ids, _ in kept])
    entries = (*map(np.concatenate, zip(*kept, strict=True)), np.concatenate([[0], ends[:-1]]), ends)
    E = reference.gather_mean(table, *entries)
    Z = reference.affine(E, W1, b1)
    H = reference.relu(Z)
    logits = reference.affine(H, W2, b2)
    dlogits = reference.logistic_backward(logits, targets[TEXTS], 1 / 4) * weights[TEXTS, np.newaxis]
    dZ = reference.relu_backward(reference.affine_backward_input(dlogits, W2), Z, 0.0)
    dE = reference.affine_backward_input(dZ, W1)
    dtable = reference.gather_mean_backward(dE, *entries, 6)
    gradients = (
        dtable,
        *reference.affine_backward_weights(dZ, E),
        *reference.affine_backward_weights(dlogits, H),
    )
    touched = np.isin(np.arange(6), entries[0])[:, np.newaxis]
    for array, start, gradient in zip(found, (table, W1, b1, W2, b2), gradients, strict=True):
        shrunk = np.where(touched, start * np.float32(0.95), start) if array is found.table else start * 0.95
        yield array, reference.sgd(shrunk, gradient, 0.5).astype(np.float32)
    yield losses[TEXTS], reference.logistic(logits, targets[TEXTS]) * weights[TEXTS]


CASES: dict[str, Callable[[Random, Dtype, int], Pairs]] = {
    name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")
}
