"""The classroom view of a trained network against central differences, and neighbours against a naive twin."""

import numpy as np
import pytest
from test_explanation import WORDS, naive_features, random_classifier

from mlcore.errors import InputError
from mlcore.kernels.finite_differences import central_differences
from mlcore.sentiment.backpropagation import lesson
from mlcore.sentiment.model import Model
from mlcore.sentiment.neighbors import neighbors
from mlcore.text.tokenizer import tokens


def naive_logits(classifier, parameters, text):
    """The formulas of exercise 5, one feature at a time, with these parameters."""
    table, W1, b1, W2, b2 = parameters
    counts = naive_features(classifier.features, tokens(text))
    weights = {name: 1 if classifier.features.binary else count for name, count in counts.items()}
    E, names = np.zeros(table.shape[1]), classifier.features.names
    for name, weight in weights.items():
        E += weight / sum(weights.values()) * table[names.index(name)]
    return W2 @ np.maximum(W1 @ E + b1, 0) + b2


def naive_loss(classifier, logits, target):
    if not classifier.labels:
        return 0.5 * (target - logits[0]) ** 2
    if len(classifier.labels) == 2:
        return np.log(1 + np.exp(-logits[0] if target else logits[0]))
    return np.log(np.exp(logits).sum()) - logits[int(target)]


@pytest.mark.parametrize("labels", [0, 2, 4])
@pytest.mark.parametrize("ngrams", [1, 3])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("text", ["good", "good good bad zzz not good, not good", "", "zzz"])
def test_every_gradient_is_that_of_central_differences(labels, ngrams, binary, text):
    classifier = random_classifier(7, labels, ngrams, binary, scale=0.5)
    label = "3.5" if not labels else f"l{labels - 1}"
    target = 3.5 if not labels else labels - 1
    parameters = [array.astype(np.float64) for array in classifier.parameters]
    parameters[2][0] = -0.1  # a unit on its kink has no derivative
    classifier.parameters.b1[0] = np.float32(-0.1)
    found = lesson(classifier, text, label)

    def loss():
        return float(naive_loss(classifier, naive_logits(classifier, parameters, text), target))

    assert found.loss == pytest.approx(loss(), rel=1e-6)
    table, W1, b1, W2, b2 = parameters
    for gradient, array in ((found.dW2, W2), (found.db2, b2), (found.dW1, W1[:, :3]), (found.db1, b1)):
        np.testing.assert_allclose(gradient, central_differences(loss, array), rtol=1e-5, atol=1e-8)
    expected = central_differences(loss, table[:, :3])
    names = classifier.features.names
    for row in found.embeddings:
        np.testing.assert_allclose(row.gradient, expected[names.index(row.feature)], rtol=1e-5, atol=1e-8)
        expected[names.index(row.feature)] = 0
    assert not expected.any(), "no other embedding has a gradient"


@pytest.mark.parametrize("labels", [0, 2, 4])
@pytest.mark.parametrize("binary", [True, False])
def test_forward_values_shares_and_steps(labels, binary):
    classifier = random_classifier(8, labels, 2, binary)
    text, label = "Good good, not bad zzz", f"l{labels - 1}" if labels else "-2"
    found = lesson(classifier, text, label)
    parameters = [array.astype(np.float64) for array in classifier.parameters]
    before = naive_logits(classifier, parameters, text)
    np.testing.assert_allclose(found.logits, before)
    np.testing.assert_allclose(found.h, np.maximum(found.z, 0))
    np.testing.assert_allclose(found.z, parameters[1][:, :3] @ found.E + parameters[2])
    counts = naive_features(classifier.features, tokens(text))
    counts = {name: 1 if binary else count for name, count in counts.items()}
    assert {row.feature: row.count for row in found.embeddings} == counts
    assert found.averaged == sum(counts.values())
    assert [row.share for row in found.embeddings] == [row.count / found.averaged for row in found.embeddings]
    assert found.tokens == tokens(text) and found.known == [True] * 5 + [False]
    column = labels - 1 if labels > 2 else 0
    assert found.output == column
    for row in found.embeddings:
        stepped = [array.copy() for array in parameters]
        stepped[0][classifier.features.names.index(row.feature), :3] -= row.gradient
        change = (naive_logits(classifier, stepped, text) - before)[column]
        assert row.change == pytest.approx(change, rel=1e-9, abs=1e-12)


