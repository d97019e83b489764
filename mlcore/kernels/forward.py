"""The forward pass of the network of exercise 5: embedding, mean, dense ReLU layer, dense layer."""

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.kernels.embedding import gather_mean
from mlcore.kernels.layers import affine, relu


@kernel
def forward_means(parameters, E, Z, H, logits):
    """Logits of texts from their mean embeddings, ``W2 relu(W1 E + b1) + b2``: overwrite Z, H and logits.

    ``parameters`` has W1, b1, W2 and b2.

    Shapes: E (b, d), W1 (h, d), b1 (h,), W2 (k, h), b2 (k,) -> Z and H (b, h), logits (b, k).
    Source: exercise 5.
    """
    affine(E, parameters.W1, parameters.b1, Z)
    relu(Z, H)
    affine(H, parameters.W2, parameters.b2, logits)


@kernel
def forward_texts(ids, counts, starts, ends, parameters, E, Z, H, logits):
    """Logits of texts: overwrite E, Z, H and logits. ``parameters`` has the table, and the layers of forward_means.

    Shapes: ids, counts (m,); starts, ends (b,) of each text's entries; table (v, d), or wider; the rest as in
    forward_means.
    """
    gather_mean(parameters.table, ids, counts, starts, ends, np.int64(0), E.shape[1], E)
    forward_means(parameters, E, Z, H, logits)
