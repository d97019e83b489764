"""Entry point: run a command, and turn what it raises into one line on stderr and an exit code.

Exit codes: 0 success, 1 a check failed or a training diverged, 2 wrong usage, 3 bad data, 4 bad model file, 5 a path or
stream cannot be used or memory is short, 128 + the number of a signal that ended it (130 Ctrl-C). A closed pipe is 0.
"""

import atexit
import codecs
import errno
import gc
import io
import os
import sys
import warnings
from contextlib import suppress
from typing import Any

from . import interrupts
from .printable import ASCII, printable

LONGEST = 2_000  # characters of a message
NO_ROOM = "free some space, or choose another disk"
ADVICE = {errno.ENOSPC: NO_ROOM, errno.EDQUOT: NO_ROOM, errno.EFBIG: NO_ROOM, errno.EACCES: "check its permissions"}


def main() -> None:
    """Run the command line, and exit."""
    interrupts.listen()
    # Loading modules makes no garbage: collecting it every 700 objects, and at exit, takes a third of a short run, and
    # once a tenth, since a short run has a little more than 100,000 objects
    gc.set_threshold(300_000)
    atexit.register(gc.freeze)
    code = _run()
    interrupts.ignore()
    _discard_unwritten()
    sys.exit(code)


def _run() -> int:
    _prepare_streams()
    warnings.showwarning = lambda message, *_, **__: _complain(str(message))  # without the place in the source
    import typer

    from mlcore.errors import DataError, DivergedError, InputError, MlcoreError, ModelFileError

    from .commands import COMMANDS, app, in_words, likely_options

    exit_codes = {DivergedError: 1, InputError: 2, DataError: 3, ModelFileError: 4}
    arguments = sys.argv[1:] or ["help"]
    if arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    try:
        code = app(arguments, prog_name="mlcore", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except typer.TyperException as error:
        likely_options(error)
        message, command = error.format_message().rstrip("."), arguments[0] if arguments[0] in COMMANDS else ""
        _complain(f"{message}{'' if message.endswith('?') else '.'} See mlcore {command} --help.")
        return 2
    except MlcoreError as error:
        _complain(in_words(error))
        return next(code for kind, code in exit_codes.items() if isinstance(error, kind))
    except SystemExit as stop:  # Typer's and Rich's answer to a closed pipe
        return 0 if getattr(stop.__context__, "errno", 0) == errno.EPIPE else int(stop.code or 0)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return 0  # whoever read our output has seen enough
        advice = ADVICE.get(error.errno or 0, "check the path" if error.filename else "")
        place, reason = f"{error.filename}: " if error.filename else "", error.strerror or error
        _complain(f"{place}{reason}{'; ' if advice else ''}{advice}.")
        return 5
    except MemoryError:
        _complain("there is not enough memory for this; use less data, or a smaller model.")
        return 5


def _prepare_streams() -> None:
    """Let any text be written: files and pipes get UTF-8 unless the environment names another encoding."""
    substitute: Any = lambda error: (ASCII.get(ord(error.object[error.start]), "?"), error.start + 1)  # noqa: E731
    codecs.register_error("substitute", substitute)
    named = os.environ.get("PYTHONIOENCODING")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _ClosedStream())
        elif isinstance(stream, io.TextIOWrapper):
            if isinstance(stream.buffer, io.RawIOBase):  # of PYTHONUNBUFFERED: what is written only in part gets lost
                whole = io.BufferedWriter(stream.detach())
                stream = io.TextIOWrapper(whole, stream.encoding, line_buffering=True)
                setattr(sys, name, stream)
            stream.reconfigure(encoding=None if named or stream.isatty() else "utf-8", errors="substitute")


class _ClosedStream(io.TextIOBase):
    """Stands for a standard stream that the caller has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "Standard output is closed; redirect it to a file or to /dev/null")


def _discard_unwritten() -> None:
    """Let Python, which flushes both streams once more at exit, not complain again of what it could not write."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _complain(message: str) -> None:
    """Print one line on stderr; text from a file cannot move the cursor."""
    line = " ".join(f"mlcore: {message}".split())
    if len(line) > LONGEST:  # it repeats a label, a path or a value
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    with suppress(OSError):  # stderr may be closed; the exit code still tells
        print(printable(line), file=sys.stderr)
