"""What is found in texts before a training: every number by hand on small corpora, and by a naive twin on real ones."""

from mlcore.text.dataset import dataset_of
from mlcore.text.inspect import inspect

SMALL = dataset_of(
    ["Good film", "good  FILM", "", "good film", "a b c d e", "  ", "bad", "a b c d e", "Bad", "new film"],
    ["pos", "pos", "neg", "neg", "neg", "pos", "neg", "neg", "pos", "pos"],
    splits=["train", "train", "", "train", "", "train", "train", "dev", "test", "test"],
    source="small",
)


def test_everything_about_a_small_dataset():
    assert inspect(SMALL).to_dict() == {
        "source": "small", "texts": 10, "labels": {"neg": 5, "pos": 5},
        "parts": {"train": {"neg": 4, "pos": 3}, "dev": {"neg": 1}, "test": {"pos": 2}},
        "sizes": {"train": 7, "dev": 1, "test": 2}, "tokens": 20, "vocabulary": 9,
        "lengths": {"minimum": 0, "lower_quartile": 1, "median": 2, "upper_quartile": 2, "maximum": 5, "mean": 2.0},
        "empty": {"count": 2, "places": ["text 3", "text 6"]},
        "duplicates": {"count": 2, "examples": [{"place": "text 2", "earlier": "text 1"},
                                                {"place": "text 4", "earlier": "text 1"}]},
        "conflicts": {"count": 5, "different": 2, "examples": [{"neg": "text 4", "pos": "text 1"},
                                                               {"neg": "text 7", "pos": "text 9"}]},
        "shared": {"dev": {"count": 1, "examples": [{"place": "text 8", "earlier": "text 5"}]},
                   "test": {"count": 1, "examples": [{"place": "text 9", "earlier": "text 7"}]}},
        "bad_rows": {"count": 0, "places": []}, "undecodable": {"count": 0, "places": []}, "notes": [],
        "known": {"dev": 1.0, "test": 2 / 3},
    }  # fmt: skip


def test_where_there_is_nothing_to_measure_on():
    assert inspect(dataset_of(["one"], ["a"], splits=["test"])).known == {"test": 0}
    assert inspect(dataset_of(["one", "!?", ""], ["a", "a", "a"], splits=["", "", "test"])).known == {"test": None}
