"""What compare.py has the peers do, each a process in their environment: python peers.py PROGRAM ARGUMENT ...

What a program measures itself, it prints as a JSON object. Each imports its peer alone, so that neither pays for the
other when starting up is measured.
"""

import json
import statistics
import sys
import time


def fasttext_train(data: str, model: str, epochs: str, ngrams: str, threads: str, shortest: str, longest: str) -> None:
    """From a text file to a saved model, with mlcore's width of the embedding and else fastText's defaults."""
    import fasttext

    trained = fasttext.train_supervised(
        data, dim=50, epoch=int(epochs), wordNgrams=int(ngrams), thread=int(threads), minn=int(shortest),
        maxn=int(longest), verbose=0,
    )  # fmt: skip
    trained.save_model(model)


def fasttext_predict(model: str, file: str) -> None:
    """Print label and probability of each line of a file."""
    import fasttext

    with open(file, encoding="utf-8") as lines:
        texts = [line.removesuffix("\n") for line in lines]
    for labels, probabilities in zip(*fasttext.load_model(model).predict(texts), strict=True):
        sys.stdout.write(f"{labels[0].removeprefix('__label__')}\t{probabilities[0]:.4f}\n")


def fasttext_accuracy(model: str, file: str) -> None:
    """Print the share of the lines of a fastText file whose label is predicted."""
    import fasttext

    with open(file, encoding="utf-8") as lines:
        labels, texts = zip(*(line.removesuffix("\n").split(" ", 1) for line in lines), strict=True)
    found = fasttext.load_model(model).predict(list(texts))[0]
    right = sum(predicted[0] == label for predicted, label in zip(found, labels, strict=True))
    print(json.dumps({"accuracy": right / len(labels)}))


def torch_train(arrays: str, epochs: str, threads: str) -> None:
    """Train mlcore's network on the texts as mlcore trains on them, in its batches with its optimiser.

    Prints the median of the epochs' seconds. The batches are made beforehand, which is not counted.
    """
    import numpy as np
    import torch

    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    with np.load(arrays) as file:
        ids, offsets, targets, features = (file[name] for name in ("ids", "offsets", "targets", "features"))
    order = np.random.default_rng(1).permutation(len(targets))
    batches = []
    for texts in np.split(order, range(64, len(order), 64)):
        starts = np.concatenate([[0], np.cumsum(np.diff(offsets)[texts])[:-1]])
        words = np.concatenate([ids[offsets[text] : offsets[text + 1]] for text in texts])
        batches.append([torch.from_numpy(array) for array in (words.astype(np.int64), starts, targets[texts])])
    labels = int(targets.max()) + 1
    table = torch.nn.EmbeddingBag(int(features), 50, mode="mean", sparse=True)
    layers = torch.nn.Sequential(
        torch.nn.Linear(50, 32), torch.nn.ReLU(), torch.nn.Linear(32, labels if labels > 2 else 1)
    )
    optimizer = torch.optim.Adagrad([*table.parameters(), *layers.parameters()], lr=0.01)
    of_numbers, of_two = torch.nn.CrossEntropyLoss(), torch.nn.BCEWithLogitsLoss()
    seconds = []
    for _ in range(int(epochs)):
        started = time.perf_counter()
        for words, starts, truth in batches:
            optimizer.zero_grad()
            outputs = layers(table(words, starts))
            (of_numbers(outputs, truth[:, 0].long()) if labels > 2 else of_two(outputs, truth)).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"epoch": statistics.median(seconds)}))


def torch_forward() -> None:
    """The example of ``mlcore forward``: values of the layers and loss."""
    import torch

    x, y = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0])
    W, V = torch.tensor([[1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    z = W @ x
    h = torch.relu(z)
    u = V @ h
    y_hat = torch.relu(u)
    loss = ((y - y_hat) ** 2).sum() / 2
    print(f"z = {z.tolist()}, h = {h.tolist()}, u = {u.tolist()}, y_hat = {y_hat.tolist()}, J = {loss.item()}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
