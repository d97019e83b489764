"""A dataset looked at before a training: how many texts, how long, and what would mislead the training."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlcore.errors import DataError
from mlcore.results import Result
from mlcore.text.dataset import SPLIT_NUMBERS, Dataset
from mlcore.text.vocabulary import Tokens

MIN_COUNTS = (1, 2, 5)
FEW = 5  # examples of each finding
SEED = 0  # of the random tenth


Finding = dict[str, Any]  # "count", and "places" or "examples" of some


@dataclass(frozen=True)
class Inspection(Result):
    """What ``inspect`` finds. ``parts`` are the splits of a training, which includes texts without a split."""

    source: str
    dev_source: str | None
    texts: int
    labels: dict[str, int]
    parts: dict[str, dict[str, int]]
    tokens: int
    vocabulary: int
    lengths: dict[str, Any]  # tokens per text: quartiles (each the length of some text), and a histogram that doubles
    empty: Finding
    duplicates: Finding  # texts with the same tokens as an earlier one: "place" and that of the "earlier" one
    conflicts: Finding  # texts with the same tokens as one with another label; how many "different" texts these are
    shared: dict[str, Finding]  # by split: texts that are also trained on
    undecodable: Finding
    coverage: list[dict[str, Any]]  # by split ("tenth" is a random tenth of training): the tokens that training knows


def inspect(dataset: Dataset, dev: Dataset | None = None) -> Inspection:
    """Look at a dataset as a training would see it; what ``dev`` holds out replaces the dev split.

    Duplicates are texts of one split with the same tokens in the same order; texts without tokens count as empty
    only. Conflicts are looked for in all splits together, and shared texts in the splits that are not trained on.

    Raises: DataError if there are no texts.

    Example:
        >>> from mlcore.text.dataset import dataset_of
        >>> found = inspect(dataset_of(["Good film!", "good film !", "Bad."], ["pos", "neg", "neg"]))
        >>> found.tokens, found.duplicates["count"], found.conflicts["examples"]
        (8, 1, [{'neg': 'text 2', 'pos': 'text 1'}])
    """
    if not dataset.n_texts:
        raise DataError(f"{dataset.source} contains no texts.")
    data = _with_held_out(dataset, dev) if dev else dataset
    splits = {"train": data.rows("", "train"), "dev": data.rows("dev"), "test": data.rows("test")}
    splits = {name: rows for name, rows in splits.items() if len(rows)}
    others = {name: rows for name, rows in splits.items() if name != "train"}
    train = splits.get("train", np.zeros(0, np.int64))
    lengths, firsts = np.diff(data.tokens.offsets), _firsts(data.tokens)
    empty, within = np.flatnonzero(lengths == 0), np.empty(data.n_texts, np.int64)
    for rows in splits.values():
        within[rows] = _earlier(firsts, rows)[rows]
    return Inspection(
        source=dataset.source,
        dev_source=dev.source if dev else None,
        texts=data.n_texts,
        labels=_label_counts(data, np.arange(data.n_texts)),
        parts={name: _label_counts(data, rows) for name, rows in splits.items()},
        tokens=len(data.tokens.ids),
        vocabulary=int(np.count_nonzero(np.bincount(data.tokens.ids))),
        lengths=_lengths(lengths),
        empty={"count": len(empty), "places": [data.place(row) for row in empty[:FEW]]},
        duplicates=_repeats(data, np.arange(data.n_texts), within),
        conflicts=_conflicts(data, firsts),
        shared={name: _repeats(data, rows, _earlier(firsts, train)) for name, rows in others.items()},
        undecodable={"count": len(data.undecodable), "places": data.undecodable},
        coverage=list(_coverage(data, train, others)),
    )


def _with_held_out(dataset: Dataset, dev: Dataset) -> Dataset:
    """The dataset with the held-out texts of another behind it, as its only dev split."""
    rows, _ = dev.held_out()
    words, chosen = dataset.words.select(np.arange(len(dataset.words))), dev.tokens.select(rows)
    added = chosen._replace(ids=words.add_words(dev.words)[chosen.ids])
    names = list(dict.fromkeys(dataset.label_names + dev.label_names))
    label_numbers = np.array([names.index(name) for name in dev.label_names], np.int32)
    splits = np.where(dataset.splits == SPLIT_NUMBERS["dev"], SPLIT_NUMBERS["train"], dataset.splits)

    def named(place: str) -> str:  # so that a line is not taken for one of the main data
        return f"{dev.source}, {place}" if place.startswith(("line ", "text ")) else place

    return replace(
        dataset,
        words=words,
        tokens=Tokens.joined([dataset.tokens, added]),
        label_names=names,
        labels=np.concatenate([dataset.labels, label_numbers[dev.labels[rows]]]),
        splits=np.concatenate([splits, np.full(len(rows), SPLIT_NUMBERS["dev"])]),
        places=[*map(dataset.place, range(dataset.n_texts)), *(named(dev.place(row)) for row in rows)],
        undecodable=dataset.undecodable + [named(place) for place in dev.undecodable],
    )


def _firsts(tokens: Tokens) -> np.ndarray:
    """Number of the first text that has the same tokens as each text, -1 for texts without tokens: (n,) int64."""
    first_with: dict[bytes, int] = {b"": -1}
    bounds = tokens.offsets.tolist()
    return np.array(
        [first_with.setdefault(tokens.ids[bounds[i] : bounds[i + 1]].tobytes(), i) for i in range(tokens.n_texts)],
        np.int64,
    )


def _label_counts(data: Dataset, rows: np.ndarray) -> dict[str, int]:
    counts = Counter(data.labels[rows].tolist())
    return dict(sorted((data.label_names[number], count) for number, count in counts.items()))


def _lengths(lengths: np.ndarray) -> dict[str, Any]:
    quartiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf").tolist()
    counts = np.bincount(np.frexp(lengths)[1])  # the number of bits: 0 for 0, 1 for 1, 2 for 2 and 3, ...
    histogram = [
        {"first": (1 << bits) >> 1, "last": (1 << bits) - 1, "texts": int(counts[bits])}
        for bits in range(int(np.flatnonzero(counts)[0]), len(counts))
    ]
    names = "minimum", "lower_quartile", "median", "upper_quartile", "maximum"
    return dict(zip(names, map(int, quartiles), strict=True)) | {"mean": float(lengths.mean()), "histogram": histogram}


def _earlier(firsts: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each text the first of those among these that has the same tokens, or -1: (n,) int64."""
    found: np.ndarray = np.full(len(firsts) + 1, -1)  # the last entry is for -1
    among = among[firsts[among] >= 0][::-1]
    found[firsts[among]] = among
    return found[firsts]  # type: ignore[no-any-return]


