"""The Typer application: every command with its short help, loaded when it is asked for."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from difflib import get_close_matches
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from mlcore import __version__
from mlcore.errors import InputError, MlcoreError
from mlcore.kernels import compiling
from mlcore.text import pool

from . import render
from .options import parse_path, with_options

UNSAFE = set(" ;|&()")  # characters of a value that a shell would take for its own


def _table(name: str) -> list[list[str]]:
    """Rows of a table in ``data/``, without its header; mlcore.files would find it too, and take ``--help`` longer."""
    path = Path(import_module("mlcore.data").__path__[0], name)
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]


ROWS = _table("commands.tsv")
COMMANDS = {name: (module, help) for _, name, module, _, help in ROWS}
HABITS = {typed: name for _, name, _, habits, _ in ROWS for typed in habits.split()}
OPTION_HABITS = {typed: name for name, habits in _table("options.tsv") for typed in habits.split()}
MEANT_FOR = {  # of an argument too many, what it likely is
    "--data": "; give files of texts with --data", "--answers": "; give a file of answers with --answers",
    "--net": "; give the file of a network with --net", "word": "; put several words in quotes",
}  # fmt: skip
METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}
HELP: Any = {"help_option_names": ["-h", "--help"]}
PLAIN: Any = {"rich_markup_mode": None}  # help without Rich, which takes as long to load as everything else


class Converting:
    """A command whose parameters are converted here: Typer would load pydantic, and speak its language."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            kind = parameter.type_descriptor.annotation
            if not parameter.metavar and kind is not bool:
                parameter.metavar = METAVARS.get(kind)
            parameter.get_runtime_param = lambda: SimpleNamespace(coerce=_coerce)
            if parameter.param_type_name == "argument":  # Typer would add braces, and Python's types
                usage = parameter.metavar if parameter.required else f"[{parameter.metavar}]"
                usage += "..." * (parameter.nargs != 1)
                parameter.get_usage_pieces = lambda ctx, usage=usage: [usage]
                parameter.display_type_rich = lambda ctx: None
        return parameters


