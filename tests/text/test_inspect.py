"""What is found in texts before a training, where the command line's ``sessions/data.txt`` has no example."""

import pytest

from mlcore.errors import DataError
from mlcore.text.dataset import dataset_of
from mlcore.text.inspect import inspect


def test_where_there_is_nothing_to_measure_on():
    assert inspect(dataset_of(["one"], ["a"], splits=["test"])).known == {"test": 0}
    assert inspect(dataset_of(["one", "!?", ""], ["a", "a", "a"], splits=["", "", "test"])).known == {"test": None}
    with pytest.raises(DataError, match="X contains no labelled texts"):
        inspect(dataset_of([], []))


def test_held_out_texts_and_empty_ones():
    found = inspect(dataset_of(["a b", "A  b", "b c", "", ""], list("xyxxy"), splits=["", "dev", "dev", "", ""]))
    assert found.shared["dev"] == {"count": 1, "examples": [{"place": "text 2", "earlier": "text 1"}]}
    assert (found.known, found.duplicates["count"], found.conflicts["count"]) == ({"dev": 3 / 4}, 0, 2)
