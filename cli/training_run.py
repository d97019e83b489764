"""A training from the command line: what is read, shown, interrupted, logged and saved."""

import errno
import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import typer

from mlcore.errors import DivergedError, InputError
from mlcore.files import check_writable
from mlcore.sentiment.checkpoint import load_checkpoint, save_checkpoint
from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.initialization import continue_from, new_classifier
from mlcore.sentiment.model import Model, Provenance
from mlcore.sentiment.model_file import load, save
from mlcore.sentiment.settings import encoding
from mlcore.sentiment.training import EpochReport, Progress, State, available_cores, fit, history, warm_up
from mlcore.text.dataset import built_in_dataset, encode
from mlcore.text.readers import STANDARD_INPUT
from mlcore.text.vectors import Vectors

from . import render, training_view
from .dataset import read
from .prediction import evaluation_document
from .vectors import check_readable, coverage_sentence, given_vectors

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import Evaluation
    from mlcore.sentiment.settings import Settings


FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
LOG_SCHEMA = "mlcore.log/1"
LOG_START = b'{"schema": "mlcore.log/'


class Prepared(NamedTuple):
    data: object
    fingerprints: list[str]


class Inputs(NamedTuple):
    """What a training reads, as it was typed."""

    data: list[Path]  # none: the built-in corpus
    dev: str | None
    format: str | None
    text_column: str | None
    label_column: str | None
    vectors: Path | None
    init: Path | None
    cached: bool  # whether what is read may be kept for the next time, and taken from there

    def held_out_fraction(self) -> float | None:
        """The fraction that ``--dev`` gives, None if it is a path."""
        try:
            # a plain number first: Fraction would write 1e999999999 out
            fraction = None if self.dev is None else float(Fraction(self.dev) if "/" in self.dev else self.dev)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        if fraction is not None and not 0 <= fraction < 1:
            raise InputError(f"dev is {self.dev}; expected a fraction from 0 to less than 1, or a path.")
        return fraction

    def paths(self) -> list[Path]:
        """All files and folders that are read."""
        dev = [Path(self.dev)] if self.dev and self.held_out_fraction() is None else []
        return [path for path in (*self.data, *dev, self.vectors, self.init) if path not in (None, STANDARD_INPUT)]

    def as_options(self) -> dict[str, str | list[str]]:
        """Option names and values, for the command that makes the same training again."""
        given = self._replace(data=[str(path) for path in self.data])._asdict()
        del given["cached"]  # which changes no result
        return {
            name: value if isinstance(value, list) else str(value)
            for name, value in given.items()
            if value not in (None, [])
        }


class Outputs(NamedTuple):
    """What a training writes."""

    model: Path
    checkpoint: Path | None
    resume: bool
    log: Path | None

    def check(self, inputs: Inputs) -> None:
        """Find out before any work whether all can be written without overwriting what is read or each other.

        Raises: InputError or OSError.
        """
        read = [str(path) for path in (*inputs.data, inputs.dev, inputs.vectors, inputs.init) if path is not None]
        if read.count("-") > 1:
            raise InputError("Standard input, -, is given twice; it can be read once.")
        named = {"model": self.model, "checkpoint": self.checkpoint, "log": self.log}
        taken = {path.resolve(): "is read" for path in inputs.paths()}
        for name, path in named.items():
            if path is None:
                continue
            if path.resolve() in taken or any(_same_file(path, other) for other in inputs.paths()):
                use = taken.get(path.resolve(), "is read")
                raise InputError(f"{name} is {path}, which {use}; expected another path.")
            taken[path.resolve()] = f"is the {name}"
            check_writable(path)
        if self.log and self.log.exists() and not self.resume:
            with open(self.log, "rb") as file:
                if file.read(len(LOG_START)) not in (b"", LOG_START):
                    raise InputError(f"log is {self.log}, which is there and no log; expected another path.")


def _same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


