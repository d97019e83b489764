"""A dataset looked at before a training: how many texts, how long, and what would mislead the training."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlcore.errors import DataError
from mlcore.results import Result
from mlcore.text.dataset import Dataset
from mlcore.text.labels import labels_in, shown
from mlcore.text.overlap import first_alike
from mlcore.text.table import FEW

LENGTHS = "minimum", "lower_quartile", "median", "upper_quartile", "maximum"
Finding = dict[str, Any]  # "count", and "places" or "examples" of some


@dataclass(frozen=True)
class Inspection(Result):
    """What ``inspect`` finds. ``parts`` are the splits of a training, which includes texts without a split."""

    source: str
    texts: int
    labels: dict[str, int]
    parts: dict[str, dict[str, int]]
    sizes: dict[str, int]  # by split: its texts, which have several labels or one
    tokens: int
    vocabulary: int
    lengths: dict[str, float]  # tokens per text: quartiles (each the length of some text), and the mean
    empty: Finding
    duplicates: Finding  # texts with the same tokens as an earlier one: "place" and that of the "earlier" one
    conflicts: Finding  # texts with the same tokens as one with another label; how many "different" texts these are
    shared: dict[str, Finding]  # by split: texts that are also trained on
    bad_rows: Finding  # that were skipped
    undecodable: Finding
    notes: list[str]  # what was guessed and skipped in reading
    known: dict[str, float | None]  # by split: share of its tokens that are words of the training texts


def inspect(data: Dataset) -> Inspection:
    """Look at a dataset as a training would see it.

    Duplicates are texts of one split with the same tokens in the same order; texts without tokens count as empty
    only. Conflicts are looked for in all splits together, and shared texts in the splits that are not trained on.

    Raises: DataError if there are no texts.

    Example:
        >>> from mlcore.text.dataset import dataset_of
        >>> found = inspect(dataset_of(["Good film!", "good film !", "Bad."], ["pos", "neg", "neg"]))
        >>> found.tokens, found.duplicates["count"], found.conflicts["examples"]
        (8, 1, [{'neg': 'text 2', 'pos': 'text 1'}])
    """
    if not data.n_texts:
        raise DataError(f"{data.source} contains no labelled texts")
    splits = {"train": data.rows("", "train"), "dev": data.rows("dev"), "test": data.rows("test")}
    splits = {name: rows for name, rows in splits.items() if len(rows)}
    lengths, trained = np.diff(data.tokens.offsets), np.zeros(len(data.words), bool)
    trained[data.tokens.select(data.rows("", "train")).ids] = True
    tokens = {name: data.tokens.select(rows).ids for name, rows in splits.items() if name != "train"}
    quartiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf").tolist()
    empty = np.flatnonzero(lengths == 0)
    return Inspection(
        source=data.source,
        texts=data.n_texts,
        labels=_label_counts(data, np.arange(data.n_texts)),
        parts={name: _label_counts(data, rows) for name, rows in splits.items()},
        sizes={name: len(rows) for name, rows in splits.items()},
        tokens=len(data.tokens.ids),
        vocabulary=int(np.count_nonzero(np.bincount(data.tokens.ids))),
        lengths=dict(zip(LENGTHS, map(int, quartiles), strict=True)) | {"mean": float(lengths.mean())},
        empty={"count": len(empty), "places": [data.place(row) for row in empty[:FEW]]},
        bad_rows={"count": data.notes.n_bad_rows, "places": data.notes.bad_rows},
        undecodable={"count": len(data.notes.undecodable), "places": data.notes.undecodable},
        notes=[*data.notes.sentences(), *_one_label(data)],
        known={name: float(trained[ids].mean()) if len(ids) else None for name, ids in tokens.items()},
        **_repeats(data, splits),
    )


def _one_label(data: Dataset) -> list[str]:
    """That no classifier can be trained on the texts, if all that are trained on have one label."""
    numbers = np.unique(data.labels[data.rows("", "train")]).tolist()
    found = {label for number in numbers for label in labels_in(data.label_names[number])}
    if len(found) != 1:
        return []
    named = f"All texts to train on have the label {found.pop()!r}"
    return [f"{named}: no classifier can be trained on them; expected two labels or more."]


def _label_counts(data: Dataset, rows: np.ndarray) -> dict[str, int]:
    counts = Counter[str]()
    for number, count in Counter(data.labels[rows].tolist()).items():
        counts.update(dict.fromkeys(labels_in(data.label_names[number]) or [shown([])], count))
    return dict(sorted(counts.items()))


def _repeats(data: Dataset, splits: dict[str, np.ndarray]) -> dict[str, Any]:
    """Duplicates, conflicts and shared texts; texts with the same tokens go by the row of the first of them."""
    firsts = first_alike(data)
    train = splits.get("train", np.zeros(0, np.int64))

    def earlier(rows: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
        """Each of the rows that has the tokens of another one, with the first such one."""
        found = dict(zip(firsts[others[::-1]].tolist(), others[::-1].tolist(), strict=True)) | {-1: -1}
        pairs = zip(rows.tolist(), map(found.get, firsts[rows].tolist()), strict=True)
        return [(row, other) for row, other in pairs if other not in (None, -1, row)]

    def finding(pairs: list[tuple[int, int]]) -> Finding:
        examples = [{"place": data.place(row), "earlier": data.place(other)} for row, other in sorted(pairs)[:FEW]]
        return {"count": len(pairs), "examples": examples}

    labelled: dict[int, dict[str, int]] = {}
    for row, first in enumerate(firsts.tolist()):
        labelled.setdefault(first, {}).setdefault(shown(labels_in(data.label_names[data.labels[row]])), row)
    different = {first: rows for first, rows in labelled.items() if len(rows) > 1 and first >= 0}
    conflicts = {
        "count": int(np.isin(firsts, [*different]).sum()),
        "different": len(different),
        "examples": [{k: data.place(row) for k, row in sorted(rows.items())} for rows in [*different.values()][:FEW]],
    }
    duplicates = [pair for rows in splits.values() for pair in earlier(rows, rows)]
    shared = {name: finding(earlier(rows, train)) for name, rows in splits.items() if name != "train"}
    return {"duplicates": finding(duplicates), "conflicts": conflicts, "shared": shared}
