"""The Typer application: every command with its short help."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from mlcore import __version__

# Name: the module and the function or group in it, and what the list of commands says.
COMMANDS = {
    "forward": ("exercise", "forward", "Forward values and loss of the 3-2-1 network, or any other."),
    "grad": ("exercise", "grad", "Gradients by backpropagation, and the truth at the ReLU's kink."),
    "derive": ("exercise", "derive", "The derivation step by step, as text, LaTeX or Markdown."),
    "descend": ("exercise", "descend", "Gradient descent from the exercise's start."),
    "graph": ("classroom", "draw", "The network drawn, in the terminal or as Mermaid, DOT or SVG."),
    "check": ("classroom", "check", "Mark your own answers, and name the mistakes."),
    "exercise": ("classroom", "exercise", "Make a new exercise sheet, with or without its solution."),
    "verify": ("verify", "verify", "Check every compiled kernel on this machine."),
    "data": ("dataset", "data", "Look at labelled texts before training on them."),
    "train-sentiment": ("training", "train_sentiment", "Train a sentiment classifier with a trainable embedding."),
    "evaluate": ("prediction", "evaluate", "How good a model is on labelled texts, and where it is wrong."),
    "report": ("report", "report", "The same and more as a web page."),
    "predict": ("prediction", "predict", "Label and probability of texts."),
    "explain": ("explanation", "explain", "Why a text is predicted as it is: the exact share of every word."),
    "describe": ("explanation", "describe", "What a model is, where it comes from, and how to train it again."),
    "neighbors": ("explanation", "neighbors", "Nearest words in a model's embedding."),
    "compare-embeddings": ("comparison", "compare_embeddings", "Fixed or trainable embeddings? The experiment itself."),
    "vectors": ("vectors", "vectors", "Write a model's embeddings in word2vec's text format."),
    "net": ("exercise", "net", "The network as a file."),
}

PLAIN = {"rich_markup_mode": None}  # help without Rich, which takes as long to load as all else of it


class _Quick:
    """Command that converts only the options that are given: Typer loads pydantic even for those that are not."""

    def parse_args(self, context: typer.Context, arguments: list[str]) -> list[str]:
        """The arguments that are left after the options."""
        for parameter in self.get_params(context):
            parameter.process_value = partial(_process, parameter, parameter.process_value)
        return super().parse_args(context, arguments)


def _process(
    parameter: TyperOption | TyperArgument, convert: Callable, context: typer.Context, value: object
) -> object:
    if value is None and isinstance(parameter, TyperOption) and not (parameter.required or parameter.multiple):
        return parameter.callback and parameter.callback(context, parameter, None)
    return convert(context, value)


class Command(_Quick, TyperCommand):
    """A command."""


class Commands(_Quick, TyperGroup):
    """All commands by name, for the list of them; the one that is asked for is loaded then, and no other."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        for name, (_, _, short_help) in COMMANDS.items():
            self.add_command(TyperCommand(name, short_help=short_help))

    def resolve_command(
        self, context: typer.Context, arguments: list[str]
    ) -> tuple[str | None, TyperCommand | TyperGroup | None, list[str]]:
        """The command that the arguments begin with, its name, and the rest of them."""
        name, _, rest = super().resolve_command(context, arguments)
        return name, name and _load(name), rest


def _load(name: str) -> TyperCommand | TyperGroup:
    module, attribute, _ = COMMANDS[name]
    found = getattr(import_module(f".{module}", __package__), attribute)
    single = typer.Typer(**PLAIN)
    if isinstance(found, typer.Typer):
        single.add_typer(found, name=name)
    else:
        single.command(name, cls=Command)(found)
    return typer.main.get_group(single).commands[name]


HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(cls=Commands, pretty_exceptions_enable=False, context_settings=HELP, **PLAIN)


def _print_version(wanted: bool) -> None:
    if wanted:
        import platform

        import numba
        import numpy

        from mlcore.sentiment.training import available_cores

        print(
            f"mlcore {__version__}, Python {platform.python_version()}, NumPy {numpy.__version__}, "
            f"Numba {numba.__version__}, {available_cores()} threads"
        )
        raise typer.Exit


@app.callback()
def mlcore(
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Example: mlcore grad --x 1,2,1

    Backpropagation by hand, and a sentiment classifier at scale, on one set of
    Numba kernels.
    """
