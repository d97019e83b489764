"""Labels: what may be one, which of a dataset's are trained on, the targets that they become, and its split by them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlcore.errors import DataError, DataWarning, InputError, counted
from mlcore.text.table import SPLITS

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset

HELD_OUT = 0.1  # of the texts, where they have no dev split
SPLIT_NUMBERS = {name: number for number, name in enumerate(("", *SPLITS))}
MAX_LABELS = 100_000
MAX_SEVERAL = 1_000  # where a text may have several of them
DECIMAL_COMMA = re.compile(r"^\s*(?![+-]?[1-9]\d{0,2},\d{3}\s*$)([+-]?\d*)[,٫](\d+)\s*$")  # 1,234 may be a thousand
LARGEST_RATING = 1e18  # whose square is far from overflow in float32
REFUSED = ("Cc", "Cs", "Zl", "Zp")  # categories: control characters, lone surrogates, separators of lines
MAX_DIGITS = 640  # of a whole number: Python may refuse to read longer ones
LISTED = 10  # labels in a message
SEPARATOR = "\n"  # between the labels of a text with several, which a dataset has as one name
MAX_STARS = 10  # up to which labels from 1 look like ratings


def clean_label(label: str) -> str:
    """The label without white space around it, in NFC; any characters but control characters may be in it.

    Raises: ValueError if it is empty or has a control character.

    Example:
        >>> clean_label(" cafe\u0301 ") == "caf\u00e9"
        True
    """
    label = unicodedata.normalize("NFC", label.strip())
    if not is_label(label):
        raise ValueError(f"the label is {repr(label) if label else 'empty'}; expected text without control characters.")
    return label


def is_label(text: str) -> bool:
    """Whether this may be a label: any text, but for control characters."""
    return bool(text) and (text.isprintable() or not {*map(unicodedata.category, text)}.intersection(REFUSED))


def joined(labels: str | Iterable[str]) -> str:
    """The label of a text, or its several labels, as one name."""
    return labels if isinstance(labels, str) else SEPARATOR.join(labels)


def labels_in(name: str) -> list[str]:
    """The labels of a text from its name in a dataset, none or several."""
    return name.split(SEPARATOR) if name else []


def shown(labels: Sequence[str]) -> str:
    """The labels of a text for a person."""
    return ", ".join(labels) or "(none)"


def rating_of(label: str) -> float | None:
    """The number that a label is, also one as −1 or 4,5; None unless it is a finite one up to LARGEST_RATING.

    Example:
        >>> rating_of("4,5"), rating_of("٣٫٥"), rating_of("−1"), rating_of("1,234"), rating_of("inf")
        (4.5, 3.5, -1.0, None, None)
    """
    try:
        value = float(DECIMAL_COMMA.sub(r"\1.\2", label.replace("\N{MINUS SIGN}", "-")))
    except ValueError:
        return None
    return value if abs(value) <= LARGEST_RATING else None


def ways_to_write(number: str) -> str:
    """How to write a number whose comma may be before decimals or thousands, in a message; nothing for others."""
    with_point = number.strip().replace(",", ".")
    unclear = rating_of(number) is None and rating_of(with_point) is not None
    return f", written as {with_point} or {with_point.replace('.', '')}" if unclear else ""


def choose_labels(dataset: "Dataset", rows: np.ndarray, multi_label: bool = False) -> tuple[str, ...]:
    """The labels of these rows, ``ordered``.

    Raises: DataError unless there are from 2 to MAX_LABELS, or if a text has several, unless this is ``multi_label``.
    """
    names = [dataset.label_names[number] for number in np.unique(dataset.labels[rows])]
    if not multi_label and dataset.several_labels:
        number = next(number for number, name in enumerate(dataset.label_names) if len(labels_in(name)) != 1)
        found = ", ".join(map(repr, labels_in(dataset.label_names[number]))) or "no label"
        place = dataset.named(dataset.label_places[number])
        raise DataError(f"{place}: expected one label, found {found}", suggestion={"multi_label": True})
    labels = sorted({label for name in names for label in labels_in(name)})
    most = MAX_SEVERAL if multi_label else MAX_LABELS
    if not 2 <= len(labels) <= most:
        found = f"{dataset.source} has {counted(len(labels), 'label')} to train on ({listed(labels)})"
        expected = f"expected from 2 to {most:,}{' where a text may have several' * multi_label}"
        are_ratings = not multi_label and len(labels) > 1 and None not in map(rating_of, labels)
        raise DataError(f"{found}; {expected}", suggestion={"loss": "squared"} if are_ratings else None)
    return ordered(labels)


def ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in numerical order if all are whole numbers, else in alphabetical order; of two the positive one last."""
    labels = sorted(labels)
    if all(label.isdecimal() and len(label) <= MAX_DIGITS for label in labels):
        labels.sort(key=lambda label: (int(label), label))
    return tuple(labels[::-1] if labels[:1] == ["pos"] and len(labels) == 2 else labels)


