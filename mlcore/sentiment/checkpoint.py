"""A training between two epochs, saved so that it can go on after a crash to exactly the same result."""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import InputError, counted
from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import Format, check_tensors, load_tensors, require, save_tensors
from mlcore.sentiment.training import EpochReport, State, out_of_patience

CHECKPOINT = Format("mlcore-checkpoint", (5,), "a checkpoint of mlcore", "start the training again without it")


def save_checkpoint(path: Path, model: Model, state: State) -> None:
    """Write the state and the best parameters so far beside ``path`` and rename the file."""
    header = {
        "identity": _identity(model), "learning_rate": state.learning_rate, "step": state.step,
        "reports": [asdict(report) for report in state.reports],
    }  # fmt: skip
    save_tensors(path, CHECKPOINT, header, _tensors(model.parameters, state))


def load_checkpoint(path: Path, model: Model) -> State:
    """Read the state of a training that began as this model's does, and give it the best parameters so far.

    Raises: InputError if the checkpoint is of another training; ModelFileError if the file is not a checkpoint, or
    damaged; OSError if it cannot be read.
    """
    with load_tensors(path, CHECKPOINT) as (header, tensors):
        different = [name for name, value in _identity(model).items() if header["identity"].get(name) != value]
        if not different:
            state, settings = State.initial(model), model.settings
            best = Parameters.zeros(len(model.features), settings.dim, settings.hidden, len(model.parameters.b2))
            arrays = _tensors(best, state)
            expected = {name: ("float32", array.shape) for name, array in arrays.items()}
            check_tensors(tensors, expected, float(np.finfo(np.float32).max))
            for name, array in arrays.items():
                array[:] = tensors[name]
            state.reports = [EpochReport(**report) for report in header["reports"]]
            state.learning_rate, state.step = header["learning_rate"], header["step"]
            valid = type(state.step) is int and 0 < state.learning_rate < math.inf
            require(valid, "its learning rate is not a number above 0, or its step is not a whole number")
            model.parameters = best
    if different:
        raise InputError(
            f"The checkpoint {path} belongs to another training ({', '.join(different)} differ); resume it with its "
            "own settings and data, or start a new training without resuming."
        )
    done, settings, most = state.reports, model.settings, counted(model.settings.epochs, "epoch")
    if len(done) > settings.epochs or any(out_of_patience(done[:n], settings.patience) for n in range(len(done))):
        raise InputError(
            f"The checkpoint {path} already has {counted(len(done), 'epoch')}, more than {most} with a patience "
            f"of {settings.patience} allow; resume it with larger values."
        )
    return state


def _tensors(best: Parameters, state: State) -> dict[str, np.ndarray]:
    """All arrays of a training by their names in the file."""
    return state.arrays() | {f"best_{name}": array for name, array in best._asdict().items()}


def _identity(model: Model) -> dict[str, Any]:
    """What has to be equal for a training to be resumed."""
    words, pieces = model.features.words.to_lines(), model.features.pieces.table.to_lines()
    features = words.tobytes() + model.features.ngrams.tobytes() + pieces.tobytes()
    return model.settings.identity() | {
        "labels": list(model.labels),
        "data": model.provenance.fingerprint,
        "texts": model.provenance.texts,  # their numbers decide which ones are held out
        "features": hashlib.sha256(features).hexdigest(),
    }
