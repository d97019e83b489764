"""SIGINT, SIGTERM and SIGHUP: at any moment one line and an exit code, and a training keeps its best epoch.

A handler that raised an error would do so anywhere: in a callback of the compiler, which drops it, or in the middle of
another's cleaning up. This one ends the process at once, or takes a note where something would be lost by that.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Any

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if sys.platform != "win32":
    SIGNALS[signal.SIGHUP] = "hung up"

received = 0  # the first signal
_deferred = False
_remark = ""


def listen() -> None:
    """Handle the next signal from now on, but for those that whoever started the process ignores (nohup)."""
    global received
    received = 0
    end_at_once()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def ignore() -> None:
    """Ignore the signals from now on: all is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def defer() -> None:
    """From now on only take a note of a signal, in ``received``."""
    global _deferred
    _deferred = True


def end_at_once(remark: str = "") -> None:
    """From now on let a signal end the process at once; ``remark`` is said then."""
    global _deferred, _remark
    _deferred, _remark = False, remark


def exit_code() -> int:
    """What a process exits with after the signal that it has received; 0 if there was none."""
    return 128 + received if received else 0


def word() -> str:
    """What the signal has done to the process."""
    return SIGNALS[signal.Signals(received)]


def _handle(number: int, frame: Any) -> None:
    global received, _deferred
    received = received or number
    if not _deferred:
        _deferred = True  # another one changes nothing
        for module, name in (("mlcore.files", "remove_unfinished"), ("mlcore.kernels.compiling", "end_others")):
            loaded = sys.modules.get(module)
            # its dictionary: an attribute would execute it now, perhaps in the middle of a module that it needs
            if function := loaded and object.__getattribute__(loaded, "__dict__").get(name):
                function()
        # no buffer: it may be in use just now
        clear = "\r\x1b[K\x1b[?25h" if os.environ.get("TERM", "dumb") != "dumb" and os.isatty(2) else ""
        with suppress(OSError):
            os.write(2, f"{clear}mlcore: {word()}{_remark}.\n".encode(errors="replace"))
        os._exit(exit_code())