def test_the_convention_at_the_kink_is_taken():
    classifier = random_classifier(9, 2, 1, True)  # its unit 0 has z = 0 for every text
    found = {at_zero: lesson(classifier, "good", "l1", at_zero) for at_zero in (0.0, 0.5, 1.0)}
    assert found[1.0].z[0] == 0 and found[0.0].dz[0] == 0 and found[1.0].dz[0] != 0
    assert found[0.5].dz[0] == found[1.0].dz[0] / 2


def test_labels_are_checked():
    with pytest.raises(InputError, match="label is 'x'; expected one of the model's labels: l0, l1"):
        lesson(random_classifier(1, 2, 1, True), "good", "x")
    for rating in ("x", "nan", "inf", ""):
        with pytest.raises(InputError, match="expected one, such as 3.5"):
            lesson(random_classifier(1, 0, 1, True), "good", rating)


@pytest.mark.parametrize("labels", [0, 2, 4])
def test_neighbours_are_those_of_a_naive_twin(labels):
    classifier = random_classifier(10, labels, 3, True)
    names, table = classifier.features.names, classifier.parameters.table.astype(np.float64)
    assert classifier.features.names_of(range(len(names))) == names
    for word in ("good", "It's", names[-1], names[len(WORDS)]):
        found = neighbors(classifier, word, 5)
        query = names.index(found.word)
        cosines = [float(row @ table[query] / np.linalg.norm(row) / np.linalg.norm(table[query])) for row in table]
        expected = sorted((i for i in range(len(names)) if i != query), key=lambda i: (-cosines[i], i))[:5]
        assert [neighbor.feature for neighbor in found.neighbors] == [names[i] for i in expected]
        assert [neighbor.cosine for neighbor in found.neighbors] == pytest.approx(
            [cosines[i] for i in expected], abs=1e-6
        )
        assert found.mean_of == 1
        for neighbor in found.neighbors:
            alone = classifier.logits(classifier.features.documents([neighbor.feature]))
            assert neighbor.logits == alone[0].tolist()
        assert found.logits == classifier.logits(classifier.features.documents([word]))[0].tolist()


def with_rows(rows: dict[str, list[float]]) -> Model:
    """Model of words alone with these embeddings, and 0 for all other words."""
    classifier = random_classifier(1, 2, 1, True)
    classifier.parameters.table[:] = 0
    for word, row in rows.items():
        classifier.parameters.table[classifier.features.names.index(word), :3] = row
    return classifier


def test_ties_go_by_number_and_zeros_have_no_direction():
    classifier = with_rows({"plot": [1, 1, 1], "bad": [2, 2, 2], "film": [1, 1, 1], "not": [-1, -1, -1]})
    names = [word for word in classifier.features.names if word in ("plot", "bad", "film")]
    found = neighbors(classifier, names[0], 100)
    assert [(neighbor.feature, neighbor.cosine) for neighbor in found.neighbors] == [
        (names[1], pytest.approx(1)), (names[2], pytest.approx(1)), ("not", pytest.approx(-1)),
    ]  # fmt: skip
    assert all(neighbor.cosine <= 1 for neighbor in found.neighbors)
    with pytest.raises(InputError, match="The embedding of 'good' is 0"):
        neighbors(classifier, "good", 3)


def test_words_that_are_no_feature_together_have_their_mean():
    classifier = random_classifier(10, 2, 1, True)
    found = neighbors(classifier, "good film", 3)
    table, names = classifier.parameters.table.astype(np.float64), classifier.features.names
    mean = (table[names.index("good")] + table[names.index("film")]) / 2
    nearest = max(range(len(names)), key=lambda i: table[i] @ mean / np.linalg.norm(table[i]))
    assert (found.word, found.mean_of, found.neighbors[0].feature) == ("good film", 2, names[nearest])


def test_an_unknown_word_is_refused_with_suggestions():
    classifier = random_classifier(10, 2, 2, True)
    with pytest.raises(InputError, match="does not know the word 'godo'; did you mean good"):
        neighbors(classifier, "not godo", 3)
    with pytest.raises(InputError, match="'qqqq'; try one from the training texts"):
        neighbors(classifier, "qqqq", 3)
    with pytest.raises(InputError, match="'#' has no letter, digit or mark"):
        neighbors(classifier, "#", 3)
