"""The Typer application: its commands, its exit codes, and one line for every error.

Exit codes: 0 fine, 1 a check failed or a training diverged, 2 wrong usage, 3 bad data, 4 bad model file,
5 a path or stream that cannot be read or written, 130 Ctrl-C.
"""

import os
import platform
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from mlcore import __version__
from mlcore.errors import DataError, DivergedError, InputError, MlcoreError, ModelFileError

from . import exercise, sentiment

EXIT_CODES = {DivergedError: 1, InputError: 2, DataError: 3, ModelFileError: 4, OSError: 5}


class Commands(TyperGroup):
    """The group of all commands, which turns what they raise into a line on stderr and an exit code."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: {error.strerror}; check the path." if error.filename else f"{error}."
            raise _stop(where, 5) from error
        except MlcoreError as error:
            raise _stop(str(error), next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))) from error
        except KeyboardInterrupt:
            raise _stop("Interrupted.", 130) from None


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
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

    Backpropagation by hand, and a sentiment classifier at scale, on one set of Numba kernels.
    """


app.command(short_help="Forward values and loss of the 3-2-1 network, or any sizes.")(exercise.forward)
app.command(short_help="Gradients by backpropagation, and the truth at the ReLU's kink.")(exercise.grad)
app.command(short_help="Train a sentiment classifier with a trainable embedding.")(sentiment.train_sentiment)
app.command(short_help="Accuracy, loss and confusion matrix of a model on labelled texts.")(sentiment.evaluate)
app.command(short_help="Label and probability of texts.")(sentiment.predict)


def main() -> None:
    """Entry point of the command ``mlcore``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, who does not want to read it
            setattr(sys, name, open(os.devnull, "w"))
        else:
            stream.reconfigure(errors="replace")  # a word that the terminal cannot show is no reason to stop
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="mlcore", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "mlcore"
        message = error.format_message().rstrip(".")
        code = _stop(f"{message}{'' if message.endswith('?') else '.'} See {command} --help.", 2).exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _stop(message: str, code: int) -> typer.Exit:
    """Say in one line on stderr why the command ends, and return what to raise."""
    print(f"mlcore: {' '.join(message.split())}", file=sys.stderr)
    return typer.Exit(code)
