"""The options that commands share, and how options are declared."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcore.errors import InputError
from mlcore.exercise import problem


def option(metavar: str, help: str, *names: str, default: str | bool = False, **more: Any) -> Any:
    """An option; ``default`` is what its help says about leaving it out, True for the default itself."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=default, **more)


def number_option(metavar: str, help: str, default: str | bool = False) -> Any:
    """An option for a number, which is taken exactly."""
    return option(metavar, help, default=default, parser=lambda text: problem.parse_number(text, ""))


def flag(help: str, *names: str) -> Any:
    """An option without a value."""
    return typer.Option(*names, help=help)


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raises: InputError if one of these options is given, which cannot be used here."""
    if given := [name for name, value in options.items() if value is not None and value is not False]:
        raise InputError(f"--{given[0]} {why}")


def parse_path(text: str) -> Path:
    """The path that was typed; ``Path("")`` would be the current folder."""
    if not text:
        raise InputError("expected the path of a file or folder", value=text)
    return Path(text)


def parse_file(text: str) -> Path:
    """The path of a file that is written beside the results."""
    if text == "-":
        raise InputError("standard output is for the results; give a file", value=text)
    return parse_path(text)


FILES = "Labelled texts, as --data; both are read."
DATA = "Files or folders of labelled texts, or - for standard input."
Data = Annotated[list[Path] | None, option("PATH", "Labelled texts; may be repeated.", default="built in")]
DataArgument = Annotated[list[Path], typer.Argument(metavar="DATA", help=DATA, show_default=False)]
Files = Annotated[list[Path] | None, typer.Argument(metavar="DATA", help=FILES, show_default=False)]
Json = Annotated[bool, flag("Print one JSON document instead of tables.", "--json")]
A_MODEL = "A file written by train-sentiment."
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help=A_MODEL)]
NewModel = Annotated[Path, option("PATH", "Write the model here.", "--model", "-m", default=True, parser=parse_file)]
Output = Annotated[Path, option("PATH", "Where to write it; - is standard output.", "--output", "-o", default=True)]
VECTORS = "Word vectors to start from: GloVe, word2vec, fastText .vec, Numberbatch or model2vec."
GivenVectors = Annotated[Path | None, option("PATH", VECTORS)]
AT = "Use the Dask cluster at tcp://HOST:8786, or N processes here: local:N."
Scheduler = Annotated[str | None, option("ADDRESS", AT, default="this process alone")]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its parameters that are dataclasses, such as Settings."""
    given = inspect.signature(command).parameters
    groups, options = dict[str, list[Any]](), list[inspect.Parameter]()
    for name, parameter in given.items():
        if not is_dataclass(parameter.annotation):
            options.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        groups[name] = [field for field in fields(parameter.annotation) if "help" in field.metadata]
        for field in groups[name]:
            words, about = field.name.replace("_", "-"), field.metadata
            names = [f"--{words}" + f"/--no-{words}" * (field.default is not False)] * (field.type is bool)
            shown = option(about.get("metavar"), about["help"], *names, default=about.get("automatic", True))
            kind: Any = field.type | None if "automatic" in about else field.type
            annotation: Any = Annotated[kind, shown]
            options.append(parameter.replace(name=field.name, default=field.default, annotation=annotation))

    @wraps(command)
    def run(**values: Any) -> None:
        for name, declared in groups.items():
            values[name] = given[name].annotation(**{field.name: values.pop(field.name) for field in declared})
        command(**values)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run
