"""A training between two epochs, saved so that it can go on after a crash to exactly the same result."""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import Format, load_tensors, save_tensors
from mlcore.sentiment.training import EpochReport, State, out_of_patience

NOTHING = np.zeros(0, np.float32)  # in place of the moments that an optimizer does not have
GROUPS, LAYERS = ("best", "parameters", "M", "S"), Parameters._fields[1:]
CHECKPOINT = Format(
    "mlcore-checkpoint",
    3,
    dict.fromkeys(("best_table", "rows", *(f"{group}_{name}" for group in GROUPS for name in LAYERS)), ("float32",)),
    description="a checkpoint of mlcore",
    remedy="start the training again without it",
)


def save_checkpoint(path: Path, model: Model, state: State) -> None:
    """Write the state and the best parameters so far beside ``path`` and rename the file."""
    header = {
        "identity": _identity(model),
        "learning_rate": state.learning_rate,
        "epoch": state.epoch,
        "step": state.step,
        "reports": [asdict(report) for report in state.reports],
    }
    save_tensors(path, CHECKPOINT, header, _named(model.parameters, state))


def load_checkpoint(path: Path, model: Model) -> State:
    """Read the state of a training that began as this model's does, and give it the best parameters so far.

    Raises: InputError if the checkpoint is of another training; ModelFileError if the file is not a checkpoint, or
    damaged; OSError if it cannot be read.
    """
    with load_tensors(path, CHECKPOINT) as (header, tensors):
        different = [name for name, value in _identity(model).items() if header["identity"].get(name) != value]
        state = None if different else _restore(model, header, tensors)
    if state is None:
        raise InputError(
            f"The checkpoint {path} belongs to another training ({', '.join(different)} differ); resume it with its "
            "own settings and data, or start a new training without resuming."
        )
    done, settings = state.reports, model.settings
    if len(done) > settings.epochs or any(out_of_patience(done[:n], settings.patience) for n in range(len(done))):
        raise InputError(
            f"The checkpoint {path} already has {len(done)} epochs, more than {settings.epochs} epochs with a patience "
            f"of {settings.patience} allow; resume it with larger values."
        )
    return state


def _named(best: Parameters, state: State) -> dict[str, np.ndarray]:
    """All arrays of a training by their names in the file."""
    layers = {
        f"{group}_{name}": NOTHING if array is None else array
        for group, parameters in zip(GROUPS, (best, state.parameters, state.M, state.S), strict=True)
        for name, array in zip(LAYERS, parameters[1:], strict=True)
    }
    return {"best_table": best.table, "rows": state.rows, **layers}  # the rows hold the tables and their moments


def _restore(model: Model, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> State:
    state, best = State.initial(model), model.parameters.zeros_like()
    for name, array in _named(best, state).items():
        if tensors[name].shape != array.shape or not np.isfinite(tensors[name]).all():
            raise ModelFileError(f"{name} has another shape, or numbers that are not finite")
        array[:] = tensors[name]
    state.reports = [EpochReport(**report) for report in header["reports"]]
    state.learning_rate, state.epoch, state.step = (header[name] for name in ("learning_rate", "epoch", "step"))
    if not (type(state.epoch) is int and state.epoch == len(state.reports) and type(state.step) is int):
        raise ModelFileError("its counts of epochs and steps are wrong")
    if not (type(state.learning_rate) is float and 0 < state.learning_rate < math.inf):
        raise ModelFileError("its learning rate is not a number above 0")
    model.parameters = best
    return state


def _identity(model: Model) -> dict[str, Any]:
    """What has to be equal for a training to be resumed."""
    features = model.features.words.to_lines().tobytes() + model.features.ngrams.keys.tobytes()
    return model.settings.identity() | {
        "labels": list(model.labels),
        "data": model.provenance.fingerprint,
        "texts": model.provenance.texts,  # their numbers decide which ones are held out
        "features": hashlib.sha256(features).hexdigest(),
    }
