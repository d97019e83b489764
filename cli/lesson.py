"""``mlcore grad --model``: exercise 1's view of a trained classifier."""

import json
from dataclasses import asdict
from pathlib import Path

from mlcore.errors import InputError


def is_wanted(model: Path | None, text: str | None, label: str | None, others: dict[str, object]) -> bool:
    """Whether the options ask for a classifier's gradients.

    ``others``: the options that do not go with --model, None where they were not given.

    Raises: InputError if the options do not go together.
    """
    mine = {"--model": model, "--text": text, "--label": label}
    given = [name for name, value in mine.items() if value is not None]
    if not given:
        return False
    foreign = [name for name, value in others.items() if value is not None]
    if foreign:
        raise InputError(f"{foreign[0]} does not go with {given[0]}; expected one of them.")
    missing = [name for name in mine if name not in given]
    if missing:
        raise InputError(f"{given[0]} is given without {' and '.join(missing)}; expected all three.")
    return True


def teach(model: Path, text: str, label: str, relu_at_zero: float, as_json: bool) -> None:
    """Show, or print as JSON, how one text goes through the classifier and its gradients come back."""
    from mlcore.sentiment.backpropagation import lesson
    from mlcore.sentiment.model_file import load_model as load

    from . import lesson_view, render

    with render.compilation():
        classifier = load(model)
        found = lesson(classifier, text, label, relu_at_zero)
    if as_json:
        document = {"schema": "mlcore.grad-model/1", "relu_at_zero": relu_at_zero, "labels": list(classifier.labels)}
        print(json.dumps(document | asdict(found), allow_nan=False, default=lambda array: array.tolist()))
    else:
        lesson_view.lesson(found, classifier, relu_at_zero)