class Parts(NamedTuple):
    """What a dataset's labels say of a training: targets as in ``Split``, and the texts of each part."""

    labels: tuple[str, ...]
    targets: np.ndarray
    train: np.ndarray  # (m,) int64 numbers of texts, as the next ones
    dev: np.ndarray
    test: np.ndarray
    whole: np.ndarray  # to train on at last: with the held-out ones, if those were drawn at random
    warnings: list[DataWarning]


def partition(
    dataset: "Dataset", dev: float | None, ratings: bool, multi_label: bool, seed: int,
    labels: tuple[str, ...] | None, refit: bool,
) -> Parts:  # fmt: skip
    """Split a dataset; see ``encode``, for which this is all that needs no words."""
    train = whole = dataset.rows("", "train", *(["dev"] if dev is not None else []))
    if not len(train):
        raise DataError(f"{dataset.source} contains no texts to train on.")
    if labels is None:
        labels = () if ratings else choose_labels(dataset, train, multi_label)
    targets = targets_of(dataset, labels, multi_label=multi_label)
    if len(unknown := train[np.isnan(targets[train, 0])]):
        raise _wrong_label(dataset, unknown[0], listed(labels))
    warnings = [*map(DataWarning, dataset.notes.sentences()), *label_warnings(labels)]
    dev_rows = dataset.rows("dev") if dev is None else np.zeros(0, np.int64)
    fraction = dev if dev is not None else 0 if len(dev_rows) else HELD_OUT
    if not 0 <= fraction < 1:
        raise InputError("expected a fraction from 0 to less than 1, or other texts", parameter="dev", value=dev)
    if fraction > 0:
        candidates = targets[train] if multi_label else targets[train, 0] if labels else np.zeros(len(train))
        counts = candidates.sum(axis=0) if multi_label else np.bincount(candidates.astype(np.int64))
        if single := [labels[number] for number in np.flatnonzero(counts == 1)] if labels else []:
            have = "s have a single text each, which stays" if len(single) > 1 else " has a single text, which stays"
            said = f"{len(single):,} label{have} in training and is not held out: {listed(single)}"
            warnings.append(DataWarning(said))
        chosen = hold_out(candidates, fraction, seed)
        train, dev_rows = train[~chosen], train[chosen]
        if not len(dev_rows):
            problem = " has too few texts to hold some out"
            if len(labels) == len(train):
                problem = ": each label has a single text, so that none can be held out (is it the right column?)"
            raise DataError(f"{dataset.source}{problem}", suggestion={"dev": 0})
    test = dataset.rows("test")
    for rows in (dev_rows, test) if labels else ():
        targets_of(dataset, labels, rows, multi_label)  # refuses texts of which none has a known label
        if lacking := unknown_labels(dataset, rows, labels):
            warnings.append(DataWarning(f"{dataset.source}: {unknown_note(lacking)}"))
    for part, rows in (("training", train), ("held-out", dev_rows)):
        if dataset.weights is not None and len(rows) and not dataset.weights[rows].any():
            raise DataError(f"{dataset.source}: all {part} texts have the weight 0")
    return Parts(labels, targets, train, dev_rows, test, whole if refit else train, warnings)


def targets_of(
    dataset: "Dataset", labels: tuple[str, ...], rows: np.ndarray | None = None, multi_label: bool = False
) -> np.ndarray:
    """Index of each text's label among ``labels``, NaN if it is not there; without labels its rating: (n, 1) float32.

    Where texts have several labels or none: 1 for each that the text has, else 0, (n, labels).

    Raises: DataError if one of the rows (default: all) has no rating, or none of them has one of the labels.
    """
    numbers = _numbers(labels)
    if multi_label:
        sets = np.zeros((len(dataset.label_names), len(labels)), np.float32)
        for row, name in enumerate(dataset.label_names):
            sets[row, [numbers[label] for label in labels_in(name) if label in numbers]] = 1
        return np.asarray(sets[dataset.labels])
    of_names = [numbers.get(name) if labels else rating_of(name) for name in dataset.label_names]
    targets = np.array(of_names, np.float32)[dataset.labels, np.newaxis]  # None becomes NaN
    rows = np.arange(dataset.n_texts) if rows is None else rows
    wrong = rows[np.isnan(targets[rows, 0])]
    if len(wrong) and (not labels or len(wrong) == len(rows)):
        name = dataset.label_names[dataset.labels[wrong[0]]]
        expected = f"a number up to {LARGEST_RATING:g}{ways_to_write(name)}"
        raise _wrong_label(
            dataset, wrong[0], f"one of {listed(labels)} as in the training data" if labels else expected
        )
    return targets


