"""From shards to all that a training needs; the training texts stay on the workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.distributed.cluster import Cluster, held
from mlcore.errors import InputError
from mlcore.sentiment.initialization import LOOKED_AT
from mlcore.sentiment.replicas import ReplicaTrainer, selected, totals
from mlcore.text import dataset as one_file
from mlcore.text import parts
from mlcore.text.dataset import Dataset, EncodedDataset, Split
from mlcore.text.documents import Documents, Totals
from mlcore.text.labels import partition
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Choice, Features, by_frequency, extend, select_features
from mlcore.text.overlap import kept
from mlcore.text.remote import find_files

NGRAMS_AT_A_TIME = 1 << 23  # counted in one turn; they take 24 bytes each
REPLICA = 2_000_000  # tokens for which there is a replica, unless the number is given
MAX_REPLICAS = 64


@dataclass(eq=False, kw_only=True)
class ShardedDataset(Dataset):
    """A dataset whose tokens are on the workers: here are their offsets, and the first of them."""

    cluster: Cluster
    shards: list[Any]  # futures of datasets
    bounds: np.ndarray  # (shards + 1,) of their texts
    fingerprints: np.ndarray  # (n,) uint32 of the texts
    replicas: int


def read_shards(cluster: Cluster, paths: Sequence[Path], layout: Layout, replicas: int | None) -> ShardedDataset:
    """As ``join_shards`` of the labelled texts in files, whose paths may be patterns or URLs."""
    shards = [cluster.submit(parts.read_part, name, layout) for name in find_files(paths)]
    return join_shards(cluster, ", ".join(map(str, paths)), shards, replicas)


def join_shards(cluster: Cluster, source: str, shards: list[Any], replicas: int | None) -> ShardedDataset:
    """The dataset of shards that workers read, with labels and splits as if they were one file.

    ``replicas``: in how many parts it is trained on; None: one for every REPLICA tokens.

    Raises: as ``read_dataset``, for the first shard that cannot be read; InputError if labels have several types.
    """
    outlines = list(cluster.results("Reading shards", [(parts.outline, shard, LOOKED_AT) for shard in shards]))
    if len(kinds := {data.notes.columns.get("labels") for data, _ in outlines}) > 1:
        raise InputError(f"y has labels of the types {' and '.join(sorted(map(str, kinds)))}; expected one.")
    whole = parts.joined([data for data, _ in outlines], source)
    bounds = np.cumsum([0, *(data.n_texts for data, _ in outlines)])
    if replicas is None:
        trained = np.unique(np.searchsorted(bounds, whole.rows("", "train"), side="right"))  # shards with such texts
        replicas = max(1, min(len(trained), int(whole.tokens.offsets[-1]) // REPLICA, MAX_REPLICAS))
    whole.notes.columns["replicas"] = str(replicas)  # the model depends on it
    return ShardedDataset(
        **vars(whole) | {"fingerprint": sha256(f"{whole.fingerprint} {replicas}".encode()).hexdigest()},
        cluster=cluster, shards=shards, bounds=bounds, replicas=replicas,
        fingerprints=np.concatenate([some for _, some in outlines]),
    )  # fmt: skip


class ShardedDocuments:
    """Stands for the documents of some texts, which are on the workers, dealt to replicas.

    ``chunks``: for each replica the arguments of ``selected``, where a future of all of its documents stands for them,
    and one for the features that are kept; and the numbers of the texts in the dataset, ascending.
    """

    trainer = ReplicaTrainer  # see ``mlcore.sentiment.training.fit``

    def __init__(
        self, cluster: Cluster, encoded: list[Any], texts: list[np.ndarray], chosen: np.ndarray, only: Any = None
    ) -> None:
        self.cluster, places = cluster, [np.flatnonzero(np.isin(some, chosen)) for some in texts]
        dealt = zip(encoded, texts, places, strict=True)
        self.chunks = [((documents, at, only), some[at]) for documents, some, at in dealt]

    def split(self, parts: int, seed: int) -> list[tuple[tuple[Any, ...], np.ndarray]]:
        """Chunks of so many parts of each replica's texts, at random: the first part of each replica, and so on."""
        random = np.random.default_rng([seed, 5])
        owners = [random.permutation(np.arange(len(rows)) * parts // len(rows)) for _, rows in self.chunks]
        return [
            ((documents, at[owner == part], only), rows[owner == part])
            for part in range(parts)
            for ((documents, at, only), rows), owner in zip(self.chunks, owners, strict=True)
        ]

    def totals(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Totals:
        """As ``Documents.totals``; of values that are not whole, sums of those of the replicas."""
        calls = []
        for chunk, own in self.chunks:
            here = np.isin(rows, own)
            calls.append((totals, chunk, np.searchsorted(own, rows[here]), columns[here], values[here], shape))
        keys, sums = map(np.concatenate, zip(*self.cluster.results("Counting labels", calls), strict=True))
        keys, places = np.unique(keys, return_inverse=True)
        return keys, np.bincount(places, sums)


def encode_shards(
    dataset: ShardedDataset, dev: float | None, *, choice: Choice, ratings: bool, multi_label: bool = False, seed: int,
    refit: bool = False, labels: tuple[str, ...] | None = None, known: Features | None = None,
    threads: int = 1,
) -> EncodedDataset:  # fmt: skip
    """As ``mlcore.text.dataset.encode``, with the same splits, features and counts. Training texts stay on the workers,
    dealt to replicas; held-out and test texts come to the client.

    Raises: as that; InputError if fewer shards than replicas have texts to train on.
    """
    found = partition(dataset, dev, ratings, multi_label, seed, labels, refit and not known)
    features = extend(known, _chosen(dataset, found.whole, choice))
    on_workers = _deal(dataset, found.train, features)
    calls = [(one_file.occurrences, *chunk[:2], len(features)) for chunk, _ in on_workers(found.train).chunks]
    counts, only, whole = np.asarray(sum(dataset.cluster.results("Encoding shards", calls))), None, None
    if len(found.whole) > len(found.train):
        only = dataset.cluster.submit(held, counts >= choice.min_count)
        counts[counts < choice.min_count] = 0
        whole = Split(on_workers(found.whole), found.targets, found.whole, dataset.weights)
    one_file.check_occurrences(counts, dataset.source, choice.min_count)
    train = Split(on_workers(found.train, only), found.targets, found.train, dataset.weights)
    dev_texts, test_texts = (
        _fetch(dataset, on_workers(rows, features_kept), found.targets, choice.binary) if len(rows) else None
        for rows, features_kept in ((found.dev, only), (found.test, None))
    )
    splits, hashes = (train, dev_texts, test_texts, whole), kept(dataset.fingerprints[found.whole])
    return EncodedDataset(features, counts, found.labels, *splits, found.warnings, fingerprints=hashes)


def _chosen(dataset: ShardedDataset, rows: np.ndarray, choice: Choice) -> Features:
    """Features of these texts, counted on the workers."""
    cluster, bounds = dataset.cluster, dataset.bounds
    chosen = np.isin(np.arange(dataset.n_texts), rows)
    pieces = list(zip(dataset.shards, np.split(chosen, bounds[1:-1]), dataset.tokens.offsets[bounds[:-1]], strict=True))
    turns = 1 << max(0, int(dataset.tokens.offsets[-1] - 1) // NGRAMS_AT_A_TIME).bit_length()
    calls = [(parts.count_words, shard, own) for shard, own, _ in pieces]
    table, counts = cluster.merged("Counting words", parts.merge_words, calls)

    def frequent(shorter: Features, *level: Any) -> tuple[np.ndarray, np.ndarray]:
        features, frequent_ones = cluster.submit(held, shorter), []
        for turn in range(turns):  # one after the other, so that a share of the n-grams is in memory at a time
            calls = [(parts.count_ngrams, shard, features, level, *own, turn, turns) for shard, *own in pieces]
            merged = cluster.merged("Counting n-grams", parts.merge_ngrams, calls)
            frequent_ones.append(tuple(array[merged[1] >= choice.min_count] for array in merged))
        return by_frequency(frequent_ones)

    return select_features(table, counts, frequent, choice)


def _deal(dataset: ShardedDataset, train: np.ndarray, features: Features) -> Callable[..., Any]:
    """Deal the shards to replicas, encode them there, and return what makes ``ShardedDocuments`` of some of the texts.

    Raises: InputError if fewer shards than replicas have texts to train on.
    """
    submit, bounds = dataset.cluster.submit, dataset.bounds
    of_texts = np.searchsorted(bounds, train, side="right") - 1
    sizes = np.bincount(of_texts, np.diff(dataset.tokens.offsets)[train] + 1, len(dataset.shards))
    if not 1 <= dataset.replicas <= (most := np.count_nonzero(sizes)):
        expected = f"expected from 1 to {most:,}, the number of files or partitions with texts to train on"
        raise InputError(expected, parameter="replicas", value=dataset.replicas)
    common, dealt = submit(held, features), parts.deal(sizes, dataset.replicas)
    encoded = [submit(parts.encode_parts, common, [dataset.shards[i] for i in own]) for own in dealt]
    texts = [np.concatenate([np.arange(*bounds[i : i + 2]) for i in own]) for own in dealt]
    return partial(ShardedDocuments, dataset.cluster, encoded, texts)


def _fetch(dataset: ShardedDataset, documents: ShardedDocuments, targets: np.ndarray, binary: bool) -> Split:
    """The same documents in the memory of the client."""
    chunks, owned = zip(*documents.chunks, strict=True)
    calls, order = [(selected, *chunk) for chunk in chunks], np.concatenate(owned)
    fetched = Documents.joined(dataset.cluster.results("Fetching held-out texts", calls), binary)
    weights = None if dataset.weights is None else dataset.weights[order]
    return Split(fetched, targets[order], np.argsort(order), weights)
