"""Random models, and the network of exercise 5 with loops over features, for tests to compare with."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from conftest import pieces_of, pinned

from mlcore.sentiment.compression import compress
from mlcore.sentiment.model import Model, Parameters
from mlcore.sentiment.model_file import save_model
from mlcore.text.dataset import Dataset, Features, Split, dataset_of
from mlcore.text.labels import targets_of
from mlcore.text.ngrams import choose_features
from mlcore.text.vocabulary import WordTable

WORDS = ["good", "bad", "film", "not", "it's", "!", ",", "plot"]
TWO, THREE = ("neg", "pos"), ("a", "b", "c")


def random_model(
    seed: int,
    labels: tuple[str, ...] = TWO,
    ngrams: int = 1,
    binary: bool = True,
    scale: float = 1.0,
    characters: str = "none",
    multi_label: bool = False,
    words: Sequence[str] = WORDS,
) -> Model:
    """Random parameters, and n-grams of random texts as features; one unit is 0 for every text, one always on."""
    random = np.random.default_rng(seed)
    table = WordTable()
    tokens = table.add([" ".join(words), *(" ".join(random.choice(words, 6)) for _ in range(12))])
    loss = "logistic" if labels else "squared"
    settings = pinned(
        dim=3, hidden=5, ngrams=ngrams, char_ngrams=characters, binary=binary, loss=loss, min_count=1,
        multi_label=multi_label,
    )  # fmt: skip
    features = choose_features(table, tokens, np.arange(13), settings.encoding()["choice"])
    parameters = Parameters.zeros(len(features), 3, 5, settings.outputs(len(labels)))
    for array in (parameters.table[:, :3], parameters.W1[:, :3], parameters.b1, parameters.W2, parameters.b2):
        array[:] = scale * random.normal(size=array.shape)
    parameters.W1[0], parameters.b1[0] = 0, 0
    parameters.b1[1] = 100 * scale**2
    return Model(settings, labels, features, parameters)


def halved(model: Model) -> Model:
    """The model with its embedding in 16 bits."""
    model.parameters.table[:] = model.parameters.table.astype(np.float16)
    return replace(model, settings=replace(model.settings, float16=True))


KINDS = {  # of models
    "two": lambda: random_model(1, TWO, ngrams=2),
    "three": lambda: random_model(2, THREE, ngrams=3, binary=False, characters="2-4"),
    "several": lambda: random_model(3, THREE, multi_label=True, characters="2-3"),
    "ratings": lambda: replace(random_model(4, (), 2, binary=False), seen=(-1.5, 1.0)),
    "compressed": lambda: compress(random_model(1, TWO, ngrams=2), 2000),
}
FILES = KINDS | {"halved": lambda: halved(random_model(2, TWO, ngrams=2, binary=False))}  # of files


def random_data(model: Model, truths: list, seed: int = 1) -> tuple[Dataset, Split]:
    """Random texts with these labels, as they are and as the model sees them."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(0, 6))) for _ in truths]
    dataset = dataset_of(texts, truths, source="test")
    several = model.settings.multi_label
    documents, rows = model.features.documents_of(dataset.tokens, dataset.words), np.arange(len(texts))
    return dataset, Split(documents, targets_of(dataset, model.labels, rows, several), rows)


def save_with_texts(model: Model, path: Path, data: Path, random: np.random.Generator) -> None:
    """A model in a file, and JSON Lines of 40 random texts that it gets partly wrong; every label is there."""
    model.parameters.b1[1] = 0.5  # so that it decides now so, now so
    save_model(model, path)
    truths, several = model.labels or ("1", "2", "5"), model.settings.multi_label
    labels = [truths[: i % 4] if several else truths[i % len(truths)] for i in range(40)]
    rows = [{"text": " ".join(random.choice(WORDS, 5)), "label": label} for label in labels]
    data.write_text("\n".join(map(json.dumps, rows)))


@cache
def numbers_of(features: Features) -> dict[str, int]:
    """The number of each feature by its name."""
    return {name: number for number, name in enumerate(features.names)}


def features_of(features: Features, words: list[str]) -> dict[str, int]:
    """Occurrences of each known feature among the words, by their names."""
    known, sizes = numbers_of(features), range(1, features.largest + 1)
    names = [" ".join(words[start : start + n]) for n in sizes for start in range(len(words) - n + 1)]
    names += [" ".join(["^", *words[:n]]) for n in sizes if n <= len(words)]
    names += [f"[{piece}]" for word in words for piece in pieces_of(word, features.pieces.sizes)]
    return dict(Counter(name for name in names if name in known))


def logits_of(model: Model, words: list[str], parameters=None) -> np.ndarray:
    """The formulas of exercise 5 in float64, one feature at a time, with the model's or other parameters."""
    table, W1, b1, W2, b2 = parameters or (array.astype(np.float64) for array in model.parameters)
    counts = features_of(model.features, words)
    weights = {name: 1 if model.features.binary else count for name, count in counts.items()}
    E, numbers = np.zeros(table.shape[1]), numbers_of(model.features)
    for name, weight in weights.items():
        E += weight / sum(weights.values()) * table[numbers[name]]
    return W2 @ np.maximum(W1 @ E + b1, 0) + b2
