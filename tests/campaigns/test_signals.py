"""Signals at random moments: a command ends soon, with one line and the signal's exit code, and loses nothing."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import needs_speed, run_python
from mlcore.cli.interrupts import SIGNALS

from mlcore.files import PART
from mlcore.sentiment.model_file import load_model

LONG = ("--epochs", "100000", "--patience", "100000", "--learning-rate", "0.2")
COMMANDS = {  # and for how many seconds a signal may still find them at work
    ("train-sentiment", "reviews.tsv", *LONG): 3.0,
    ("train-sentiment", "reviews.tsv", *LONG, "--checkpoint", "c", "--log", "l", "--dim", "500"): 3.0,
    ("compare-embeddings", "--data", "reviews.tsv", "--seeds", "20"): 3.0,
    ("tune", "--data", "reviews.tsv", "--minutes", "1"): 3.0,
    ("train-sentiment", "--epochs", "3"): 2.0,
    ("predict", "sentiment.safetensors", "reviews.tsv", "-o", "out.csv"): 1.0,
    ("predict", "sentiment.safetensors"): 1.0,
    ("report", "sentiment.safetensors", "reviews.tsv"): 1.0,
    ("grad",): 1.0, ("data", "reviews.tsv"): 1.0, ("describe", "sentiment.safetensors"): 0.5, ("verify",): 3.0,
}  # fmt: skip
LINE = re.compile(rf"^mlcore: ({'|'.join(SIGNALS.values())})\b.*\.$", re.MULTILINE)
PATIENCE = 60  # seconds: the machine may be busy


def listens(process):
    """Whether the process handles SIGTERM by now, as it does once Python has started and mlcore has begun."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


def interrupt(command, folder, chance):
    """Start a command, send one to three signals at a random moment, and return its process, output and the seconds."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-m", "mlcore", *command], cwd=folder, text=True, **pipes)
    while process.poll() is None and not listens(process):
        time.sleep(0.001)
    time.sleep(chance.uniform(0, COMMANDS[command]))
    caught = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # by nohup, or a shell's &
    numbers = [chance.choice(caught) for _ in range(chance.choice([1, 1, 2, 2, 3]))]
    for number in numbers:
        process.send_signal(number)
    begun = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE)
    return process, numbers, out, err, time.monotonic() - begun


def test_only_the_first_signal_counts():
    """The next one does not end a training that is saving its best epoch, but one that has saved it, in its name."""
    code = """if True:
        import signal
        from mlcore.cli import interrupts
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
        interrupts.listen()
        interrupts.defer()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        print(interrupts.word(), interrupts.exit_code(), flush=True)
        interrupts.end_at_once("; all is saved")
        signal.raise_signal(signal.SIGHUP)
    """
    done = run_python(code)
    assert done.stdout == "terminated 143\n"
    assert (done.stderr, done.returncode) == ("mlcore: terminated; all is saved.\n", 143)


def test_no_module_is_executed_by_a_signal():
    """It may come while another module is being executed, which that one needs."""
    code = """if True:
        import signal, sys
        from mlcore.cli import interrupts
        import mlcore.files, mlcore.kernels.compiling
        sys.modules |= dict.fromkeys(("numba", "tempfile"))  # cannot be imported
        interrupts.listen()
        signal.raise_signal(signal.SIGTERM)
    """
    done = run_python(code)
    assert (done.stderr, done.returncode) == ("mlcore: terminated.\n", 143)


@needs_speed
@pytest.mark.parametrize("trials", [4, pytest.param(1000, marks=pytest.mark.full)])
def test_signals(model, trials):
    chance, folder = random.Random(trials), model.parent
    slowest = 0.0
    for trial in range(trials):
        command = chance.choice([*COMMANDS])
        process, numbers, out, err, seconds = interrupt(command, folder, chance)
        where = f"trial {trial}: mlcore {' '.join(command)} after {numbers}: {process.returncode}\n{out[-500:]}\n{err}"
        assert not re.search("Traceback|Exception ignored|Warning", err), where
        if process.returncode not in (0, 1):  # it was not done already
            assert process.returncode - 128 in numbers, where
            assert len(LINE.findall(err)) == 1, where
        if found := re.search(r"is in (.*\.safetensors)\.$", err, re.MULTILINE):
            load_model(folder / found[1])
        assert not list(folder.glob(PART)), where
        slowest = max(slowest, seconds)
    print(f"{trials} trials, the slowest ended after {slowest:.1f} s")