class Command(Converting, TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was typed, each option once: of several, Typer would take the last and drop the others."""
        *_, given = self.make_parser(ctx).parse_args(args[:])
        twice = next((one for one in given if given.count(one) > 1 and not one.multiple and not one.is_eager), None)
        if twice and not ctx.resilient_parsing:
            names = [max(some, key=len) for some in (twice.opts, twice.secondary_opts) if some]
            ctx.fail(f"Option '{'/'.join(names)}' is given twice.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run it, and show what is compiled for it."""
        with nullcontext() if ctx.params.get("quiet") else _compilation():
            return super().invoke(ctx)


@contextmanager
def _compilation() -> Iterator[None]:
    """Show on stderr which kernels are being compiled, if any has to be."""
    names: list[str] = []
    activities: list[render.Activity] = []  # which would load Rich

    def started(name: str) -> None:
        names.append(name)
        if not activities:
            render.say("First run: compiling kernels. Later runs load them from the cache.")
            activities.append(stack.enter_context(render.Activity("")))
        activities[0].update(f"Compiling {name}")

    def ended(name: str) -> None:
        names.pop()
        for activity in activities:  # none, if stderr could not be written
            activity.clear() if not names else activity.update(f"Compiling {names[-1]}")

    with ExitStack() as stack, compiling.watch_compilation(started, ended):
        yield


class Commands(Converting, TyperGroup):
    """All commands by name; only the one that is asked for is loaded."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, help) in COMMANDS.items():
            self.add_command(TyperCommand(name, short_help=help))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands in groups."""
        for group, rows in groupby(ROWS, itemgetter(0)):
            with formatter.section(group):
                formatter.write_dl([(name, help) for _, name, _, _, help in rows])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that the arguments begin with, its name, and the rest of them."""
        if args[0] not in COMMANDS:
            likely = {
                HABITS.get(name, name) for name in get_close_matches(args[0].lower(), [*COMMANDS, *HABITS], cutoff=0.7)
            }
            hint = f" Did you mean {' or '.join(map(repr, sorted(likely)))}?" if likely else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return args[0], _load(args[0]), args[1:]


def _load(name: str) -> TyperCommand:
    function = getattr(import_module(f".{COMMANDS[name][0]}", __package__), name.replace("-", "_"))
    single = typer.Typer(add_completion=False, **PLAIN)
    single.command(name, cls=Command)(with_options(function))
    return typer.main.get_command(single)  # type: ignore[return-value]


def _coerce(value: Any, param: Any, ctx: Any) -> Any:
    """The value, or values, of a parameter; defaults are what they are."""
    if isinstance(value, list | tuple):
        return [_converted(param, text) for text in value]
    return _converted(param, value) if isinstance(value, str) else value


def _converted(parameter: Any, text: str) -> Any:
    """The value of what was typed: by the parser of the parameter, or else of its type."""
    info, kind = parameter.type_descriptor.parameter_info, parameter.type_descriptor.annotation
    kind = (get_args(kind) or (kind,))[0]
    is_option = parameter.param_type_name == "option"
    try:
        if info.parser:
            return info.parser(text)
        if kind in (int, float):
            return _number(text, kind, info.min, info.max)
        return parse_path(text) if kind is Path else text
    except InputError as error:
        error.parameter = max(parameter.opts, key=len).removeprefix("--") if is_option else parameter.metavar
        raise


def _number(text: str, kind: Any, least: float | None, most: float | None) -> Any:
    """The number in a text; raises InputError."""
    number = None
    with suppress(ValueError):
        number = kind(text)
    if number is not None and (least is None or number >= least) and (most is None or number <= most):  # NaN is not
        return number
    bounds = "" if least is None else f" from {least} up" if most is None else f" from {least} to {most}"
    value = text if number is None else number
    hint = "; for a decimal point write a dot" * (kind is float and "," in text)
    raise InputError(f"expected a {'whole ' * (kind is int)}number{bounds}{hint}", value=value)


def likely_options(error: Any) -> None:
    """Name in the error about an unknown option or argument what is meant, by the habits of users of other tools."""
    if getattr(error, "ctx", None) is None:
        return
    parameters = {name: parameter for parameter in error.ctx.command.params for name in parameter.opts}
    if not hasattr(error, "possibilities"):
        if re.search(r"extra arg.*\([-\d., /]+\)$", error.message):
            error.message += "; put numbers with blanks between them in quotes"
        elif "extra arg" in error.message:
            error.message += next((hint for name, hint in MEANT_FOR.items() if name in parameters), "")
        return
    if (meant := OPTION_HABITS.get(error.option_name.lstrip("-").lower().replace("_", "-"))) in parameters:
        error.possibilities = [meant]
    if "texts" in parameters and not error.possibilities:
        error.message += "; put -- before texts that begin with a dash"
    elif error.option_name in ("-o", "--out", "--output") and not error.possibilities:
        error.message += "; to write the output into a file, add > FILE"


app = typer.Typer(cls=Commands, pretty_exceptions_enable=False, context_settings=HELP, **PLAIN)


def _print_version(wanted: bool) -> None:
    if wanted:
        import numba
        import numpy

        print(
            f"mlcore {__version__}, Python {sys.version.split()[0]}, NumPy {numpy.__version__}, "
            f"Numba {numba.__version__}, {pool.available_cores()} threads"
        )
        raise typer.Exit


@app.callback()
def mlcore(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Show the versions and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Example: mlcore grad --x 1,2,1

    Work backpropagation by hand, and train fast text classifiers, on one set
    of Numba kernels.
    """


# How messages name what was typed ---------------------------------------------------------------------------


def option_name(parameter: str) -> str:
    """The option of a parameter of the library: ``relu_at_zero`` is typed as ``--relu-at-zero``; DATA stays."""
    return parameter if parameter.isupper() else f"--{parameter.replace('_', '-')}"


def in_words(error: MlcoreError) -> str:
    """The message of an error or a warning, with the options of the command line."""

    def given(parameter: str, value: object) -> str:
        return f"{option_name(parameter)} is {'given' if value is True else repr(value)}"

    return error.describe(given, setting_words)


def setting_words(parameter: str, value: object) -> str:
    """The words that give an option a value."""
    if isinstance(value, bool):
        return option_name(parameter if value else f"no_{parameter}")
    if isinstance(value, list):
        return " ".join(setting_words(parameter, one) for one in value)
    text = str(value)
    return f"{option_name(parameter)} {text if UNSAFE.isdisjoint(text) else shlex.quote(text)}"
