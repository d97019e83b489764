"""Accuracy on all data sets, next to linear peers in the same folds: python tests/benchmarks/accuracy.py FOLDER

FOLDER holds the data sets that tests/benchmarks/README.md names; missing ones are skipped with a message. A figure is
the mean and standard deviation over FOLDS trainings (seed f for fold f): five folds, or, where a set has a dev split,
five seeds tested on that. The folds of IMDb are blocks of its files in order, which keeps the reviews of a film
together, as its official test split does. ``--only NAME ...`` measures some sets, ``--tune MINUTES`` also what
``mlcore tune`` finds, on the first fold's training texts, for each.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.sentiment.comparison import Run, linear
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.tuning import fold_of, measured, tune
from mlcore.text.dataset import Dataset, built_in_dataset, encode, read_dataset
from mlcore.text.labels import SPLIT_NUMBERS
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

FOLDS = 5
SETS: dict[str, tuple[str, ...]] = {  # files, the second of them the dev split
    "IMDb": ("aclImdb-train.tar.gz",),
    "MR": ("mr.csv",),
    "SST-2": ("sst2-train.tsv", "sst2-dev.tsv"),
    "SST-5": ("sst5-train.jsonl", "sst5-dev.jsonl"),
    "TREC": ("trec-train.fasttext.txt",),
    "Banking77": ("banking77-train.csv",),
    "CLINC150": ("clinc150-train-dev.json",),
    "tweet-emotion": ("tweet-emotion.tsv",),
    "tweet-irony": ("tweet-irony.tsv",),
    "tweet-offensive": ("tweet-offensive.tsv",),
    "waimai": ("waimai-train.csv",),
    "Chinese hotels": ("chnsenti-hotel-train.jsonl",),
    "built-in reviews": (),
}
LAYOUTS = {
    "Banking77": Layout(label_column="category"),
    "CLINC150": Layout(label_column="intent"),
    "waimai": Layout(text_column=["review"]),
    "Chinese hotels": Layout(text_column=["review"]),
}
SHEET = Settings(dim=50, hidden=32, ngrams=1, char_ngrams="none")
COLUMNS = {"words": SHEET, "pairs": replace(SHEET, ngrams=2), "defaults": Settings()}
# Peers get a space around each, as mlcore takes it for a word
IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u9fff])")


def read_set(name: str, folder: Path) -> Dataset:
    """All texts of a set that are not its test part, with its dev part as that split."""
    files = [folder / file for file in SETS[name]] or [built_in_dataset()]
    cores = available_cores()
    dataset = read_dataset(files, LAYOUTS.get(name), threads=cores, keep_texts=True)
    splits = dataset.splits.copy()
    if len(files) > 1:
        splits[read_dataset(files[0], LAYOUTS.get(name), threads=cores).n_texts :] = SPLIT_NUMBERS["dev"]
    return replace(dataset, splits=splits)


def folds(dataset: Dataset) -> Iterator[Dataset]:
    """The dataset with each of its folds as the test split."""
    places = [re.search(r"(\d+)_\d+\.txt$", place) for place in dataset.places or []]
    blocks = np.zeros(0)
    if places and all(places):  # numbered within each label
        numbers = np.array([int(place[1]) for place in places])
        blocks = numbers * FOLDS // (numbers.max() + 1)
    for number in range(FOLDS):
        if len(blocks):
            splits = np.where(blocks == number, SPLIT_NUMBERS["test"], SPLIT_NUMBERS["train"]).astype(np.int8)
            yield replace(dataset, splits=splits)
        else:
            yield fold_of(dataset, number, FOLDS)


def peers(dataset: Dataset) -> dict[str, float]:
    """Accuracies of linear models, trained on all texts of a fold but those it is tested on."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    texts = [IDEOGRAPH.sub(r" \1 ", text) for text in dataset.texts or []]
    train, test = dataset.rows("", "train"), dataset.rows("test")
    found = {}
    for name, options in {
        "LinearSVC, words": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"},
        "LinearSVC, characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
    }.items():
        vectorizer = TfidfVectorizer(sublinear_tf=True, **options)
        X: Any = vectorizer.fit_transform([texts[i] for i in train])
        model = LinearSVC().fit(X, dataset.labels[train])
        found[name] = float(model.score(vectorizer.transform([texts[i] for i in test]), dataset.labels[test]))
    run = linear(encode(dataset, None, **Settings(ngrams=2, char_ngrams="none", min_count=1).resolved().encoding()))
    assert isinstance(run, Run)
    return found | {"NB-LR": run.test_accuracy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), metavar="NAME")
    parser.add_argument("--tune", type=float, default=0, metavar="MINUTES")
    parser.add_argument("--folds", type=int, default=FOLDS, help="trainings of each kind that are made")
    given = parser.parse_args()
    head: list[str] = []
    for name in given.only:
        missing = [file for file in SETS[name] if not (given.folder / file).exists()]
        if missing:
            print(f"{name} is skipped: {', '.join(missing)} is missing", file=sys.stderr)
            continue
        figures = accuracies(read_set(name, given.folder), given)
        if not head:
            head = ["data", *figures]
            print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        cells = (f"{100 * np.mean(found):.1f} ± {100 * np.std(found):.1f}" for found in figures.values())
        print(f"| {' | '.join([name, *cells])} |", flush=True)


def accuracies(dataset: Dataset, given: Any) -> dict[str, list[float]]:
    """Accuracies of each kind of training on each fold."""
    cores, columns = available_cores(), dict(COLUMNS)
    figures = defaultdict[str, list[float]](list)
    for number, one in zip(range(given.folds), folds(dataset), strict=False):
        if given.tune and number == 0:
            trained = replace(one, splits=np.where(one.splits == SPLIT_NUMBERS["test"], -1, 0).astype(np.int8))
            found = tune(trained, Settings(), "accuracy", 3, 60 * given.tune, 10_000, cores)
            columns["tune"] = found.settings
        for name, settings in columns.items():
            figures[name].append(measured(one, replace(settings, seed=number + 1), cores).accuracy)
        for name, accuracy in peers(one).items():
            figures[name].append(accuracy)
    return figures


if __name__ == "__main__":
    main()
