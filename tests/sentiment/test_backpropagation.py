"""Backpropagation through a trained network against central differences, and neighbors against a naive twin."""

import numpy as np
import pytest
from conftest import pieces_of
from naive import TWO, WORDS, features_of, logits_of, numbers_of, random_model

from mlcore.errors import InputError
from mlcore.kernels.finite_differences import central_differences
from mlcore.sentiment.backpropagation import backpropagate
from mlcore.sentiment.explanation import neighbors
from mlcore.text.tokenizer import tokens

KINDS = [((), False), (TWO, False), (tuple("abcd"), False), (TWO, True), (tuple("abcd"), True)]  # several labels?


def naive_loss(model, logits, target):
    if model.settings.multi_label:
        return np.log1p(np.exp(np.where(np.isin(np.arange(len(logits)), target), -logits, logits))).sum()
    if not model.labels:
        return 0.5 * (target - logits[0]) ** 2
    if len(model.labels) == 2:
        return np.log(1 + np.exp(-logits[0] if target else logits[0]))
    return np.log(np.exp(logits).sum()) - logits[int(target)]


@pytest.mark.parametrize(("labels", "several"), KINDS)
@pytest.mark.parametrize(
    ("ngrams", "binary", "text"),
    [(1, True, "zzz"), (2, True, "good good bad zzz not good"), (3, False, "good good bad zzz not good, not good")],
)
def test_every_gradient_is_that_of_central_differences(labels, several, ngrams, binary, text):
    model = random_model(7, labels, ngrams, binary, scale=0.5, multi_label=several)
    model.parameters.b1[0] = -0.125  # a unit on its kink has no derivative
    label, target = (labels[-1], len(labels) - 1) if labels else ("3.5", 3.5)
    if several:
        label, target = f"{labels[0]},{labels[-1]}", [0, len(labels) - 1]
    parameters = [array.astype(np.float64) for array in model.parameters]
    found = backpropagate(model, text, label)

    def loss():
        return float(naive_loss(model, logits_of(model, tokens(text), parameters), target))

    assert found.loss == pytest.approx(loss(), rel=1e-6)
    table, W1, b1, W2, b2 = parameters
    for gradient, array in ((found.dW2, W2), (found.db2, b2), (found.dW1, W1[:, :3]), (found.db1, b1)):
        np.testing.assert_allclose(gradient, central_differences(loss, array), rtol=1e-5, atol=1e-8)
    expected = central_differences(loss, table[:, :3])
    for entry in found.embeddings:
        row = numbers_of(model.features)[entry.feature]
        np.testing.assert_allclose(entry.gradient, expected[row], rtol=1e-5, atol=1e-8)
        expected[row] = 0
        assert entry.share == entry.count / found.averaged
    assert not expected.any(), "no other embedding has a gradient"
    counts = {name: 1 if binary else n for name, n in features_of(model.features, tokens(text)).items()}
    assert {entry.feature: entry.count for entry in found.embeddings} == counts
    norms = [np.linalg.norm(entry.gradient) for entry in found.embeddings]
    assert norms == sorted(norms, reverse=True)


def test_the_convention_at_the_kink_is_taken_and_labels_are_checked():
    model = random_model(9)  # its unit 0 has z = 0 for every text
    found = {at_zero: backpropagate(model, "good", "pos", at_zero) for at_zero in (0.0, 0.5, 1.0)}
    assert found[1.0].z[0] == found[0.0].dz[0] == 0
    assert found[0.5].dz[0] == found[1.0].dz[0] / 2 != 0
    with pytest.raises(InputError, match="label is 'x'; expected one of the model's labels: 'neg', 'pos'"):
        backpropagate(model, "good", "x")
    for rating in ("x", "nan", "inf", ""):
        with pytest.raises(InputError, match="expected a number such as 3.5"):
            backpropagate(random_model(1, ()), "good", rating)


@pytest.mark.parametrize("labels", [(), TWO, tuple("abcd")])
def test_neighbors_are_those_of_a_naive_twin(labels):
    model = random_model(10, labels, 3)
    names, table = model.features.names, model.parameters.table.astype(np.float64)
    assert model.features.names_of(range(len(names))) == names
    for word in ("good", "It's", names[-1], names[len(WORDS)]):
        found = neighbors(model, word, 5)
        query = names.index(found.word)
        lengths = np.linalg.norm(table, axis=1)
        cosines = np.array([float(row @ table[query]) for row in table]) / lengths / lengths[query]
        others = (i for i, name in enumerate(names) if i != query and name[0] != "^")
        expected = sorted(others, key=lambda i: (-cosines[i], i))[:5]
        assert [neighbor.feature for neighbor in found.neighbors] == [names[i] for i in expected]
        assert [neighbor.cosine for neighbor in found.neighbors] == pytest.approx(cosines[expected], abs=1e-6)
        assert found.mean_of == 1
        alone = model.logits(model.features.documents([found.word, *(n.feature for n in found.neighbors)])).tolist()
        assert [found.logits, *(neighbor.logits for neighbor in found.neighbors)] == alone


def test_words_that_are_no_feature():
    """Together they have their mean; unknown ones lie near those with their characters, or are refused."""
    model = random_model(10)
    table, names = model.parameters.table.astype(np.float64), model.features.names
    mean = (table[names.index("good")] + table[names.index("film")]) / 2
    nearest = max(range(len(names)), key=lambda i: table[i] @ mean / np.linalg.norm(table[i]))
    found = neighbors(model, "good film", 3)
    assert (found.word, found.mean_of, found.neighbors[0].feature) == ("good film", 2, names[nearest])
    for words, message in {
        "not godo": "does not know the word 'godo'; try 'good'",
        "qqqq": "'qqqq'; try one from the training texts", "-": "'-' contains no word",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=message):
            neighbors(model, words, 3)
    model.parameters.table[names.index("good")] = 0
    with pytest.raises(InputError, match="The embedding of 'good' is 0"):
        neighbors(model, "good", 3)
    model = random_model(10, characters="3-5")
    found = neighbors(model, "goood", 3)
    assert found.mean_of == 1 + len({*pieces_of("good", range(3, 6))})
    assert not any(neighbor.feature.startswith("[") for neighbor in found.neighbors)
    assert found.neighbors[0].feature == "good"
    with pytest.raises(InputError, match="does not know the word 'qqq'"):
        neighbors(model, "qqq", 3)
