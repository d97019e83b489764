"""``mlcore train-sentiment``: its options, the training with everything around it, and what it shows."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcore.distributed import preparing
from mlcore.errors import DivergedError, InputError, counted
from mlcore.files import STANDARD_STREAM, check_files, naming
from mlcore.kernels import compiling
from mlcore.sentiment import checkpoint as checkpoints
from mlcore.sentiment import evaluation, explanation, model_file, report, training
from mlcore.sentiment import model as models
from mlcore.sentiment.settings import NEW_MODEL, Settings
from mlcore.text import dataset as datasets
from mlcore.text import growing, table
from mlcore.text import labels as label_names
from mlcore.text.layout import TrainingLayout
from mlcore.text.pool import available_cores

from . import interrupts, render
from .commands import in_words, setting_words
from .dataset import connected, read
from .evaluation import show_evaluation, show_strongest_words
from .explanation import given_vectors, say_coverage
from .options import Data, Files, GivenVectors, Json, NewModel, Scheduler, flag, option, parse_file, parse_path
from .output import MODEL, print_json
from .printable import printable

LOG = b'{"schema": "mlcore.log/'  # how such a file begins
HELD_OUT = "Texts or fraction to hold out, for choosing the best epoch."
SHARDS = "With a scheduler: parts of the texts that are trained on at a time, at most one for each file."
THREADS = "Use at most so many CPU threads (does not change the model)."


def held_out(text: str) -> Path | float:
    """The path or the fraction that ``--dev`` gives."""
    try:
        return float(text)
    except ValueError:
        return parse_path(text)


# fmt: off
def train_sentiment(
    *,
    files: Files = None,
    data: Data = None,
    dev: Annotated[Any, option("PATH|FRACTION", HELD_OUT, default="the data's dev split, or 0.1",
                               parser=held_out)] = None,
    test: Annotated[float | None, option("FRACTION", "Texts to test on at the end.",
                                         default="the data's test split")] = None,
    layout: TrainingLayout,
    vectors: GivenVectors = None,
    warm_start: Annotated[Path | None, option("PATH", "Start from this model, and keep its words.")] = None,
    settings: Settings,
    threads: Annotated[int | None, typer.Option(min=1, help=THREADS, show_default="all cores")] = None,
    model: NewModel = NEW_MODEL,
    checkpoint: Annotated[Path | None, option("PATH", "Save the training here each epoch.", parser=parse_file)] = None,
    resume: Annotated[bool, flag("Resume from the checkpoint if there is one.", "--resume")] = False,
    scheduler: Scheduler = None,
    replicas: Annotated[int | None, option("N", SHARDS, default="one for every 2 million words, up to 64",
                                           min=1)] = None,
    log: Annotated[Path | None, option("PATH", "Write one line of JSON per epoch here.", parser=parse_file)] = None,
    as_json: Json = False,
    quiet: Annotated[bool, flag("Print warnings and errors only.", "--quiet", "-q")] = False,
) -> None:
    # fmt: on
    """Example: mlcore train-sentiment --data reviews.csv --ngrams 2

    Train the network embedding -> mean -> dense ReLU -> dense on labelled
    texts, and save the best epoch. Two labels give one logit, more give a
    softmax; use --loss squared to predict numeric ratings. A split named dev
    in the data is held out, and one named test is evaluated at the end.
    Ctrl-C keeps the best epoch.
    """
    data = [*(files or []), *(data or [])]
    of_shards = scheduler and (vectors or isinstance(dev, Path))
    for is_wrong, problem in (
        (warm_start and vectors, "--warm-start and --vectors both set the embeddings to start from; choose one."),
        (resume and not checkpoint, "--resume also needs --checkpoint, the file to resume from."),
        (replicas and not scheduler, "--replicas also needs --scheduler, such as local:2."),
        (scheduler and not data, "--scheduler also needs --data: files that all workers can read."),
        (scheduler and STANDARD_STREAM in data, "--scheduler needs files that all workers can read, and not -."),
        (of_shards, "--scheduler takes a fraction as --dev, or a split in the data, and no --vectors."),
    ):
        if is_wrong:
            raise InputError(problem)
    local = () if scheduler else data  # of shards, paths may be patterns or URLs
    paths = (path for path in (*local, dev, vectors, warm_start) if isinstance(path, Path))
    check_files(paths, model=(model, MODEL), checkpoint=(checkpoint, MODEL), log=(log, LOG))
    given = {"data": data, "dev": dev, "test": test, **asdict(layout), "vectors": vectors, "warm_start": warm_start}
    inputs, threads = given | {"replicas": replicas}, threads or available_cores()
    Run(inputs, layout, settings, threads, model, scheduler, checkpoint, resume, log, as_json, quiet).train()


@dataclass
class Run:
    """A training on its way: what is trained on and written, and what has been made so far."""

    inputs: dict[str, Any]  # options by their names, for the model's provenance
    layout: TrainingLayout
    settings: Settings
    threads: int
    path: Path  # of the model
    scheduler: str | None = None
    checkpoint: Path | None = None
    resume: bool = False
    log: Path | None = None
    as_json: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        self.as_text = not (self.as_json or self.quiet)  # whether results are told to people
        self.bar = render.Activity("", self.quiet)
        self.unwritten: OSError | None = None  # of standard output
        self.done = f"{'Replaced' if self.path.exists() else 'Wrote'} {self.path}."
        self.saved = False  # whether there is a model
        self.dev: evaluation.AnyEvaluation | None = None

    def train(self) -> None:
        """Train, show the progress, and save the best epoch, whatever happens on the way."""
        growing.use_one_heap()
        path, failure = printable(str(self.path)), None
        interrupts.end_at_once(f" before the end of the first epoch; {path} was not written")
        try:
            self.make_models()
        except KeyboardInterrupt:
            pass
        except DivergedError as error:
            if not self.saved:
                raise
            render.say(f"mlcore: {in_words(error)}")  # of the training on all texts
        except (OSError, MemoryError) as error:
            if not self.saved:
                raise
            failure = error
        self.show_results()
        if failure:
            raise failure
        if interrupts.received:
            raise typer.Exit(interrupts.exit_code())
        if self.as_text:
            text = "TEXT" if self.inputs["data"] else '"A wonderful film."'
            render.say(f"Next: mlcore predict {path} {text}\n  or: mlcore evaluate {path} DATA")
        if self.unwritten:
            raise self.unwritten

    def make_models(self) -> None:
        """From the files to the models that are saved."""
        log = self.log or Path(os.devnull)
        with ExitStack() as stack, self.bar:
            cluster = stack.enter_context(connected(self.scheduler, self.quiet)) if self.scheduler else None
            with ExitStack() as compiled:
                if not cluster and available_cores() > 1:
                    kernels, optimizer = training.compile_kernels, self.settings.optimizer
                    compiled.enter_context(compiling.compiling_ahead(kernels, optimizer, self.compile_scoring))
                self.training = self.prepare(cluster)
            model, self.epochs = self.training.model, self.training.settings.epochs
            state = self.resumed()
            stack.enter_context(naming(log))
            self.log_file = stack.enter_context(open(log, "a" if state else "w", 1, encoding="utf-8"))
            if not state:
                self.write_line({"settings": asdict(model.settings), "inputs": model.provenance.inputs})
            self.show(show_network, self.training.data, model)
            for epoch in state.reports if state else ():
                interrupts.defer()  # from now on a signal leaves a model
                self.show(render.show, training.row(model, epoch))
            self.training.run(self.progress, state, self.on_epoch, self.on_model)

    def prepare(self, cluster: Any) -> "training.Training":
        """Read everything, count the words, and initialize the model."""
        inputs, threads, dev, given, quiet = self.inputs, self.threads, self.inputs["dev"], self.settings, self.quiet
        earlier = model_file.load_model(inputs["warm_start"]) if inputs["warm_start"] else None
        dataset = read(inputs["data"], self.layout, quiet, False, threads, cluster, inputs["replicas"])
        inputs |= dataset.notes.columns  # so that the model knows them, too
        if inputs["test"] is not None:
            dataset = datasets.with_test_split(dataset, inputs["test"], given.seed)
        if dataset.several_labels and not given.multi_label and given.loss == "logistic":
            render.say("Some texts have several labels or none: each label gets a logistic output (--multi-label).")
            given = replace(given, multi_label=True)
        if isinstance(dev, Path):
            dataset, dev = datasets.with_held_out(dataset, read([dev], self.layout, quiet, threads=threads)), None
        with render.Activity("Counting words", quiet):
            encode: Any = preparing.encode_shards if cluster else datasets.encode
            read_vectors = partial(given_vectors, inputs["vectors"], quiet=quiet) if inputs["vectors"] else None
            started = training.Training(
                dataset, given, dev, threads, earlier=earlier, encode=encode, read_vectors=read_vectors
            )
        data = started.data
        for warning in data.warnings[len(dataset.notes.sentences()) :]:  # those of reading have been said
            render.say(f"mlcore: {in_words(warning)}")
        del dataset  # as large as the encoded data
        if started.vectors:
            say_coverage(started.vectors, started.vectors.coverage(data.feature_counts), quiet)
        chosen = {name: value for name, value in inputs.items() if value or isinstance(value, float)}  # also --dev 0
        named = {name: [*map(str, value)] if isinstance(value, list) else str(value) for name, value in chosen.items()}
        started.begin(named)
        return started

    def compile_scoring(self) -> None:
        """Compile what scores texts, while another process compiles what trains on them."""
        data = self.training.data.train
        self.bar.update("Compiling the kernels of training steps")
        self.training.model.logits(data.documents, data.rows[:1])

    def resumed(self) -> "training.State | None":
        """The training in the checkpoint, if it is to be resumed; says what becomes of the file."""
        state, said = None, f"{self.checkpoint} does not exist yet: starting from the beginning." * self.resume
        if self.checkpoint and self.checkpoint.exists():
            said = f"{self.checkpoint} exists and will be replaced; to resume from it, add --resume."
            if self.resume:
                state = checkpoints.load_checkpoint(self.checkpoint, self.training.model)
                said = f"Resuming after epoch {len(state.reports)} from {self.checkpoint}."
        if said and not self.quiet:
            render.say(said)
        return state

    def write_line(self, entry: dict[str, Any]) -> None:
        """Write a line of the log."""
        print(json.dumps({"schema": "mlcore.log/1"} | entry, allow_nan=False), file=self.log_file)

    def show(self, view: Callable[..., None], *arguments: object) -> None:
        """Call a view, without the progress below it, unless results are for programs; survive a closed pipe."""
        if self.as_text:
            self.bar.clear()
            try:
                view(*arguments)
                sys.stdout.flush()
            except OSError as error:
                self.unwritten = error

    def progress(self, state: "training.Progress") -> None:
        """Show how far an epoch is, and end it after a signal."""
        if interrupts.received:
            raise KeyboardInterrupt
        rate, left = state.features / state.seconds / 1e6, self.epochs - state.epoch + 1 - state.share
        self.bar.update(
            f"epoch {state.epoch}/{self.epochs}, {state.share:.0%}: loss {state.loss:.4f}  {rate:.1f} M features/s, "
            f"{left * state.seconds / state.share:.0f} s left"
        )

    def on_epoch(self, report: "training.EpochReport", state: "training.State") -> None:
        """Write what an epoch leaves, and show it."""
        interrupts.defer()  # from now on a signal leaves a model
        if report.warning:
            render.say(f"mlcore: {report.warning}.")
        self.write_line(asdict(report))  # first: after a crash, an epoch is in the log twice rather than never
        if self.checkpoint:
            checkpoints.save_checkpoint(self.checkpoint, self.training.model, state)
        self.show(render.show, training.row(self.training.model, report))

    def on_model(self, model: "models.Model") -> None:
        """Save the model of the best epoch, and the one that is trained on all texts then."""
        self.bar.clear()
        self.epochs = training.best_epoch(self.training.reports)  # of the training on all texts
        model_file.save_model(model, self.path)
        self.saved = True
        interrupts.end_at_once(f"; the model is in {printable(str(self.path))}")
        if self.training.data.dev and self.dev is None:  # that of the best epoch
            self.dev = evaluation.evaluate(model, self.training.data.dev, self.threads)

    def show_results(self) -> None:
        """Say what was written, and show the figures."""
        interrupted, reports = bool(interrupts.received), self.training.reports
        if interrupted:
            epoch, best = min(len(reports) + 1, self.training.settings.epochs), training.best_epoch(reports)
            said = f"{interrupts.word()} in epoch {epoch}; the best epoch so far, {best}, is in {self.path}."
            self.done = f"mlcore: {said}"
        if interrupted or self.as_text:
            render.say(self.done)
        result = self.training.result(self.dev, str(self.path), interrupted)
        self.show(show_results, result, self.training.model, self.training.data)
        if self.as_json:
            print_json("train-sentiment", result)


# Tables -----------------------------------------------------------------------------------------------------


def show_network(data: "datasets.EncodedDataset", model: "models.Model") -> None:
    """The three formulas with shapes, what is trained on, and the head of the table of epochs."""
    settings, labels = model.settings, model.labels
    texts = ", ".join(f"{table.SPLITS[name]} {n:,}" for name, n in data.sizes.items() if n)
    render.show(report.describe(model).formulas)
    render.show(f"{model.n_parameters:,} parameters")
    if model.provenance.chosen:
        chosen = (setting_words(name, getattr(settings, name)) for name in model.provenance.chosen)
        render.paragraph(f"Chosen for these texts: {' '.join(chosen)}")
    if len(model.parameters.b2) > 1:
        render.paragraph(f"Labels: {label_names.listed(labels)}.")
    render.show(f"Texts: {texts}.\n")
    render.show(training.heading(model), "bold")


def show_results(result: "training.TrainingResult", model: "models.Model", data: "datasets.EncodedDataset") -> None:
    """Figures of the held-out and the test texts, and the strongest words."""
    is_cooled = result.calibration.get("temperature", 1) != 1
    of_epoch = f"Held-out texts, epoch {result.best_epoch}{', calibrated' * is_cooled}"  # unlike the losses of epochs
    for title, figures in ((of_epoch, result.dev), ("Test texts", result.test)):
        if figures:
            show_evaluation(f"\n{title}", figures, brief=True)
    if found := result.calibration:
        cooled = ", or {error_after:.3f} with the logits divided by {temperature:.2f}" * is_cooled
        render.paragraph(f"\nCalibration error on the held-out texts: {{error_before:.3f}}{cooled}.".format(**found))
    if result.refit:
        epochs = counted(result.best_epoch, "epoch")
        render.paragraph(f"The saved model was then trained on the held-out texts too, for {epochs}.")
    show_strongest_words(explanation.strongest_words(model, data.feature_counts, 10, 10), model.labels)
    for i, note in enumerate(result.notes[len(data.warnings) :]):  # those have been shown
        render.paragraph("\n" * (not i) + f"Note: {in_words(note)}", "yellow")
