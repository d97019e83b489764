"""The classifier on many machines, by Dask: the same bytes on any number of its workers.

The workers read, count and encode shards, and train and score on them; the client numbers the features and combines.
"""

from mlcore.distributed.estimator import DaskSentimentClassifier as DaskSentimentClassifier
