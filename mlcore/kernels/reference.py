"""Naive twins of the kernels, written from the formulas and sharing no code with them: slow, and easy to believe.

Each function returns what the kernel of the same name writes.
"""

import numpy as np


def affine(X, W, b):
    """Y = X W^T + b."""
    Y = X @ W.T
    return Y if b is None else Y + b


def affine_backward_input(dY, W):
    """dX = dY W."""
    return dY @ W


def affine_backward_weights(dY, X):
    """dW = dY^T X and db = column sums of dY."""
    return dY.T @ X, dY.sum(axis=0)


def relu(Z):
    """max(0, z)."""
    return np.maximum(Z, 0)


def relu_backward(dH, Z, at_zero):
    """dH relu'(Z), where relu'(0) is a convention."""
    return dH * np.select([Z > 0, Z < 0], [1.0, 0.0], at_zero).astype(Z.dtype)


def sigmoid(Z):
    """1 / (1 + exp(-z)) = (1 + tanh(z/2)) / 2."""
    return (1 + np.tanh(Z / 2)) / 2


def sigmoid_backward(dH, H):
    """dH h (1 - h)."""
    return dH * (H - H**2)


def tanh(Z):
    """tanh z = 1 - 2 / (exp(2z) + 1)."""
    return 1 - 2 / (np.exp(2 * Z) + 1)


def tanh_backward(dH, H):
    """dH (1 - h^2)."""
    return dH * (1 - H**2)


def half_squared(Y_hat, Y):
    """1/2 sum_k (y_k - y_hat_k)^2 of each sample."""
    return ((Y - Y_hat) ** 2).sum(axis=1) / 2


def half_squared_backward(Y_hat, Y, scale):
    """scale (y_hat - y)."""
    return scale * (Y_hat - Y)


def logistic(Z, Y):
    """sum_k log(1 + exp(z_k)) - y_k z_k of each sample."""
    return (np.logaddexp(0, Z) - Y * Z).sum(axis=1)


def logistic_backward(Z, Y, scale):
    """scale (sigmoid(z) - y), with sigmoid(z) = (1 + tanh(z/2)) / 2."""
    return scale * ((1 + np.tanh(Z / 2)) / 2 - Y)


def softmax(Z, Y):
    """-log of the softmax probability of each sample's class."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True, initial=-np.inf))
    return -np.log((P / P.sum(axis=1, keepdims=True))[np.arange(len(Z)), Y[:, 0].astype(int)])


def softmax_backward(Z, Y, scale):
    """scale (softmax(z) - one-hot y)."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True, initial=-np.inf))
    return scale * (P / P.sum(axis=1, keepdims=True) - (np.arange(Z.shape[1]) == Y))


def mix_bits(x):
    """Two rounds of xorshift and multiplication in 32 bits, and a last xorshift."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x45D9F3B)):
        x = (x ^ (x >> shift)) * factor % 2**32
    return x ^ (x >> 16)


def take_words(documents, texts, dropout, key):
    """Ids and counts of each text's entries that word dropout keeps."""
    kept = []
    for text in texts:
        entries = range(documents.offsets[text], documents.offsets[text + 1])
        places = [j for j in entries if mix_bits(mix_bits(j) ^ key) / 2**32 >= dropout]
        kept.append((documents.ids[places], documents.counts[places]))
    return kept


def gather_mean(table, ids, counts, starts, ends):
    """Mean of the embeddings of each text's words, every occurrence written out; 0 for a text without words."""
    means = np.zeros((len(starts), table.shape[1]), table.dtype)
    for b, (start, end) in enumerate(zip(starts, ends, strict=True)):
        words = np.repeat(ids[start:end], counts[start:end])
        if len(words):
            means[b] = table[words].sum(axis=0) / len(words)
    return means


def list_rows(ids, counts, starts, ends):
    """For each id, in order of first occurrence, the texts that it occurs in with its share of their means."""
    found = {}
    for b, (start, end) in enumerate(zip(starts, ends, strict=True)):
        words = counts[start:end].sum()
        for j in range(start, end):
            found.setdefault(ids[j], []).append((b, counts[j] / words))
    return found


def gather_mean_backward(dE, ids, counts, starts, ends, vocabulary_size):
    """Gradient for the whole table: every occurrence of a word in a text of N words adds dE / N to its row."""
    dtable = np.zeros((vocabulary_size, dE.shape[1]), dE.dtype)
    for b, (start, end) in enumerate(zip(starts, ends, strict=True)):
        words = np.repeat(ids[start:end], counts[start:end])
        for word in words:
            dtable[word] += dE[b] / len(words)
    return dtable


def shrink(P, factor):
    """New P after weight decay."""
    return P * factor


def sgd(P, dP, learning_rate):
    """New P after a step of gradient descent."""
    return P - learning_rate * dP


def adagrad(P, dP, S, learning_rate):
    """New P and S after a step of Adagrad."""
    S = S + dP**2
    return P - learning_rate * dP / (np.sqrt(S) + 1e-10), S


def adam(P, dP, M, S, learning_rate, step, eps):
    """New P, M and S after a step of Adam in the form of torch.optim.SparseAdam."""
    M, S = 0.9 * M + 0.1 * dP, 0.999 * S + 0.001 * dP**2
    rate = learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return P - rate * M / (np.sqrt(S) + eps), M, S
