"""Prediction and evaluation shard by shard."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from mlcore.distributed.cluster import Cluster, held
from mlcore.distributed.preparing import read_shards
from mlcore.errors import DataError, InputError
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.evaluation import Assessment, assess_outputs
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import content_of, model_of
from mlcore.sentiment.tables import PredictedTable, predict_table, table_name
from mlcore.text.dataset import Dataset
from mlcore.text.layout import Layout
from mlcore.text.readers import read_tables
from mlcore.text.remote import file_system, find_files, local_copy, write_file

MANIFEST = "mlcore.json"  # in a folder of predictions: what they are made with
loaded = lru_cache(1)(model_of)  # all tasks of a worker have the same


def predict_shards(
    cluster: Cluster, model: Model, paths: Sequence[str], folder: Path, answers: Answers, layout: Layout
) -> list[PredictedTable | None]:
    """Write the rows of each shard with predictions into a file in the folder, in the shard's format or as JSON Lines.

    Each is written beside and renamed; those that are complete from a run before are not written again (None).

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
    system.makedirs(path, exist_ok=True)
    system.pipe_file(manifest, said)
    common, location = cluster.submit(held, content), system.unstrip_protocol(path)
    pairs = zip(shards, (f"{location}/{name}" for name in names), strict=True)
    futures = [cluster.submit(predict_shard, common, *pair, answers, layout) for pair in pairs]
    results = list(cluster.results("Predicting shards", futures))
    system.invalidate_cache()
    if missing := [name for name in names if not system.exists(f"{path}/{name}")]:
        raise DataError(f"A worker has written {missing[0]} elsewhere than in {folder}; choose one that all see.")
    return results


def predict_shard(model: bytes, shard: str, output: str, answers: Answers, layout: Layout) -> PredictedTable | None:
    """Write the predictions for a shard, unless they are there."""
    system, path = file_system(output)
    if system.exists(path):
        return None
    (table,), found = read_tables(local_copy(shard), layout, labelled=False), list[PredictedTable]()
    write_file(output, lambda path, file: found.append(predict_table(loaded(model), table, path, file, answers)))
    return found[0]


def score(model: bytes, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Outputs of the network for these texts of a shard: (n, k) float32."""
    return loaded(model).logits(loaded(model).features.documents_of(data.tokens, data.words), rows)


def assess_shards(cluster: Cluster, model: Model, paths: Sequence[Path], layout: Layout) -> Assessment:
    """As ``mlcore.sentiment.evaluation.assess`` of the texts in files, without mistakes."""
    dataset = read_shards(cluster, paths, layout, None)
    (rows, _), bounds, common = dataset.held_out(), dataset.bounds, cluster.submit(held, content_of(model))
    parts = zip(dataset.shards, np.split(rows, np.searchsorted(rows, bounds[1:-1])), bounds[:-1], strict=True)
    futures = [cluster.submit(score, common, shard, own - first) for shard, own, first in parts]
    outputs = np.concatenate(list(cluster.results("Evaluating shards", futures)))
    return assess_outputs(model, dataset, outputs, dataset.fingerprints[rows])
