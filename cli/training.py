"""``mlcore train-sentiment``: its options, the training with everything around it, and what it shows."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from mlcore.errors import DivergedError, InputError
from mlcore.files import check_outputs, naming
from mlcore.sentiment.settings import Settings
from mlcore.text.layout import TrainingLayout
from mlcore.text.pool import available_cores

from . import interrupts, render
from .commands import in_words, setting_words
from .dataset import Scheduler, connected, data_path, path_option, read
from .output import STANDARD_STREAM, Json, check_standard_input, compilation, print_json, with_options
from .printable import printable

if TYPE_CHECKING:
    from mlcore.distributed.cluster import Cluster
    from mlcore.sentiment.evaluation import AnyEvaluation
    from mlcore.sentiment.model import Model
    from mlcore.sentiment.training import EpochReport, Progress, State, Trainer, TrainingResult
    from mlcore.text.dataset import EncodedDataset

MARKS = {"model": b'"mlcore"', "checkpoint": b'"mlcore"', "log": b'{"schema": "mlcore.log/'}  # how files begin
FEATURES = {1: "words", 2: "words and pairs", 3: "words, pairs and triples"}


# fmt: off
@with_options
def train_sentiment(
    *,
    files: Annotated[list[Path] | None, typer.Argument(
        metavar="DATA", help="Labelled texts, as --data.", parser=data_path, show_default=False)] = None,
    data: Annotated[list[Path] | None, path_option(
        "Labelled texts: a file, a folder or -; repeat --data for each one.", show_default="built in")] = None,
    dev: Annotated[str | None, typer.Option(
        help="Texts or fraction to hold out, for choosing the best epoch.", metavar="PATH|FRACTION",
        show_default="the data's dev split, or 0.1")] = None,
    test: Annotated[float | None, typer.Option(
        help="Fraction of the texts to test on at the end.", show_default="the data's test split")] = None,
    layout: TrainingLayout,
    vectors: Annotated[Path | None, path_option("Start from these word vectors: GloVe, word2vec text or .vec.")] = None,
    warm_start: Annotated[Path | None, path_option("Start from this model, and keep its words.")] = None,
    settings: Settings,
    threads: Annotated[int | None, typer.Option(
        min=1, help="Use at most so many CPU threads (does not change the model).", show_default="all cores")] = None,
    model: Annotated[Path, path_option("Write the model here.", "--model", "-m")] = Path("sentiment.safetensors"),
    checkpoint: Annotated[Path | None, path_option("Save the training here after every epoch.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint if there is one.")] = False,
    scheduler: Scheduler = None,
    replicas: Annotated[int | None, typer.Option(
        min=1, help="With a scheduler: parts of the texts that are trained on at a time, at most one for each file.",
        show_default="one for every 2 million words, up to 64")] = None,
    log: Annotated[Path | None, path_option("Write one line of JSON per epoch here.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
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
    if warm_start and vectors:
        raise InputError("--warm-start and --vectors both set the embeddings to start from; choose one.")
    if resume and checkpoint is None:
        raise InputError("--resume also needs --checkpoint, the file to resume from.")
    if replicas and not scheduler:
        raise InputError("--replicas also needs --scheduler, such as local:2.")
    if scheduler and (not data or STANDARD_STREAM in data):
        raise InputError("--scheduler also needs --data: files that all workers can read.")
    if scheduler and (vectors or isinstance(_held_out(dev), Path)):
        raise InputError("--scheduler takes a fraction as --dev, or a split in the data, and no --vectors.")
    local = () if scheduler else data  # of shards, paths may be patterns or URLs
    paths = [path for path in (*local, _held_out(dev), vectors, warm_start) if isinstance(path, Path)]
    check_standard_input(paths)
    paths = [path for path in paths if path != STANDARD_STREAM]
    check_outputs({"model": model, "checkpoint": checkpoint, "log": log}, paths, MARKS)
    for path in paths:
        path.stat()  # a mistyped path should not wait for what is read before it
    inputs = {
        "data": data, "dev": dev, "test": test, **asdict(layout), "vectors": vectors,
        "warm_start": warm_start, "replicas": replicas,
    }  # fmt: skip
    outputs = Outputs(model, checkpoint, resume, log, as_json, quiet)
    train(inputs, layout, settings, threads or available_cores(), outputs, scheduler)


def _held_out(dev: str | None) -> Path | float | None:
    """The path or the fraction that ``--dev`` gives."""
    try:
        return None if dev is None else float(dev)
    except ValueError:
        return data_path(str(dev), "'--dev'")


@dataclass
class Outputs:
    """What a training writes, and where."""

    model: Path
    checkpoint: Path | None = None
    resume: bool = False
    log: Path | None = None
    as_json: bool = False
    quiet: bool = False


def train(
    inputs: dict[str, Any], layout: TrainingLayout, settings: Settings, threads: int, outputs: Outputs,
    scheduler: str | None = None,
) -> None:  # fmt: skip
    """Train, show the progress, and save the best epoch, whatever happens on the way."""
    from mlcore.sentiment import training
    from mlcore.sentiment.checkpoint import save_checkpoint
    from mlcore.sentiment.evaluation import evaluate
    from mlcore.sentiment.model_file import save_model
    from mlcore.text.growing import use_one_heap

    use_one_heap()
    path, quiet = outputs.model, outputs.quiet
    reports: list[EpochReport] = []
    shown = render.Shown(not (quiet or outputs.as_json))
    saved: list[Model] = []  # that of the best epoch, and the one that was then trained on all texts
    dev: AnyEvaluation | None = None
    epochs = 0
    failure: Exception | None = None

    def progress(state: "Progress") -> None:
        compiling.close()  # only the short evaluation may still have to be compiled; the bar takes over
        if interrupts.received:
            raise KeyboardInterrupt
        rate, left = state.features / state.seconds / 1e6, epochs - state.epoch + 1 - state.share
        bar.update(
            f"epoch {state.epoch}/{epochs}, {state.share:.0%}: loss {state.loss:.4f}  {rate:.1f} M features/s, "
            f"{left * state.seconds / state.share:.0f} s left"
        )

    def on_epoch(report: "EpochReport", state: "State") -> None:
        interrupts.defer()
        bar.clear()
        reports.append(report)
        if report.warning:
            render.say(f"mlcore: {report.warning}.")
        _write_line(log_file, asdict(report))  # first: after a crash, an epoch is in the log twice rather than never
        if outputs.checkpoint:
            save_checkpoint(outputs.checkpoint, model, state)
        shown(render.show, report.row)

    def on_model(trained: "Model", reports: "list[EpochReport]") -> None:
        nonlocal dev, epochs
        bar.clear()
        epochs = training.best_epoch(reports)  # of the training on all texts
        if not saved:
            dev = data.dev and evaluate(trained, data.dev, threads)
        save_model(trained, path)
        saved.append(trained)
        if not interrupts.received:
            interrupts.end_at_once(f"; the model is in {printable(str(path))}")

    interrupts.end_at_once(f" before the end of the first epoch; {printable(str(path))} was not written")
    bar = render.Activity("", quiet)
    done = f"{'Replaced' if path.exists() else 'Wrote'} {path}."
    try:
        with ExitStack() as files, bar, ExitStack() as compiling:
            compiling.enter_context(compilation(quiet))
            cluster = files.enter_context(connected(scheduler, quiet)) if scheduler else None
            data, model, begin = _prepare(inputs, layout, settings, threads, quiet, cluster)
            epochs = model.settings.epochs
            resumed = _resumed(outputs, model)
            files.enter_context(naming(outputs.log or Path(os.devnull)))
            mode = "a" if resumed else "w"
            log_file = files.enter_context(open(outputs.log or os.devnull, mode, 1, encoding="utf-8"))
            if not resumed:
                _write_line(log_file, {"settings": asdict(model.settings), "inputs": model.provenance.inputs})
            shown(show_network, data, model)
            for report in resumed.reports if resumed else ():
                interrupts.defer()
                reports.append(report)
                shown(render.show, report.row)
            training.train(model, data, begin, threads, progress, resumed, on_epoch, on_model, _trainer(cluster))
    except KeyboardInterrupt:
        pass
    except (DivergedError, OSError, MemoryError) as error:
        if not saved:
            raise
        if isinstance(error, DivergedError):
            render.say(f"mlcore: {in_words(error)}")
        else:
            failure = error
    if interrupted := bool(interrupts.received):
        epoch, best = min(len(reports) + 1, model.settings.epochs), training.best_epoch(reports)
        done = f"mlcore: {interrupts.word()} in epoch {epoch}; the best epoch so far, {best}, is in {path}."
    if interrupted or not quiet:
        render.say(done)
    result = training.result_of(saved[-1], data, reports, dev, str(path), len(saved) > 1, interrupted, threads)
    shown(show_results, result, saved[-1], data)
    if outputs.as_json:
        print_json("train-sentiment", result)
    if failure:
        raise failure
    if interrupted:
        raise typer.Exit(interrupts.exit_code())
    if not quiet:
        render.say(f'Next: mlcore predict {path} "A wonderful film."\n  or: mlcore evaluate {path} DATA')
    shown.complain()


def _resumed(outputs: Outputs, model: "Model") -> "State | None":
    """The training in the checkpoint, if it is to be resumed; says what becomes of the file."""
    from mlcore.sentiment.checkpoint import load_checkpoint

    checkpoint, resume, state, said = outputs.checkpoint, outputs.resume, None, ""
    exists = checkpoint is not None and checkpoint.exists()
    if checkpoint and resume and exists:
        state = load_checkpoint(checkpoint, model)
        said = f"Resuming after epoch {len(state.reports)} from {checkpoint}."
    elif resume:
        said = f"{checkpoint} does not exist yet: starting from the beginning."
    elif exists:
        said = f"{checkpoint} exists and will be replaced; to resume from it, add --resume."
    if said and not outputs.quiet:
        render.say(said)
    return state


def _write_line(log: IO[Any], entry: dict[str, Any]) -> None:
    print(json.dumps({"schema": "mlcore.log/1"} | entry, allow_nan=False), file=log)


def _trainer(cluster: "Cluster | None") -> "type[Trainer] | None":
    """What trains the epochs on a cluster."""
    if cluster is None:
        return None
    from mlcore.sentiment.replicas import ReplicaTrainer

    return ReplicaTrainer


def _prepare(
    inputs: dict[str, Any], layout: TrainingLayout, given: Settings, threads: int, quiet: bool,
    cluster: "Cluster | None" = None,
) -> "tuple[EncodedDataset, Model, Callable[[EncodedDataset, Settings], Model]]":
    """Read everything, count the words, and initialize the model, as the function does that is returned too."""
    from mlcore.sentiment.initialization import continued, facts_of, new_model
    from mlcore.sentiment.model import Provenance
    from mlcore.sentiment.model_file import load_model
    from mlcore.text.dataset import encode, with_held_out, with_test_split

    from .explanation import coverage_sentence, given_vectors

    earlier = load_model(inputs["warm_start"]) if inputs["warm_start"] else None
    given = continued(given, earlier.settings) if earlier else given
    dataset = read(inputs["data"], layout, quiet, threads=threads, cluster=cluster, replicas=inputs["replicas"])
    inputs |= dataset.notes.columns  # so that the model knows them, too
    if inputs["test"] is not None:
        dataset = with_test_split(dataset, inputs["test"], given.seed)
    dev = _held_out(inputs["dev"])
    others = [read([dev], layout, quiet, threads=threads)] if isinstance(dev, Path) else []
    fraction = None if isinstance(dev, Path) else dev
    if dataset.several_labels and not given.multi_label and given.loss == "logistic":
        render.say("Some texts have several labels or none: each label gets a logistic output (--multi-label).")
        given = replace(given, multi_label=True)
    settings = given.resolved(facts_of(dataset, fraction))
    vectors, digests, to_arrays = None, [some.fingerprint for some in (dataset, *others)], cast(Any, encode)
    if cluster:
        from mlcore.distributed.preparing import encode_shards as to_arrays
    for other in others:
        dataset = with_held_out(dataset, other)
    with render.Activity("Counting words", quiet):
        known = earlier.features if earlier else None
        data = to_arrays(dataset, fraction, **settings.encoding(), known=known, threads=threads)
    for warning in data.warnings[len(dataset.notes.sentences()) :]:  # those of reading have been said
        render.say(f"mlcore: {in_words(warning)}")
    del dataset, others  # as large as the encoded data
    if inputs["vectors"]:
        vectors = given_vectors(inputs["vectors"], data.features.words, settings.dim, quiet)
        digests.append(vectors.fingerprint())
        if not quiet:
            render.say(coverage_sentence(vectors.source, vectors.coverage(data.feature_counts), vectors.duplicates))

    if earlier:
        digests += [sha256(array.tobytes()).hexdigest() for array in earlier.parameters]
    fingerprint = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
    named = {name: value for name, value in inputs.items() if value}
    named = {name: list(map(str, value)) if isinstance(value, list) else str(value) for name, value in named.items()}
    begin = partial(new_model, vectors=vectors, threads=threads, earlier=earlier)
    model = begin(data, settings)
    model.provenance = Provenance(named, fingerprint, data.sizes, chosen=given.automatic())
    return data, model, begin


# Tables -----------------------------------------------------------------------------------------------------


def show_network(data: "EncodedDataset", model: "Model") -> None:
    """The three formulas with shapes, what is trained on, and the head of the table of epochs."""
    from mlcore.sentiment.description import describe
    from mlcore.sentiment.training import heading

    settings, labels = model.settings, model.labels
    often = f" that occur at least {settings.min_count} times" * (settings.min_count != 1)
    characters = f", n-grams of {settings.char_ngrams} characters" if settings.characters else ""
    most = f", the {settings.max_features:,} most frequent" if settings.max_features else ""
    splits = {"training": data.train, "held out": data.dev, "test": data.test}
    texts = ", ".join(f"{name} {len(split.rows):,}" for name, split in splits.items() if split)
    features = f"{FEATURES[settings.ngrams]}{characters}{often}{most}"
    render.show(describe(model).formulas)
    render.paragraph(f"{model.n_parameters:,} parameters. Features: {features}.")
    if model.provenance.chosen:
        chosen = (setting_words(name, getattr(settings, name)) for name in model.provenance.chosen)
        render.paragraph(f"Chosen for these texts: {' '.join(chosen)}")
    if len(model.parameters.b2) > 1:
        render.show(f"Labels: {', '.join(labels[:8])}{f' and {len(labels) - 8:,} more' * (len(labels) > 8)}.")
    render.show(f"Texts: {texts}.\n")
    render.show(heading(model), "bold")


def show_results(result: "TrainingResult", model: "Model", data: "EncodedDataset") -> None:
    """Figures of the held-out and the test texts, and the strongest words."""
    from mlcore.sentiment.evaluation import strongest_words

    from .prediction import show_evaluation, show_strongest_words

    held_out = f"Held-out texts, best epoch {result.best_epoch}"
    for title, evaluation in ((held_out, result.dev), ("Test texts", result.test)):
        if evaluation:
            show_evaluation(f"\n{title}", evaluation, brief=True)
    if found := result.calibration:
        render.show("")
        render.paragraph(
            "Calibration error on the held-out texts: {error_before:.3f}, or {error_after:.3f} with the logits "
            "divided by {temperature:.2f}.".format(**found)
        )
    if result.refit:
        render.paragraph(f"The saved model was then trained on the held-out texts too, for {result.best_epoch} epochs.")
    show_strongest_words(strongest_words(model, data.feature_counts, 10, 10), model.labels)
    for i, note in enumerate(result.notes[len(data.warnings) :]):  # those have been shown
        render.paragraph("\n" * (not i) + f"Note: {in_words(note)}", "yellow")
