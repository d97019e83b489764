"""Whether a model can read texts: how many of their words it knows, and why it may know so few."""

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from mlcore.errors import DataWarning

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset
    from mlcore.text.ngrams import Features

FEW_KNOWN = 0.2  # of the words
LOOKED_AT = 1_000  # of the unknown words
UNSEPARATED = {  # scripts without spaces between words, by the first word of their letters' names in Unicode
    "CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "THAI": "Thai", "LAO": "Lao", "KHMER": "Khmer",
    "MYANMAR": "Burmese", "TIBETAN": "Tibetan",
}  # fmt: skip


def coverage_notes(dataset: "Dataset", rows: np.ndarray, features: "Features", texts: str) -> list[DataWarning]:
    """A note if almost no word of these rows is among the features; ``texts`` says which they are."""
    ids = dataset.tokens.select(rows).ids
    known = np.zeros(len(dataset.words) + 1, bool)  # the last one is for words that the dataset lacks
    known[dataset.words.numbers_of(features.words)] = True
    known[-1] = False
    if not len(ids) or (share := float(known[ids].mean())) >= FEW_KNOWN:
        return []
    note = f"only {share:.1%} of the words of the {texts} are known"
    letters = (dataset.words.word(number)[:1] for number in np.unique(ids[~known[ids]])[:LOOKED_AT].tolist())
    scripts = Counter(UNSEPARATED.get(unicodedata.name(letter, "").partition(" ")[0], "") for letter in letters)
    script, words = scripts.most_common(1)[0]
    if script and 2 * words > scripts.total():
        note += f": they are in {script}, which has no spaces between words; separate them with a word segmenter"
    return [DataWarning(note)]
