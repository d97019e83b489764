"""Write golden.npz: trajectories of the network of exercise 5 in PyTorch, for test_parity.py.

Run with PyTorch installed (2.13.0 was used): python tests/parity/make_golden.py
"""

from pathlib import Path

import numpy as np
import torch

WORDS, DIM, HIDDEN, BATCH, STEPS = 30, 5, 4, 6, 25
RATES = {"sgd": 0.5, "adagrad": 0.1, "adam": 0.02}


def make_batches(random: np.random.Generator) -> list[tuple[list[list[int]], np.ndarray]]:
    """Batches of texts with repeated words, one-word texts and, in every batch, an empty text."""
    batches = []
    for _ in range(STEPS):
        texts = [random.integers(0, WORDS, length).tolist() for length in [0, 1, *random.integers(2, 15, BATCH - 2)]]
        texts[-1] += texts[-1][:3] * 2
        batches.append((texts, random.integers(0, 2, (BATCH, 1)).astype(np.float32)))
    return batches


class Network(torch.nn.Module):
    """EmbeddingBag(mean) -> Linear -> ReLU -> Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.EmbeddingBag(WORDS, DIM, mode="mean", sparse=True)
        self.hidden = torch.nn.Linear(DIM, HIDDEN)
        self.output = torch.nn.Linear(HIDDEN, 1)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return self.output(torch.relu(self.hidden(self.table(ids, offsets))))

    def arrays(self) -> dict[str, np.ndarray]:
        names = dict(zip(("table", "W1", "b1", "W2", "b2"), self.parameters(), strict=True))
        return {name: value.detach().numpy().copy() for name, value in names.items()}


def make_optimizers(name: str, network: Network) -> list[torch.optim.Optimizer]:
    rate = RATES[name]
    if name == "sgd":
        return [torch.optim.SGD(network.parameters(), rate)]
    if name == "adagrad":
        return [torch.optim.Adagrad(network.parameters(), rate)]
    dense = [*network.hidden.parameters(), *network.output.parameters()]
    return [torch.optim.SparseAdam(network.table.parameters(), rate), torch.optim.Adam(dense, rate)]


def main() -> None:
    random = np.random.default_rng(5)
    batches = make_batches(random)
    texts = [text for batch, _ in batches for text in batch]
    golden = {
        "tokens": np.array([word for text in texts for word in text], np.int32),
        "offsets": np.concatenate([[0], np.cumsum([len(text) for text in texts])]),
        "targets": np.concatenate([targets for _, targets in batches]),
    }
    for name in RATES:
        torch.manual_seed(5)
        network = Network()
        optimizers = make_optimizers(name, network)
        losses = []
        for key, array in network.arrays().items():
            golden[f"{name}.start.{key}"] = array
        for batch, targets in batches:
            ids = torch.tensor([word for text in batch for word in text])
            offsets = torch.tensor(np.concatenate([[0], np.cumsum([len(text) for text in batch])[:-1]]).astype(int))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(ids, offsets), torch.tensor(targets), reduction="none"
            )
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.mean().backward()
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.detach().numpy()[:, 0])
            for key, array in network.arrays().items():
                golden.setdefault(f"{name}.steps.{key}", []).append(array)
        golden[f"{name}.losses"] = np.concatenate(losses)
    np.savez_compressed(
        Path(__file__).with_name("golden.npz"), **{key: np.asarray(value) for key, value in golden.items()}
    )


if __name__ == "__main__":
    main()
