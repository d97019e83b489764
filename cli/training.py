"""``mlcore train-sentiment``: exercise 5 at scale. The options; what they do is in training_run."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError
from mlcore.sentiment.settings import LEARNING_RATES, Settings

from .dataset import Format, LabelColumn, TextColumn, data_path
from .prediction import Json


def _option(panel: str, text: str, *names: str, **more: object) -> typer.models.OptionInfo:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


DATA, TEXT, NETWORK, TRAINING, OUTPUT = "Data", "Text", "Network", "Training", "Output"
DEFAULT_RATES = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())


def train_sentiment(
    data: Annotated[
        list[Path] | None,
        _option(
            DATA,
            "File or folder of labelled texts, or -; may be repeated. See mlcore data.",
            metavar="PATH",
            parser=data_path,
            show_default="built in",
        ),
    ] = None,
    dev: Annotated[
        str | None,
        _option(
            DATA,
            "What is held out to choose the best epoch; 0 for nothing.",
            metavar="PATH|FRACTION",
            show_default="the data's own dev part, or 0.1",
        ),
    ] = None,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    vectors: Annotated[
        Path | None, _option(DATA, "Start from these word vectors: GloVe, word2vec text or .vec.", parser=data_path)
    ] = None,
    init: Annotated[
        Path | None, _option(DATA, "Start from this model, and keep its words.", metavar="MODEL", parser=data_path)
    ] = None,
    ngrams: Annotated[int, _option(TEXT, "1: words; 2: pairs of neighbours, too; 3: triples, too.")] = Settings.ngrams,
    min_count: Annotated[
        int | None,
        _option(TEXT, "Features that occur less often are not learned.", show_default="1, with n-grams 2"),
    ] = Settings.min_count,
    max_features: Annotated[
        int | None, _option(TEXT, "Only the most frequent words and n-grams.", show_default="all")
    ] = Settings.max_features,
    binary: Annotated[
        bool, _option(TEXT, "In a text, each feature counts once, or as often as it occurs.", "--binary/--no-binary")
    ] = Settings.binary,
    dim: Annotated[int, _option(NETWORK, "Width of the embedding.")] = Settings.dim,
    hidden: Annotated[int, _option(NETWORK, "Units of the hidden layer.")] = Settings.hidden,
    loss: Annotated[
        str, _option(NETWORK, "logistic (softmax for more than two labels), or squared for ratings.")
    ] = Settings.loss,
    embedding: Annotated[str, _option(NETWORK, "trainable or fixed.")] = Settings.embedding,
    start: Annotated[
        str, _option(NETWORK, "naive-bayes adds what the labels say of each feature to random embeddings.")
    ] = Settings.start,
    epochs: Annotated[int, _option(TRAINING, "Most passes over the texts; the best is kept.")] = Settings.epochs,
    patience: Annotated[
        int, _option(TRAINING, "Stop after so many passes in a row without a lower held-out loss.")
    ] = Settings.patience,
    batch_size: Annotated[int, _option(TRAINING, "Texts per update.")] = Settings.batch_size,
    optimizer: Annotated[str, _option(TRAINING, "sgd, adagrad or adam.")] = Settings.optimizer,
    learning_rate: Annotated[float | None, _option(TRAINING, "Step size.", show_default=DEFAULT_RATES)] = None,
    schedule: Annotated[
        str, _option(TRAINING, "constant, or linear: the step size falls to 0 over --epochs.")
    ] = Settings.schedule,
    word_dropout: Annotated[
        float, _option(TRAINING, "Share of a text's features that are left out at random in each pass.")
    ] = Settings.word_dropout,
    weight_decay: Annotated[
        float, _option(TRAINING, "Decoupled decay of the layers, and of the features of a batch.")
    ] = Settings.weight_decay,
    class_weight: Annotated[
        str, _option(TRAINING, "none, or balanced: all labels weigh the same, however frequent.")
    ] = Settings.class_weight,
    seed: Annotated[
        int, _option(TRAINING, "For the start, the held-out part, the order of texts and word dropout.")
    ] = Settings.seed,
    threads: Annotated[
        int | None, _option(TRAINING, "Any number gives the same model.", show_default="the cores")
    ] = None,
    model: Annotated[Path, _option(OUTPUT, "Where to write the model.", parser=data_path)] = Path("sentiment.npz"),
    half: Annotated[bool, _option(OUTPUT, "Store the embedding in 16 bits: half the file.", "--half")] = Settings.half,
    checkpoint: Annotated[
        Path | None, _option(OUTPUT, "Save the training here after every epoch.", parser=data_path)
    ] = None,
    resume: Annotated[bool, _option(OUTPUT, "Go on from the checkpoint, if there is one.", "--resume")] = False,
    log: Annotated[Path | None, _option(OUTPUT, "Write a line of JSON per epoch here.", parser=data_path)] = None,
    no_cache: Annotated[
        bool, _option(DATA, "Read the data again, and keep nothing of it for the next time.", "--no-cache")
    ] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
) -> None:
    """Example: mlcore train-sentiment --data reviews.csv --ngrams 2

    Train the network embedding -> mean -> dense ReLU -> dense on labelled
    texts, and save the best epoch. Two labels give one logit, more give a
    softmax, and ratings are learned with --loss squared. A part named dev or
    test in the data is held out or tested on. Ctrl-C keeps the best epoch.
    """
    settings = Settings(
        dim=dim, hidden=hidden, ngrams=ngrams, min_count=min_count, max_features=max_features, binary=binary, loss=loss,
        embedding=embedding, start=start, epochs=epochs, patience=patience, batch_size=batch_size, optimizer=optimizer,
        learning_rate=learning_rate, schedule=schedule, word_dropout=word_dropout, weight_decay=weight_decay,
        class_weight=class_weight, seed=seed, half=half,
    )  # fmt: skip
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; expected a whole number from 1 up.")
    if init and vectors:
        raise InputError("--init and --vectors both say where to begin; expected one of them.")
    if resume and checkpoint is None:
        raise InputError("--resume needs the --checkpoint that it goes on from.")
    from .training_run import Inputs, Outputs, Run

    inputs = Inputs(data or [], dev, file_format, text_column, label_column, vectors, init, not no_cache)
    Run(inputs, settings, Outputs(model, checkpoint, resume, log), threads, as_json, quiet).go()