class Run:
    """One training: ``go`` does all of it."""

    def __init__(
        self, inputs: Inputs, settings: "Settings", outputs: Outputs, threads: int | None, as_json: bool, quiet: bool
    ) -> None:
        self.inputs, self.settings, self.outputs = inputs, settings, outputs
        self.threads = threads or available_cores()
        self.as_json, self.quiet = as_json, quiet
        self.shown = render.Shown(not (quiet or as_json))
        self.reports: list[EpochReport] = []
        self.interrupted = False

    def go(self) -> None:
        """Train, show how it goes, and save the best epoch, whatever happens on the way."""
        self.inputs.held_out_fraction()
        self.outputs.check(self.inputs)
        if self.inputs.vectors:
            check_readable(self.inputs.vectors)
        interrupt = _RememberedInterrupt()
        try:
            self._prepare()
            self._train(interrupt)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough: what follows saves what there is, and ends
            self.interrupted = True
        except DivergedError as error:
            if not self.reports:
                raise
            render.say(f"mlcore: {error}")
        if not self.reports:
            render.say(
                "mlcore: interrupted before the end of the first epoch: there is nothing to keep, "
                f"{self.outputs.model} is as it was."
            )
            raise typer.Exit(130)
        self._save()
        self._show_results()
        if self.interrupted:
            raise typer.Exit(130)
        if not self.quiet:
            render.say(f'Next: mlcore predict {self.outputs.model} "A wonderful film."')
            render.say(f"  or: mlcore evaluate {self.outputs.model} DATA")
        self.shown.complain()

    def _prepare(self) -> None:
        """Read what is to be read, compile what is to be compiled, count the words, and make a start."""
        for path in self.inputs.paths():
            path.stat()  # a mistyped one should not wait for the compiler
        earlier = load(self.inputs.init) if self.inputs.init else None
        with render.compilation(self.quiet):
            warm_up(self.settings.optimizer)
        self.data, read = self._prepared(earlier)
        given = self._vectors()
        self.classifier = new_classifier(self.data, self.settings, given, self.threads)
        if earlier:
            continue_from(self.classifier, earlier)
        read += [given.fingerprint()] if given else []
        read += [hashlib.sha256(array.tobytes()).hexdigest() for array in (earlier.parameters if earlier else ())]
        self.classifier.provenance = Provenance(
            self.inputs.as_options(),
            read[0] if len(read) == 1 else hashlib.sha256("".join(read).encode()).hexdigest(),
            self.data.sizes,
        )

    def _prepared(self, earlier: Model | None) -> Prepared:
        """Read and encode the dataset."""
        inputs, paths = self.inputs, self.inputs.data or [built_in_dataset()]
        dev = inputs.held_out_fraction()
        columns = inputs.format, inputs.text_column, inputs.label_column
        dataset = read(paths, *columns, self.quiet, threads=self.threads)
        fingerprints = [dataset.fingerprint]
        if inputs.dev is not None and dev is None:
            dev = read([Path(inputs.dev)], *columns, self.quiet, threads=self.threads)
            fingerprints.append(dev.fingerprint)
        with render.Activity("Counting words", self.quiet):
            known, options = earlier and earlier.features, encoding(self.settings)
            return Prepared(encode(dataset, dev, **options, known=known, threads=self.threads), fingerprints)

    def _vectors(self) -> Vectors | None:
        if self.inputs.vectors is None:
            return None
        given = given_vectors(self.inputs.vectors, self.data.features.words, self.settings.dim, self.quiet)
        self._say(coverage_sentence(given.source, given.coverage(self.data.feature_counts), given.duplicates))
        return given

    def _train(self, interrupt: "_RememberedInterrupt") -> None:
        state = self._start_or_resume()
        self.reports = state.reports
        self.shown(training_view.network, self.data, self.classifier)
        for report in self.reports:
            self.shown(training_view.epoch_row, report, self.classifier)
        bar = render.TrainingBar(self.settings.epochs, self.quiet)

        def progress(progressed: Progress) -> None:
            interrupt.check()
            bar.update(progressed)

        epochs = fit(self.classifier, self.data.train, self.data.dev, self.threads, progress, state)
        with bar, closing(epochs):
            for report in epochs:
                bar.clear()
                if report.restarts:
                    render.say(
                        f"mlcore: epoch {report.epoch} diverged and was taken back; the learning rate is now "
                        f"{report.learning_rate:g}."
                    )
                with interrupt.held():
                    self._log(asdict(report))  # first: after a crash, an epoch is in the log twice rather than never
                    if self.outputs.checkpoint:
                        save_checkpoint(self.outputs.checkpoint, self.classifier, state)
                self.shown(training_view.epoch_row, report, self.classifier)

    def _start_or_resume(self) -> State:
        checkpoint, resume = self.outputs.checkpoint, self.outputs.resume
        if checkpoint and checkpoint.exists():
            if resume:
                state = load_checkpoint(checkpoint, self.classifier)
                self._say(f"Going on after epoch {state.epoch}, from {checkpoint}.")
                return state
            self._say(f"{checkpoint} is there already and will be replaced; --resume would go on from it.")
        elif resume:
            self._say(f"There is no {checkpoint} yet: starting from the beginning.")
        if self.outputs.log:
            self.outputs.log.write_text("")
        self._log({"settings": asdict(self.settings), "inputs": self.classifier.provenance.inputs})
        return State.initial(self.classifier, self.threads)

    def _log(self, entry: dict) -> None:
        if self.outputs.log:
            with open(self.outputs.log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"schema": LOG_SCHEMA} | entry, allow_nan=False) + "\n")

    def _say(self, message: str) -> None:
        if not self.quiet:
            render.say(message)

    @property
    def _best(self) -> EpochReport:
        return [report for report in self.reports if report.best][-1]

    def _save(self) -> None:
        model = self.outputs.model
        verb = "Replaced" if model.exists() else "Wrote"
        if self.settings.half:
            self._round()
        self.classifier.provenance.history = history(self.reports)
        with _uninterrupted():
            save(self.classifier, model)
            if self.interrupted:
                epoch = min(len(self.reports) + 1, self.settings.epochs)
                render.say(
                    f"mlcore: interrupted in epoch {epoch}: the best epoch so far, {self._best.epoch}, is in {model}."
                )
            else:
                self._say(f"{verb} {model}.")

    def _round(self) -> None:
        """Make the embedding what 16 bits can hold, so that all figures are those of the model in the file."""
        table = self.classifier.parameters.table
        if np.abs(table).max(initial=0) > np.finfo(np.float16).max:
            render.say("mlcore: the embedding has numbers that are too large for 16 bits; it is saved in 32.")
            self.classifier.settings = replace(self.settings, half=False)
        else:
            table[:] = table.astype(np.float16)

    def _show_results(self) -> None:
        parts = {"dev": self.data.dev, "test": self.data.test}
        results = {
            name: evaluate(self.classifier, part, self.threads) if part else None for name, part in parts.items()
        }
        self.shown(training_view.results, self._best, results, self.classifier, self.data)
        if self.as_json:
            print(json.dumps(self._document(results), allow_nan=False))

    def _document(self, results: "dict[str, Evaluation | None]") -> dict:
        return {
            "schema": "mlcore.train-sentiment/1",
            "settings": asdict(self.settings),
            "inputs": self.classifier.provenance.inputs,
            "labels": list(self.classifier.labels),
            "texts": self.classifier.provenance.texts,
            "features": len(self.classifier.features),
            "parameters": self.classifier.n_parameters,
            "epochs": [asdict(report) for report in self.reports],
            "best_epoch": self._best.epoch,
            **{name: evaluation_document(result) if result else None for name, result in results.items()},
            "interrupted": self.interrupted,
            "model": str(self.outputs.model),
        }


class _RememberedInterrupt:
    """Ctrl-C that cannot get lost: Python drops a KeyboardInterrupt that is raised in a callback of the compiler or
    of the garbage collector, so that it is raised again at the next ``check``.
    """

    def __init__(self) -> None:
        self._pressed = self._held = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *_: object) -> None:
        self._pressed = True
        if not self._held:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave Ctrl-C for the end of what is written."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed at any time."""
        if self._pressed:
            raise KeyboardInterrupt


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Take no Ctrl-C, while the last thing is written."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
