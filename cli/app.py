"""Entry point: runs the commands, and turns what they raise into one line on stderr and an exit code.

Exit codes: 0 fine, 1 a check failed or a training diverged, 2 wrong usage, 3 bad data, 4 bad model file,
5 a path or stream that cannot be read or written, 130 Ctrl-C. A closed pipe is no error.
"""

import atexit
import errno
import gc
import io
import os
import re
import signal
import sys


def main() -> None:
    """Run the command line, and exit."""
    # What is loaded is no garbage: to look for some every 700 objects, and again at the end, is a third of a short run
    threshold = gc.get_threshold()
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # also while the modules are being loaded
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _complain("Interrupted.")
        sys.exit(130)
    finally:
        gc.set_threshold(*threshold)


def _run() -> int:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, _Closed())
        else:  # a character that the terminal cannot show is no reason to stop
            getattr(sys, name).reconfigure(errors="replace")

    import typer

    from mlcore.errors import DataError, DivergedError, InputError, MlcoreError, ModelFileError

    from .commands import app

    exit_codes = {DivergedError: 1, InputError: 2, DataError: 3, ModelFileError: 4}
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="mlcore", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        _complain(f"{message}{'' if message.endswith('?') else '.'} See {_command(error)} --help.")
        return 2
    except MlcoreError as error:
        # what the library calls relu_at_zero was typed as --relu-at-zero
        message = re.sub(r"^([a-z]+(_[a-z]+)*) is ", lambda name: f"--{name[1].replace('_', '-')} is ", str(error))
        _complain(message if isinstance(error, InputError) else str(error))
        return next(code for kind, code in exit_codes.items() if isinstance(error, kind))
    except SystemExit as stop:  # Typer's and Rich's answer to a closed pipe
        return _close_quietly() if _is_closed_pipe(stop.__context__) else int(stop.code or 0)
    except OSError as error:
        if _is_closed_pipe(error):
            return _close_quietly()
        where = (
            f"{error.filename}: {error.strerror}; check the path." if error.filename else f"{error.strerror or error}."
        )
        _complain(where)
        return 5


class _Closed(io.TextIOBase):
    """Stands for a standard stream that the caller has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "Standard output is closed; redirect it to a file or to /dev/null")


def _is_closed_pipe(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _close_quietly() -> int:
    """Whoever read our output has seen enough: what is still in the buffer goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _command(error: Exception) -> str:
    """The command that a usage error is about."""
    context = getattr(error, "ctx", None)
    if context is not None and context.parent is not None:
        return context.command_path
    from .commands import COMMANDS

    return " ".join(["mlcore", *(word for word in sys.argv[1:2] if word in COMMANDS)])


def _complain(message: str) -> None:
    """One line on stderr; what came from a file cannot move the cursor."""
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(message.split())
    )
    try:
        print(f"mlcore: {line}", file=sys.stderr)
    except OSError:
        pass  # stderr is closed: the exit code has to do