def _wrong_label(dataset: "Dataset", row: int, expected: str) -> DataError:
    number = dataset.labels[row]
    place, name = dataset.named(dataset.label_places[number]), dataset.label_names[number]
    return DataError(f"{place}: the label is {name!r}; expected {expected}.")


def _numbers(labels: Sequence[str]) -> dict[str, int]:
    """The labels with their numbers; whole numbers may also be written as 1 or 1.0, as pandas does, in either place."""
    numbers = {label: number for number, label in enumerate(labels)}
    for label, number in [*numbers.items()]:
        if (plain := label.removesuffix(".0")).removeprefix("-").isdecimal():
            numbers.setdefault(plain, number)
            numbers.setdefault(f"{plain}.0", number)
    return numbers


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mask of a random sample of the texts: the given fraction of each label, at least one text and never all of them.

    Where texts have several labels, it is a fraction of all texts, of which none is the only one with a label.

    Shapes: labels (n,), or several (n, labels) of 0 and 1 -> (n,) bool.
    """
    random, held_out, several = np.random.default_rng([seed, 1]), np.zeros(len(labels), bool), labels.ndim > 1
    if several:
        groups = [np.flatnonzero(~labels[:, labels.sum(axis=0) == 1].any(axis=1))]
    else:
        ascending = np.argsort(labels, kind="stable")
        groups = np.split(ascending, np.flatnonzero(np.diff(labels[ascending])) + 1)
    for rows in groups:
        size = len(labels) if several else len(rows)
        held_out[random.permutation(rows)[: min(max(1, round(fraction * size)), size - 1)]] = True
    return held_out


def unknown_labels(dataset: "Dataset", rows: np.ndarray, labels: Sequence[str]) -> dict[str, int]:
    """The labels of these rows that are not among ``labels``, with the numbers of their texts."""
    known = _numbers(labels)
    counts = np.bincount(dataset.labels[rows], minlength=len(dataset.label_names)).tolist()
    unknown = Counter[str]()
    for name, n in zip(dataset.label_names, counts, strict=True):
        unknown.update({label: n for label in labels_in(name) if n and label not in known})
    return dict(unknown)


def unknown_note(unknown: dict[str, int]) -> str:
    """What to tell about labels that the training texts lack."""
    texts = sum(unknown.values())
    have = "text has a label" if texts == 1 else "texts have labels"
    return f"{texts:,} {have} that the training texts lack ({listed(unknown)}); each counts as wrong"


def label_warnings(labels: tuple[str, ...]) -> list[DataWarning]:
    """What may be wrong with the labels themselves."""
    found = []
    folded = sorted((_folded(label), label) for label in labels)
    alike = [f"{one!r} and {other!r}" for (plain, one), (same, other) in pairwise(folded) if plain == same]
    if alike:
        more = f" ({counted(len(alike) - 1, 'more such pair')})" * (len(alike) > 1)
        message = f"the labels {alike[0]} differ only in case or form{more}; they are learned as different labels"
        found.append(DataWarning(message))
    found += list_warnings(labels)
    numbers = sorted(number for number in map(rating_of, labels) if number is not None)
    stars = numbers == [*range(1, len(labels) + 1)] and 3 <= len(labels) <= MAX_STARS
    if stars or (len(numbers) == len(labels) and any(number % 1 for number in numbers)):
        advice = f"the labels are the numbers {numbers[0]:g} to {numbers[-1]:g}, which can be predicted as ratings"
        found.append(DataWarning(advice, suggestion={"loss": "squared"}))
    return found


def list_warnings(labels: Iterable[str]) -> list[DataWarning]:
    """Which label looks like several: a list in brackets, or one whose parts are labels too or parts of others."""
    labels = list(labels)
    if list_like := next((label for label in labels if label[:1] == "[" and label[-1:] == "]"), None):
        advice = "each is learned as one label; write lists in JSON Lines, or separate labels by a character"
        return [DataWarning(f"the label {list_like!r} looks like a list of labels; {advice}")]
    for separator in ",;|" if None in map(rating_of, labels) else "":
        parts = {label: {part.strip() for part in label.split(separator)} for label in labels}
        counts = Counter(chain.from_iterable(parts.values()))
        for label, several in parts.items():
            if len(several) > 1 and all(counts[part] > 1 for part in several):
                looks = f"the label {label!r} looks like several labels; it is read as one"
                return [DataWarning(looks, suggestion={"label_separator": separator})]
    return []


def _folded(label: str) -> str:
    """What two labels that look alike have in common; format characters cannot be seen."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
    return " ".join(visible.casefold().split())


def listed(labels: Iterable[str], most: int = LISTED) -> str:
    """The first of the labels, for a message that says how many more there are."""
    names = list(map(repr, labels))
    more = [f"and {len(names) - most:,} more"] * (len(names) > most)
    return ", ".join([*names[:most], *more])
