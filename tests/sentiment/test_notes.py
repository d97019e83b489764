"""What is worth saying after a training: each note where it applies, and none where nothing is wrong."""

import pytest
from conftest import pinned

from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.report import notes_on_training, report_page
from mlcore.sentiment.training import Training
from mlcore.text.dataset import dataset_of

KINDS = ("a good film number {}", "pos"), ("a bad plot number {}", "neg")
EASY = [(text.format(i), label) for text, label in KINDS for i in range(300)]


def notes(rows, splits=None, **settings):
    """The notes on a training with these texts, labels and splits, and its report's page."""
    small = {"dim": 2, "hidden": 2, "epochs": 3, "patience": 1, "learning_rate": 0.5, "min_count": 1}
    dataset = dataset_of(*zip(*rows, strict=True), splits=splits or [""] * len(rows))
    training = Training(dataset, pinned(**small | settings), None)
    training.begin()
    model, dev = training.run(), training.data.dev
    found = notes_on_training(model, training.data, dev and evaluate(model, dev))
    return list(map(str, found)), report_page(model, "m", dataset, 0)


def test_nothing_is_said_where_nothing_is_wrong():
    rows = [(text, label if i % 7 else "pos") for i, (text, label) in enumerate(EASY)]
    found, page = notes(rows, epochs=100, patience=3)
    assert found == []
    assert "Note:" not in page
    assert notes(rows, epochs=1, schedule="linear")[0] == []  # it had to end where the learning rate is 0


@pytest.mark.parametrize(("rows", "options", "message"), [
    (EASY, {"epochs": 1}, "the held-out loss was still falling in the last epoch; try epochs=2."),
    (EASY[:300] + EASY[300:320], {}, "'pos' has 270 training texts and 'neg' 18; try class_weight='balanced'."),
    (EASY[:300] + EASY[300:320], {"class_weight": "balanced"}, "'pos' has 270 training texts and 'neg' 18."),
    ([(text, "pos" if i % 20 else "neg") for i, (text, _) in enumerate(EASY)], {"learning_rate": 1e-6},
     "never predicted for the held-out texts: 'neg'."),
    (EASY[::10], {}, "only 6 held-out texts: the accuracy may be anything from 19% to 81% (95% interval)."),
    ([("good", "3"), ("bad", "1")] * 5, {"loss": "squared"}, "only 1 held-out text."),
    ([("good", "3"), ("bad", "1")] * 20, {"loss": "squared"}, "only 4 held-out texts."),
    ([("w" + "x" * i, "pos" if i % 2 else "neg") for i in range(120)], {},
     "only 0.0% of the words of the held-out texts are known."),
    (EASY[::100] * 100, {}, "60 of the 60 held-out texts are in the training texts too."),
])  # fmt: skip
def test_what_is_said(rows, options, message):
    found, page = notes(rows, **options)
    assert message in found
    assert ("still falling" in page) == any("still falling" in note for note in found)


def test_shared_test_texts_and_those_of_a_report():
    splits = ["train"] * 500 + ["test"] * 100
    found, page = notes([*EASY[:250], *EASY[300:550], *EASY[:100]], splits)
    assert "89 of the 100 test texts are in the training texts too." in found
    assert "never predicted" not in page
    assert "<p><b>Note:</b> only 30 texts: the accuracy" in notes(EASY, ["test"] * 30 + ["train"] * 570)[1]
