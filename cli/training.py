"""``mlcore train-sentiment``: its options, the training with everything around it, and what it shows."""

import inspect
import json
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import Field, asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import DivergedError, InputError
from mlcore.files import check_outputs
from mlcore.sentiment.settings import FIELDS, Settings
from mlcore.text.pool import available_cores

from .dataset import Format, LabelColumn, TextColumn, data_path, read
from .output import Json, print_json

if TYPE_CHECKING:
    from mlcore.sentiment.model import Model
    from mlcore.sentiment.training import EpochReport, State, TrainingResult
    from mlcore.text.dataset import EncodedDataset

PANELS = ("Data", "Text", "Network", "Training", "Output")
LOG_SCHEMA = "mlcore.log/1"
MARKS = {"model": b'"mlcore"', "checkpoint": b'"mlcore"', "log": b'{"schema": "mlcore.log/'}  # how files begin
KINDS = {1: "words", 2: "words and pairs", 3: "words, pairs and triples"}


def setting_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a command with ``**settings``: give it an option for each of these settings (default: all)."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature, panel = inspect.signature(command), PANELS[0]
        ranked = [(FIELDS[name].metadata["group"], _parameter(FIELDS[name])) for name in names or FIELDS]
        for parameter in signature.parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD:
                panel = parameter.annotation.__metadata__[0].rich_help_panel or panel
                ranked.append((panel, parameter.replace(kind=parameter.KEYWORD_ONLY)))
        parameters = [parameter for _, parameter in sorted(ranked, key=lambda entry: PANELS.index(entry[0]))]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _parameter(field: Field[Any]) -> inspect.Parameter:
    flag = f"--{field.name.replace('_', '-')}" + f"/--no-{field.name}" * (field.default is True)
    option = _option(field.metadata["group"], field.metadata["help"], *([flag] if field.type is bool else []))
    option.show_default = field.metadata.get("automatic", True)
    annotation: Any = Annotated[field.type, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)


def _option(panel: str, text: str, *names: str, **more: Any) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text, rich_help_panel=panel, **more)
    return option


def _path(panel: str, text: str, *names: str, **more: Any) -> typer.models.OptionInfo:
    return _option(panel, text, *names, **{"metavar": "PATH", "parser": data_path} | more)


