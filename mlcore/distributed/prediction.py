"""Prediction and evaluation shard by shard."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.distributed.cluster import Cluster, held
from mlcore.distributed.preparing import read_shards
from mlcore.errors import DataError, InputError
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.evaluation import Assessment, assess
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import content_of, model_of
from mlcore.sentiment.prediction import Predictions, predict, predictions, read_texts
from mlcore.sentiment.tables import PredictedTable, predict_table, table_name
from mlcore.text import parts
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Features
from mlcore.text.pool import available_cores
from mlcore.text.readers import read_tables
from mlcore.text.remote import file_system, find_files, local_copy, reaching, write_file

MANIFEST = "mlcore.json"  # in a folder of predictions: what they are made with
LARGEST = 1 << 26  # bytes of a model that goes to the workers, where it takes some times as many; else its table stays
loaded = lru_cache(1)(model_of)  # all tasks of a worker have the same


def predict_shards(
    cluster: Cluster, model: Model, paths: Sequence[str], folder: Path, answers: Answers, layout: Layout
) -> tuple[int, list[PredictedTable]]:
    """Write the rows of each shard with predictions into a file in the folder, in the shard's format or as JSON Lines.

    Each is written beside and renamed; those that are complete from a run before are not written again, and left out of
    the result. A large model stays here, and the texts come as the numbers of their features.

    Raises: InputError if the folder has something else, or two shards have one name; DataError if a shard cannot be
    read, or the workers write into a folder that is not this one.
    """
    (system, path), shards, content = file_system(folder), find_files(paths), content_of(model)
    names = [table_name(Path(shard).name) for shard in shards]
    if len({*names}) < len(names):
        raise InputError(f"Two shards would be written to {max(names, key=names.count)}; give them different names.")
    made_with = [sha256(content).hexdigest(), shards, asdict(answers), str(layout)]
    manifest, said = f"{path}/{MANIFEST}", json.dumps(made_with).encode()
    found = system.cat_file(manifest) if system.exists(manifest) else b"" if system.exists(path) else said
    if found != said and (found or system.isfile(path) or system.ls(path)):
        problem = "it has other things than predictions of this model for these shards; choose another folder"
        raise InputError(problem, parameter="output", value=str(folder))
    with reaching(folder):
        system.makedirs(path, exist_ok=True)
        system.pipe_file(manifest, said)
    files = {f"{path}/{name}": shard for name, shard in zip(names, shards, strict=True)}
    pairs = [(shard, system.unstrip_protocol(file)) for file, shard in files.items() if not system.exists(file)]
    if len(content) > LARGEST:
        features, threads = cluster.submit(held, model.features), available_cores()
        reading = [(read_shard_texts, features, shard, layout) for shard, _ in pairs]
        texts = cluster.results("Predicting shards", reading)
        given = (predictions(model, some, threads) for some in texts)
        calls: Any = ((write_shard, one, *pair, answers, layout) for one, pair in zip(given, pairs, strict=True))
    else:
        common = cluster.submit(held, content)
        calls = [(write_shard, common, *pair, answers, layout) for pair in pairs]
    results = list(cluster.results("Predicting shards", calls))
    system.invalidate_cache()
    if missing := [file for file in files if not system.exists(file)]:
        raise DataError(f"A worker has written {missing[0]} elsewhere; choose a folder that all see.")
    return len(names), results


def read_shard_texts(features: Features, shard: str, layout: Layout) -> Any:
    """The texts of a shard as ``read_texts`` gives them."""
    (table,) = read_tables(local_copy(shard), layout, labelled=False)
    return read_texts(features, (text or "" for _, text in table.texts()))


def write_shard(given: Any, shard: str, output: str, answers: Answers, layout: Layout) -> PredictedTable:
    """Write a shard with the predictions that are given, or with those of the model that is."""
    model = given if isinstance(given, Predictions) else loaded(given)
    predicted = model.batches() if isinstance(model, Predictions) else partial(predict, model)
    found = list[PredictedTable]()
    (table,) = read_tables(local_copy(shard), layout, labelled=False)
    write_file(output, lambda path, file: found.append(predict_table(predicted, table, path, file, answers)))
    return found[0]


def assess_shards(cluster: Cluster, model: Model, paths: Sequence[Path], layout: Layout) -> Assessment:
    """As ``mlcore.sentiment.evaluation.assess`` of the texts in files, without mistakes."""
    dataset = read_shards(cluster, paths, layout, None)
    (rows, _), bounds, features = dataset.held_out(), dataset.bounds, cluster.submit(held, model.features)
    texts = zip(dataset.shards, np.split(rows, np.searchsorted(rows, bounds[1:-1])), bounds[:-1], strict=True)
    calls = [(parts.encode_some, features, shard, own - first) for shard, own, first in texts]
    found = cluster.results("Evaluating shards", calls)
    outputs = [model.logits(documents, None, available_cores()) for documents in found]
    return assess(model, dataset, known=(np.concatenate(outputs), dataset.fingerprints[rows]))
