"""The classifier for texts in Dask's bags and data frames."""

import warnings
from typing import Any

from mlcore.distributed.cluster import Cluster
from mlcore.distributed.prediction import loaded
from mlcore.distributed.preparing import encode_shards, join_shards
from mlcore.errors import InputError, NotFittedError, ShapeError
from mlcore.sentiment.arguments import described, labelled
from mlcore.sentiment.estimator import SentimentClassifier
from mlcore.sentiment.model_file import content_of
from mlcore.sentiment.training import Training
from mlcore.text.pool import available_cores
from mlcore.text.streams import optional


class DaskSentimentClassifier:
    """``SentimentClassifier`` for texts on the workers of a Dask cluster, with its parameters but ``warm_start``.

    ``client``: by default the current one. ``replicas``: how many parts of the texts are trained on at a time, at most
    one for each partition. They change the model; the number of workers does not.
    """

    def __init__(self, client: Any = None, replicas: int | None = None, **settings: Any) -> None:
        self.client, self.replicas, self._local = client, replicas, SentimentClassifier().set_params(**settings)

    def fit(self, X: Any, y: Any) -> "DaskSentimentClassifier":
        """Train on texts with their labels, or numbers: bags, or columns of data frames, with partitions of one size.

        Raises: InputError if a parameter, a text or a label is wrong; ShapeError if X and y are not partitioned alike.
        """
        if self._local.warm_start:
            raise InputError("expected False; to_local can be trained on", parameter="warm_start", value=True)
        check_partitioned(X=X, y=y)
        if X.npartitions != y.npartitions:
            raise ShapeError(f"X has {X.npartitions} partitions, but y has {y.npartitions}; partition them alike.")
        settings, dev = self._local.settings(), self._local.dev
        client = self.client or optional("distributed", "dask", "A cluster").default_client()
        cluster, ratings = Cluster(client), settings.loss == "squared"
        parts = zip(*(client.compute(some.to_delayed()) for some in (X, y)), strict=True)
        shards = [cluster.submit(labelled, *own, ratings, f"partition {i + 1}") for i, own in enumerate(parts)]
        dataset = join_shards(cluster, "X", shards, self.replicas)
        training = Training(dataset, settings, dev, available_cores(), encode=encode_shards)
        for warning in training.data.warnings:
            warnings.warn(warning, stacklevel=2)
        training.begin({"dev": repr(dev), **dataset.notes.columns})
        self._fitted = content_of(training.run())
        return self

    def predict(self, X: Any) -> Any:
        """Predicted labels, or numbers, of a bag or a column, as a bag or column with the same partitions."""
        from dask.delayed import delayed

        check_partitioned(X=X)
        content, frames = delayed(self._content()), hasattr(X, "to_frame") and hasattr(X, "dtype")
        kind = {"meta": ("predicted", self.to_local().predict(["a"]).dtype)} if frames else {}
        return X.map_partitions(predict_partition, content, **kind)

    def to_local(self) -> SentimentClassifier:
        """The fitted estimator for one machine."""
        return SentimentClassifier.of_model(loaded(self._content()))

    def _content(self) -> bytes:
        if not hasattr(self, "_fitted"):
            raise NotFittedError(f"This {type(self).__name__} has not been fitted; call fit first.")
        return self._fitted


def check_partitioned(**given: Any) -> None:
    """Raises: InputError if one is neither a bag nor a column."""
    for name, one in given.items():
        if not hasattr(one, "map_partitions") or getattr(one, "ndim", 1) != 1:
            advice = "expected Dask's: a bag, or a column of a data frame; SentimentClassifier takes lists"
            raise InputError(f"{name} is {described(one)}; {advice}.")


def predict_partition(texts: Any, content: bytes) -> Any:
    """Predictions for a partition: a column beside that of the texts, or a list."""
    found = SentimentClassifier.of_model(loaded(content)).set_params(threads=1).predict(texts)
    return type(texts)(found, texts.index, name="predicted") if hasattr(texts, "iloc") else found.tolist()