@setting_options()
def train_sentiment(
    data: Annotated[
        list[Path] | None,
        _path("Data", "Labelled texts: a file, a folder or -; repeat --data for each one.", show_default="built in"),
    ] = None,
    dev: Annotated[
        str | None,
        _option(
            "Data",
            "Texts or fraction to hold out, for choosing the best epoch.",
            metavar="PATH|FRACTION",
            show_default="the data's dev split, or 0.1",
        ),
    ] = None,  # fmt: skip
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    vectors: Annotated[
        Path | None, _path("Data", "Start from these word vectors: GloVe, word2vec text or .vec.")
    ] = None,
    warm_start: Annotated[
        Path | None, _path("Data", "Start from this model, and keep its words.", metavar="MODEL")
    ] = None,
    threads: Annotated[
        int | None, _option("Training", "CPU threads to use (does not change the model).", show_default="all cores")
    ] = None,
    model: Annotated[Path, _path("Output", "Write the model here.", "--model", "-m")] = Path("sentiment.safetensors"),
    checkpoint: Annotated[Path | None, _path("Output", "Save the training here after every epoch.")] = None,
    resume: Annotated[bool, _option("Output", "Resume from the checkpoint if there is one.", "--resume")] = False,
    log: Annotated[Path | None, _path("Output", "Write one line of JSON per epoch here.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
    **settings: Any,
) -> None:
    """Example: mlcore train-sentiment --data reviews.csv --ngrams 2

    Train the network embedding -> mean -> dense ReLU -> dense on labelled
    texts, and save the best epoch. Two labels give one logit, more give a
    softmax; use --loss squared to predict numeric ratings. A split named dev
    in the data is held out, and one named test is evaluated at the end.
    Ctrl-C keeps the best epoch.
    """
    if threads is not None and threads < 1:
        raise InputError("expected a whole number from 1 up", parameter="threads", value=threads)
    if warm_start and vectors:
        raise InputError("--warm-start and --vectors both set the embeddings to start from; choose one.")
    if resume and checkpoint is None:
        raise InputError("--resume also needs --checkpoint, the file to resume from.")
    inputs = {
        "data": data, "dev": dev, "format": file_format, "text_column": text_column, "label_column": label_column,
        "vectors": vectors, "warm_start": warm_start,
    }  # fmt: skip
    paths = [path for path in (*(data or []), _held_out(dev), vectors, warm_start) if isinstance(path, Path)]
    if paths.count(Path("-")) > 1:
        raise InputError("Standard input (-) can be read only once; give the other texts as a file.")
    paths = [path for path in paths if path != Path("-")]
    check_outputs({"model": model, "checkpoint": checkpoint, "log": log}, paths, MARKS)
    for path in paths:
        path.stat()  # a mistyped path should not wait for what is read before it
    Run(inputs, Settings(**settings), model, checkpoint, resume, log, threads or available_cores(), as_json, quiet).go()


def _held_out(dev: str | None) -> Path | float | None:
    """The path or the fraction that ``--dev`` gives."""
    try:
        fraction = None if dev is None else float(dev)
    except ValueError:
        return data_path(str(dev))
    if fraction is not None and not 0 <= fraction < 1:
        raise InputError("expected a fraction from 0 to less than 1, or a path", parameter="dev", value=fraction)
    return fraction


@dataclass
class Run:
    """One training: ``go`` does all of it."""

    inputs: dict[str, Any]  # as typed
    settings: Settings
    path: Path
    checkpoint: Path | None
    resume: bool
    log: Path | None
    threads: int
    as_json: bool
    quiet: bool

    def go(self) -> None:
        """Train, show the progress, and save the best epoch, whatever happens on the way."""
        from mlcore.sentiment.training import result_of

        from . import render
        from .commands import option_name, setting_words

        self.shown = render.Shown(not (self.quiet or self.as_json))
        self.reports: list[EpochReport] = []
        self.interrupts, interrupted = Interrupts(), False
        try:
            with ExitStack() as compilation:
                compilation.enter_context(render.compilation(self.quiet))
                self._prepare()
                self._train(compilation)
        except KeyboardInterrupt:
            interrupted = True
            self.interrupts.ignore()  # one is enough: what follows saves the model, and ends
        except DivergedError as error:
            if not self.reports:
                raise
            render.say(f"mlcore: {error.describe(option_name, setting_words)}")
        if not self.reports:
            render.say(f"mlcore: interrupted before the end of the first epoch; {self.path} was not written.")
            raise typer.Exit(130)
        with self.interrupts.hold():
            self._save(interrupted)
        result = result_of(self.model, self.data, self.reports, str(self.path), interrupted, self.threads)
        self.shown(show_results, result, self.model, self.data)
        if self.as_json:
            print_json("train-sentiment", result)
        if interrupted:
            raise typer.Exit(130)
        self._say(f'Next: mlcore predict {self.path} "A wonderful film."\n  or: mlcore evaluate {self.path} DATA')
        self.shown.complain()

    def _prepare(self) -> None:
        """Read everything, count the words, and initialize the model."""
        from mlcore.sentiment.initialization import continue_from, new_model
        from mlcore.sentiment.model import Provenance
        from mlcore.sentiment.model_file import load_model
        from mlcore.text.dataset import built_in_dataset, encode

        from . import render
        from .explanation import coverage_sentence, given_vectors

        inputs, settings, threads = self.inputs, self.settings, self.threads
        earlier = load_model(inputs["warm_start"]) if inputs["warm_start"] else None
        how = inputs["format"], inputs["text_column"], inputs["label_column"], self.quiet
        dataset, dev = read(inputs["data"] or [built_in_dataset()], *how, threads=threads), _held_out(inputs["dev"])
        held_out = read([dev], *how, threads=threads) if isinstance(dev, Path) else dev
        with render.Activity("Counting words", self.quiet):
            known = earlier.features if earlier else None
            self.data = encode(dataset, held_out, **settings.encoding(), known=known, threads=threads)
        vectors = None
        if inputs["vectors"]:
            vectors = given_vectors(inputs["vectors"], self.data.features.words, settings.dim, self.quiet)
            coverage = vectors.coverage(self.data.feature_counts)
            self._say(coverage_sentence(vectors.source, coverage, vectors.duplicates))
        self.model = new_model(self.data, settings, vectors, threads)
        if earlier:
            continue_from(self.model, earlier)
        digests = [some.fingerprint for some in (dataset, held_out) if not isinstance(some, float | None)]
        digests += [vectors.fingerprint()] if vectors else []
        digests += [sha256(array.tobytes()).hexdigest() for array in earlier.parameters] if earlier else []
        fingerprint = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
        given = {name: value for name, value in inputs.items() if value}
        given = {name: list(map(str, value)) if name == "data" else str(value) for name, value in given.items()}
        self.model.provenance = Provenance(given, fingerprint, self.data.sizes)

    def _train(self, compilation: ExitStack) -> None:
        """Train epoch by epoch, and keep log and checkpoint."""
        from mlcore.sentiment.checkpoint import save_checkpoint
        from mlcore.sentiment.training import Progress, fit

        from . import render

        state = self._start_or_resume()
        self.reports = state.reports
        self.shown(show_network, self.data, self.model)
        for report in self.reports:
            self.shown(show_epoch, report)
        bar = render.TrainingBar(self.settings.epochs, self.quiet)

        def progress(progressed: Progress) -> None:
            compilation.close()  # only the short evaluation may still have to be compiled; the bar takes over
            self.interrupts.check()
            bar.update(progressed)

        epochs = fit(self.model, self.data.train, self.data.dev, self.threads, progress, state)
        with bar, closing(epochs):
            for report in epochs:
                bar.clear()
                if report.warning:
                    render.say(f"mlcore: {report.warning}.")
                with self.interrupts.hold():
                    self._log(asdict(report))  # first: after a crash, an epoch is in the log twice rather than never
                    if self.checkpoint:
                        save_checkpoint(self.checkpoint, self.model, state)
                self.shown(show_epoch, report)

    def _start_or_resume(self) -> "State":
        from mlcore.sentiment.checkpoint import load_checkpoint
        from mlcore.sentiment.training import State

        if self.checkpoint and self.checkpoint.exists():
            if self.resume:
                state = load_checkpoint(self.checkpoint, self.model)
                self._say(f"Resuming after epoch {state.epoch} from {self.checkpoint}.")
                return state
            self._say(f"{self.checkpoint} exists and will be replaced; to resume from it, add --resume.")
        elif self.resume:
            self._say(f"{self.checkpoint} does not exist yet: starting from the beginning.")
        if self.log:
            self.log.write_text("")
        self._log({"settings": asdict(self.settings.resolved()), "inputs": self.model.provenance.inputs})
        return State.initial(self.model, self.threads)

    def _log(self, entry: dict[str, Any]) -> None:
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"schema": LOG_SCHEMA} | entry, allow_nan=False) + "\n")

    def _say(self, message: str) -> None:
        from . import render

        if not self.quiet:
            render.say(message)

    def _save(self, interrupted: bool) -> None:
        import numpy as np

        from mlcore.sentiment.model_file import save_model
        from mlcore.sentiment.training import history

        from . import render

        existed, table = self.path.exists(), self.model.parameters.table
        self.model.provenance.history = history(self.reports)
        if self.settings.float16 and np.abs(table).max(initial=0) > np.finfo(np.float16).max:
            render.say("mlcore: the embedding has numbers too large for 16 bits; it is saved in 32 bits.")
            self.model.settings = replace(self.settings, float16=False)
        elif self.settings.float16:
            table[:] = table.astype(np.float16)  # so that all figures are those of the model in the file
        save_model(self.model, self.path)
        if interrupted:
            best = [report.epoch for report in self.reports if report.best][-1]
            epoch = min(len(self.reports) + 1, self.settings.epochs)
            render.say(f"mlcore: interrupted in epoch {epoch}; the best epoch so far, {best}, is in {self.path}.")
        else:
            self._say(f"{'Replaced' if existed else 'Wrote'} {self.path}.")