def _repeats(data: Dataset, rows: np.ndarray, earlier: np.ndarray) -> Finding:
    repeated = rows[(earlier[rows] >= 0) & (earlier[rows] != rows)]
    examples = [{"place": data.place(row), "earlier": data.place(earlier[row])} for row in repeated[:FEW]]
    return {"count": len(repeated), "examples": examples}


def _conflicts(data: Dataset, firsts: np.ndarray) -> Finding:
    rows = np.flatnonzero(firsts >= 0)
    with_label = np.unique(np.stack([firsts[rows], data.labels[rows]]), axis=1)
    texts, labels = np.unique(with_label[0], return_counts=True)
    different = texts[labels > 1]
    in_conflict = rows[np.isin(firsts[rows], different)]
    examples = []
    for first in different[:FEW]:
        members = in_conflict[firsts[in_conflict] == first][::-1]  # backwards: the first place of a label stays
        examples.append(dict(sorted({data.label_names[data.labels[row]]: data.place(row) for row in members}.items())))
    return {"count": len(in_conflict), "different": len(different), "examples": examples}


def _coverage(data: Dataset, train: np.ndarray, others: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """For each split that is not trained on, or else for a random tenth of the one that is."""
    if not others and len(train) > 1:
        shuffled = np.random.default_rng(SEED).permutation(train)
        tenth = max(1, round(len(train) / 10))
        others, train = {"tenth": np.sort(shuffled[:tenth])}, np.sort(shuffled[tenth:])
    counts = np.bincount(data.tokens.select(train).ids, minlength=len(data.words))
    for name, rows in others.items() if len(train) else ():
        seen, known = counts[data.tokens.select(rows).ids], []
        for least in MIN_COUNTS:
            share = float((seen >= least).mean()) if len(seen) else None
            known.append({"min_count": least, "words": int((counts >= least).sum()), "share": share})
        yield {"part": name, "tokens": len(seen), "known": known}
