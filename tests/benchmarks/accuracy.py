"""Accuracy of the defaults and of n-grams by cross-validation: python tests/benchmarks/accuracy.py FOLDER

FOLDER holds the data sets that tests/benchmarks/README.md names; what is missing is left out, and said to be. Each
figure is the mean over the folds (seed f for fold f), each fold trained on the others with a tenth of them held out
to choose the epoch. The folds of IMDb are blocks of its files in order, which keeps the reviews of a film together,
as its official test part does; those of MR and TREC are random; SST is measured on its dev part with seeds 1 to 5.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.preparation import labelled_part, prepare
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import available_cores, fit
from mlcore.text.corpus import Corpus, built_in_corpus, read_corpus

FOLDS = 5
SETS = {
    "IMDb train, blocks of films": ("aclImdb-train.tar.gz", None),
    "MR": ("mr.csv", None),
    "SST-2, dev part": ("sst2-train.tsv", "sst2-dev.tsv"),
    "SST-5, dev part": ("sst5-train.jsonl", "sst5-dev.jsonl"),
    "TREC train, 6 classes": ("trec-train.fasttext.txt", None),
    "built-in corpus, test part": (None, None),
}


def parts(train: Path | None, dev: Path | None) -> Iterator[tuple[Corpus, Corpus]]:
    """Texts to train on and texts to measure on, FOLDS times."""
    corpus = read_corpus(train or built_in_corpus())
    if train is None or dev is not None:
        test = read_corpus(dev) if dev else corpus.select(corpus.part("test"))
        return ((corpus, test) for _ in range(FOLDS))
    return folds(corpus)


def folds(corpus: Corpus) -> Iterator[tuple[Corpus, Corpus]]:
    """The corpus without each of its folds, and the fold."""
    places = [re.search(r"(\d+)_\d+\.txt$", place) for place in corpus.places]
    if all(places):  # numbered within each label
        numbers = np.array([int(place[1]) for place in places])
        fold = numbers * FOLDS // (numbers.max() + 1)
    else:
        fold = np.random.default_rng(0).integers(FOLDS, size=len(corpus.texts))
    for number in range(FOLDS):
        yield corpus.select(np.flatnonzero(fold != number)), corpus.select(np.flatnonzero(fold == number))


def accuracy(train: Corpus, test: Corpus, settings: Settings) -> float:
    """Accuracy on the test texts after a training."""
    data = prepare(train, None, settings)
    classifier = new_classifier(data, settings)
    for _ in fit(classifier, data.train, data.dev, available_cores()):
        pass
    return evaluate(classifier, labelled_part(classifier, test), available_cores()).accuracy


def main() -> None:
    folder = Path(sys.argv[1])
    print("| data | words | `--ngrams 2` | `--ngrams 3` |\n|---|---|---|---|")
    for name, files in SETS.items():
        train, dev = (file and folder / file for file in files)
        if train and not train.exists():
            print(f"{train} is missing: left out", file=sys.stderr)
            continue
        cells = []
        for ngrams in (1, 2, 3):
            found = [
                accuracy(*both, Settings(ngrams=ngrams, seed=seed))
                for seed, both in enumerate(parts(train, dev), start=1)
            ]
            cells.append(f"{100 * np.mean(found):.1f} ± {100 * np.std(found, ddof=1):.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
