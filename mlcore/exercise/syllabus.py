"""What exercises can practise; without NumPy, so that the help can list it."""

from typing import NamedTuple

KINKS: dict[str, tuple[str, ...]] = {  # the layers of the units on their kink
    "none": (), "hidden": ("hidden",), "output": ("output",), "both": ("hidden", "output"),
}  # fmt: skip


class Kind(NamedTuple):
    """What an exercise practises: its activations, its loss, and how it is built."""

    hidden: str = "relu"
    output: str = "identity"
    loss: str = "half-squared"
    depth: int = 2
    outputs: int = 1
    has_biases: bool = False
    has_samples: bool = False  # several
    has_penalty: bool = False
    layout: str = "columns"


KINDS = {
    "relu": Kind(output="relu"),
    "leaky-relu": Kind("leaky-relu"),
    "sigmoid": Kind("sigmoid", "sigmoid"),
    "tanh": Kind("tanh"),
    "softplus": Kind("softplus"),
    "softmax": Kind(output="softmax", loss="cross-entropy", outputs=3),
    "binary": Kind(output="sigmoid", loss="binary-cross-entropy"),
    "outputs": Kind(loss="mean-squared", outputs=2),
    "biases": Kind(has_biases=True),
    "batches": Kind(has_samples=True),
    "depth": Kind(depth=3),
    "rows": Kind(has_biases=True, layout="rows"),
    "l2": Kind(has_penalty=True),
}


class Difficulty(NamedTuple):
    """Sizes, and the largest weight."""

    features: int
    hidden: int
    samples: int
    weight: int


DIFFICULTIES = {"easy": Difficulty(2, 2, 2, 2), "medium": Difficulty(3, 2, 2, 3), "hard": Difficulty(4, 3, 3, 3)}
