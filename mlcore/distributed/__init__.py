"""The classifier on many machines, by Dask: the same bytes for any number of its workers."""

from mlcore.distributed.estimator import DaskSentimentClassifier as DaskSentimentClassifier
