"""Accuracy of the defaults and of n-grams by cross-validation: python tests/benchmarks/accuracy.py FOLDER

FOLDER holds the data sets that tests/benchmarks/README.md names; missing ones are skipped with a message. Each figure
is the mean over the folds (seed f for fold f), each fold trained on the others with a tenth of them held out to choose
the epoch. The folds of IMDb are blocks of its files in order, which keeps the reviews of a film together, as its
official test split does; those of MR and TREC are random; SST is measured on its dev file with seeds 1 to 5.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlcore.sentiment.evaluation import quick_figures
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import fit
from mlcore.text.dataset import SPLIT_NUMBERS, Dataset, built_in_dataset, encode, encode_split, read_dataset
from mlcore.text.pool import available_cores

FOLDS = 5
SETS = {
    "IMDb train, blocks of films": ("aclImdb-train.tar.gz", None),
    "MR": ("mr.csv", None),
    "SST-2, dev file": ("sst2-train.tsv", "sst2-dev.tsv"),
    "SST-5, dev file": ("sst5-train.jsonl", "sst5-dev.jsonl"),
    "TREC train, 6 classes": ("trec-train.fasttext.txt", None),
    "built-in reviews, test split": (None, None),
}


def folds(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset with each of its folds as the test split."""
    places = [re.search(r"(\d+)_\d+\.txt$", place) for place in dataset.places or []]
    if places and all(places):  # numbered within each label
        numbers = np.array([int(place[1]) for place in places])
        fold = numbers * FOLDS // (numbers.max() + 1)
    else:
        fold = np.random.default_rng(0).integers(FOLDS, size=dataset.n_texts)
    for number in range(FOLDS):
        splits = np.where(fold == number, SPLIT_NUMBERS["test"], SPLIT_NUMBERS["train"])
        yield replace(dataset, splits=splits.astype(np.int8))


def accuracies(train: Path | None, test: Path | None, ngrams: int) -> list[float]:
    """Accuracy of each of FOLDS trainings."""
    cores = available_cores()
    dataset = read_dataset(train or built_in_dataset(), threads=cores, keep_texts=True)
    fixed = train is None or test is not None
    tested = read_dataset(test, threads=cores) if test else None
    found = []
    for seed, one in enumerate([dataset] * FOLDS if fixed else folds(dataset), start=1):
        settings = Settings(ngrams=ngrams, seed=seed)
        data = encode(one, None, **settings.encoding(), threads=cores)
        model = new_model(data, settings, threads=cores)
        for _ in fit(model, data.train, data.dev, cores):
            pass
        split = data.test
        if tested:
            split = encode_split(tested, np.arange(tested.n_texts), data.features, data.labels, cores)
        found.append(quick_figures(model, split, cores)[1])
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    print("| data | words | `--ngrams 2` | `--ngrams 3` |\n|---|---|---|---|")
    for name, files in SETS.items():
        train, test = (file and folder / file for file in files)
        if train and not train.exists():
            print(f"{train} is missing: skipped", file=sys.stderr)
            continue
        cells = []
        for ngrams in (1, 2, 3):
            found = accuracies(train, test, ngrams)
            cells.append(f"{100 * np.mean(found):.1f} ± {100 * np.std(found, ddof=1):.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