class Interrupts:
    """Ctrl-C that cannot get lost.

    Python drops a KeyboardInterrupt that is raised in a callback of the compiler or of the garbage collector, so it is
    raised again at the next ``check``.
    """

    def __init__(self) -> None:
        self.pressed = self.held = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *_: object) -> None:
        self.pressed = True
        if not self.held:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed at any time."""
        if self.pressed:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Take no further Ctrl-C."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.pressed = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Delay Ctrl-C until the end of what is written."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        self.check()


# Tables -----------------------------------------------------------------------------------------------------


def show_network(data: "EncodedDataset", model: "Model") -> None:
    """The three formulas with shapes, what is trained on, and the head of the table of epochs."""
    from .render import show

    settings, outputs = model.settings.resolved(), len(model.parameters.b2)
    dim, hidden, features = settings.dim, settings.hidden, f"{len(model.features):,}"
    frozen, distinct = ", frozen" * settings.freeze_embedding, "distinct " * settings.binary
    unit = "words" if settings.ngrams == 1 else "features"
    show(f"E = 1/N Σ E_w       embedding {features} × {dim}{frozen}, mean over N {distinct}{unit}")
    show(f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}")
    show(f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}")
    often = f" that occur at least {settings.min_count} times" * (settings.min_count != 1)
    most = f", the {settings.max_features:,} most frequent" if settings.max_features else ""
    show(f"{model.n_parameters:,} parameters. Features: {KINDS[settings.ngrams]}{often}{most}.")
    if len(model.labels) > 2:
        show(f"Labels: {', '.join(model.labels[:8])}{', ...' * (len(model.labels) > 8)}.")
    splits = {"training": data.train, "held out": data.dev, "test": data.test}
    show("Texts: " + ", ".join(f"{name} {len(split.rows):,}" for name, split in splits.items() if split) + ".\n")
    show(
        f"epoch  training loss  held-out loss  {'accuracy' if model.labels else '    RMSE'}  seconds  M features/s",
        "bold",
    )


def show_epoch(report: "EpochReport") -> None:
    """One row of the table of epochs."""
    from .render import show

    loss, quality, best = "-", "-", ""
    if report.dev_loss is not None:
        loss, best = f"{report.dev_loss:.4f}", "best" * report.best
        rmse = math.sqrt(2 * report.dev_loss)  # the loss is half the square
        quality = f"{rmse:.3f}" if report.dev_accuracy is None else f"{report.dev_accuracy:.2%}"
    speed = report.features / report.seconds / 1e6
    row = f"{report.epoch:5}  {report.train_loss:13.4f}  {loss:>13}  {quality:>8}  {report.seconds:7.2f}  {speed:12.1f}"
    show(f"{row}  {best}".rstrip())


def show_results(result: "TrainingResult", model: "Model", data: "EncodedDataset") -> None:
    """Figures of the held-out and the test texts, and the strongest words."""
    from mlcore.sentiment.evaluation import strongest_words

    from .prediction import show_evaluation, show_strongest_words

    for title, found in ((f"Held-out texts, best epoch {result.best_epoch}", result.dev), ("Test texts", result.test)):
        if found:
            show_evaluation(f"\n{title}", found, brief=True)
    show_strongest_words(strongest_words(model, data.feature_counts, 10, 10), model.labels)
