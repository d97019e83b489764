"""A training between two epochs, saved so that it can go on after a crash to the very same result."""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.arrayfile import Format, load_arrays, save_arrays
from mlcore.sentiment.model import Model, Parameters
from mlcore.sentiment.training import EpochReport, State, out_of_patience

GROUPS = ("best", "parameters", "M", "S")
NOTHING = np.zeros(0, np.float32)  # in place of the moments that an optimiser does not have
CHECKPOINT = Format(
    "mlcore-checkpoint",
    2,
    {f"{group}_{name}": ("<f4",) for group in GROUPS for name in Parameters._fields},
    what="a checkpoint of mlcore",
    writer="train-sentiment --checkpoint",
    remedy="start the training again without --resume",
)


def save_checkpoint(path: Path, classifier: Model, state: State) -> None:
    """Write the state and the best parameters so far beside ``path`` and rename the file."""
    header = {
        "identity": _identity(classifier),
        "learning_rate": state.learning_rate,
        "epoch": state.epoch,
        "step": state.step,
        "reports": [asdict(report) for report in state.reports],
    }
    arrays = {}
    for group, parameters in zip(GROUPS, (classifier.parameters, state.parameters, state.M, state.S), strict=True):
        for name, array in parameters._asdict().items():
            arrays[f"{group}_{name}"] = NOTHING if array is None else array
    save_arrays(path, CHECKPOINT, header, arrays)


def load_checkpoint(path: Path, classifier: Model) -> State:
    """Read the state of a training that began as this classifier's does, and give it the best parameters so far.

    Raises: InputError if the checkpoint is of another training; ModelFileError if the file is none, or damaged;
    OSError if it cannot be read.
    """
    with load_arrays(path, CHECKPOINT) as (header, arrays):
        other = [name for name, value in _identity(classifier).items() if header["identity"].get(name) != value]
        state = None if other else _restore(classifier, header, arrays)
    if state is None:
        raise InputError(
            f"The checkpoint {path} is of another training ({', '.join(other)} differ); resume it with its own options "
            "and data, or leave --resume out to start anew."
        )
    done, settings = state.reports, classifier.settings
    if len(done) > settings.epochs or any(out_of_patience(done[:n], settings.patience) for n in range(len(done))):
        raise InputError(
            f"The checkpoint {path} has {len(done)} epochs, more than --epochs {settings.epochs} and --patience "
            f"{settings.patience} would have made; resume it with its own, or larger ones."
        )
    return state


def _restore(classifier: Model, header: dict, arrays: dict[str, np.ndarray]) -> State:
    state = State.initial(classifier)
    best = classifier.parameters.zeros_like()
    for group, parameters in zip(GROUPS, (best, state.parameters, state.M, state.S), strict=True):
        for name, array in parameters._asdict().items():
            array, found = NOTHING if array is None else array, arrays[f"{group}_{name}"]
            if found.shape != array.shape or not np.isfinite(found).all():
                raise ModelFileError(f"{group}_{name} has another shape, or numbers that are not finite")
            array[:] = found
    state.reports = [EpochReport(**report) for report in header["reports"]]
    state.learning_rate, state.epoch, state.step = (header[name] for name in ("learning_rate", "epoch", "step"))
    if not (type(state.epoch) is int and state.epoch == len(state.reports) and type(state.step) is int):
        raise ModelFileError("its counts of epochs and steps are wrong")
    if not (type(state.learning_rate) is float and 0 < state.learning_rate < math.inf):
        raise ModelFileError("its learning rate is no number above 0")
    classifier.parameters = best
    return state


def _identity(classifier: Model) -> dict:
    """What has to be the same for a training to go on to what it would have been without a break."""
    settings = asdict(classifier.settings)
    for name in ("patience", "half", "epochs")[: 2 if classifier.settings.schedule == "linear" else 3]:
        del settings[name]
    features = classifier.features.words.to_lines().tobytes() + classifier.features.ngrams.keys.tobytes()
    return settings | {
        "labels": list(classifier.labels),
        "data": classifier.provenance.fingerprint,
        "texts": classifier.provenance.texts,  # how many are held out decides which are
        "features": hashlib.sha256(features).hexdigest(),
    }
