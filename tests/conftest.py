"""Shared by all tests: how to run the command line, and a small corpus."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from mlcore.cli.interrupts import SIGNALS
from numba import config as numba_config

from mlcore import Layer, Network
from mlcore.exercise.functions import ACTIVATIONS, LOSSES
from mlcore.sentiment.backpropagation import backpropagate
from mlcore.sentiment.explanation import explain, neighbors
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.sentiment.training import Training, compile_kernels
from mlcore.text.dataset import dataset_of, encode
from mlcore.text.vectors import read_vectors

# The same examples in every run, so that a red run can be repeated; no deadline, because first calls compile.
settings.register_profile("mlcore", deadline=None, derandomize=True)
settings.load_profile("mlcore")

# What a shell starts in the background ignores Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent
LONGEST = 600  # seconds of a test of clusters

needs_speed = pytest.mark.skipif(
    bool(numba_config.DISABLE_JIT or numba_config.BOUNDSCHECK),
    reason="trains on a whole corpus, which takes the compiled kernels",
)


def pytest_collection_modifyitems(items):
    """The longest tests first, so that of two processes none waits for the other at the end."""
    items.sort(key=lambda item: "test_docs" not in item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """No test of clusters waits for ever: after LONGEST seconds it fails where it waits, in its fixtures too."""
    if item.path.parent.name == "distributed" and hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"still waiting after {LONGEST} s"))
        signal.setitimer(signal.ITIMER_REAL, LONGEST, 60)  # and again, if its fixtures do not end


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    if hasattr(signal, "SIGALRM"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_configure(config):
    """Without the compiler, NumPy's scalars warn where compiled arithmetic quietly gives inf or NaN."""
    if numba_config.DISABLE_JIT:
        for message in ("overflow", "invalid value", "divide by zero"):
            config.addinivalue_line("filterwarnings", f"ignore:{message}:RuntimeWarning")


SHEET = Settings(ngrams=1, char_ngrams="none", dim=50, hidden=32, epochs=30, word_dropout=0.0, refit=False)


def pinned(**settings):
    """Resolved settings: those of the sheet's network where none are given."""
    rate = LEARNING_RATES[settings.get("optimizer", "adagrad")]
    return replace(SHEET, **{"learning_rate": rate} | settings).resolved()


def compile_by_hand():
    """Compile what the small networks need."""
    pairs = [(name, "none") for name in ACTIVATIONS if name != "step"] + [("identity", name) for name in LOSSES]
    for activation, loss in pairs:
        network = Network([Layer("output", "V", [[1.0]], activation)], loss)
        network.backward(network.forward([1.0]), [1.0])
        network.objective(network.forward([1.0]), [1.0])


def compile_classifier(folder):
    """Compile what the classifier needs besides the steps of a training."""
    texts, labels = ["good film", "bad film"], ["pos", "neg"]
    dataset = dataset_of(texts, labels)
    model = Training(dataset, Settings(dim=1, hidden=1, ngrams=2, min_count=1), 0).begin()
    encode(dataset, 0, **pinned().encoding(), known=model.features)
    explain(model, "good film")
    backpropagate(model, "good film", "pos")
    neighbors(model, "good bad", 1)
    (folder / "v.txt").write_text("Good 1\nfilm 2\n")
    read_vectors(folder / "v.txt", dataset.words, 1)


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """Compile all kernels before the first test, so that no test sees the message of a first run.

    Of two processes that test (-n 2), one begins at the other end, and loads what the first one has compiled by then:
    they meet at a short part, because both compile that one.
    """
    first, *others = (partial(compile_kernels, optimizer) for optimizer in LEARNING_RATES)
    parts = [partial(compile_classifier, tmp_path_factory.mktemp("vectors")), first, compile_by_hand, *others]
    for part in parts[:: 1 if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" else -1]:
        part()


FIRST_RUN = "First run: compiling kernels. Later runs load them from the cache.\n"


class Done(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run ``mlcore`` by its entry point in an empty folder, in this process."""
    (entry,) = entry_points(group="console_scripts", name="mlcore")
    main = entry.load()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("mlcore.cli.render.HEARTBEAT", 3600)  # how slow the machine is shall not be in what is compared

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["mlcore", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            with pytest.raises(SystemExit) as stopped:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capsys.readouterr()
        return Done(stopped.value.code, out, err.replace(FIRST_RUN, ""))  # which test compiles is left to their order

    return call


@pytest.fixture
def run_in_ascii(run, monkeypatch):
    """Standard output of ``mlcore`` where that can only be ASCII."""

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONIOENCODING", "ascii")
            patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
            assert run(*arguments).code == 0
            sys.stdout.flush()
            return sys.stdout.buffer.getvalue().decode()

    return call


COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def compare_with_golden(path, found):
    """Compare a text with the file that has it; WRITE_GOLDEN=1 in the environment writes it there."""
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(found, "utf-8")
    assert found.splitlines() == path.read_text("utf-8").splitlines()


def compare_cases(path, outcome, **names):
    """Compare what a golden file has below each case, ``$`` and values in Python, with the lines of its outcome."""
    found = list[str]()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("$ "):
            found += [line, *outcome(*eval(f"[{line[2:]}]", names))]
        elif not line or line.startswith("#"):
            found.append(line)
    compare_with_golden(path, "\n".join([*found, ""]))


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def play(run, folder, session):
    """Compare a session in a shell with what the commands print, and with the exit code where it is not 0.

    ``$ cat > FILE`` writes what follows into a file, and ``$ cat FILE`` prints one. With WRITE_GOLDEN=1 in the
    environment, what is printed is written into the session instead.
    """
    text = session.read_text("utf-8")
    found = text[: text.index("$ ")]
    for command, content in COMMAND.findall(text):
        program, *arguments = shlex.split(command)
        path = folder / arguments[-1]
        if program == "mlcore":
            before, done = files(folder), run(*arguments)
            content = done.out + f"{done.code} " * (done.code > 1) + done.err + "exit code 1\n" * (done.code == 1)
            assert done.code < 2 or (done.out, done.err.count("\n"), files(folder)) == ("", 1, before), command
            if done.out and "--json" in arguments:  # one document, strictly by RFC 8259
                assert not re.search(r"NaN|Infinity|-0(\.0)?[],}]", done.out.removesuffix("\n")), command
                json.loads(done.out)
            elif "--format" not in arguments:
                assert max(map(len, done.out.splitlines()), default=0) <= 80, command
        elif arguments[0] == ">":
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, "utf-8")
        else:
            content = path.read_text("utf-8-sig")
        found += "".join(f"{line}\n" for line in (f"$ {command}", *content.splitlines()))
    compare_with_golden(session, found)


@pytest.fixture
def start(tmp_path):
    """Start ``mlcore`` as a process of its own in an empty folder, with pipes."""

    def call(*arguments, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-m", "mlcore", *map(str, arguments)]
        return subprocess.Popen(command, **(pipes | {"cwd": tmp_path, "text": True} | options))

    return call


def run_python(code, *arguments, **options):
    """Run a program of Python in a process of its own; what it prints is text."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, **options)


@pytest.fixture
def reviews(tmp_path):
    """TSV file of 40 easy texts."""
    path, rows = tmp_path / "reviews.tsv", "pos\tA good, warm film.\nneg\tA bad, dull film.\npos\tgood good fun\n"
    path.write_text("label\ttext\n" + 10 * f"{rows}neg\tbad plot, bad!\n")
    return path


TRAINED: dict[str, bytes] = {}  # models that several tests use


@pytest.fixture
def train_once(run, tmp_path):
    """Write the model that these options make of files in the folder; it is trained by the first test that needs it."""

    def write(name, *options):
        if name not in TRAINED:
            assert run("train-sentiment", *options, "--json", "--model", name)[::2] == (0, "")
            TRAINED[name] = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(TRAINED[name])
        return tmp_path / name

    return write


@pytest.fixture
def model(train_once, reviews):
    """A small trained model."""
    words, small = ("--ngrams", 1, "--char-ngrams", "none"), ("--dim", 3, "--hidden", 2, "--epochs", 30)
    options = *words, *small, "--learning-rate", 0.2, "--no-refit"
    return train_once("sentiment.safetensors", "--data", reviews.name, *options)


@pytest.fixture(scope="module")
def chromium():
    """A browser for pages."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: it is in mlcore[test]")
    if not (path := shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("Chromium is not installed: apt-get install chromium")
    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    with sync_api.sync_playwright() as playwright:
        arguments = [f"--{name}" for name in (*quiet.split(), "disable-sync")]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open a page of a file or a server; it may not have errors, and may ask for nothing else."""
    contexts, problems = [], []

    def call(path, width=820, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page, url = context.new_page(), path if isinstance(path, str) else path.resolve().as_uri()
        page.on("request", lambda request: request.url in (url, "blob:") or problems.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(url)
        return page

    yield call
    for context in contexts:
        context.close()
    assert not problems


def axe_findings(page):
    """What axe-core finds that is serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="it is in mlcore[test]")
    found = axe.Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


def run_in_node(scripts, function, argument):
    """What a function of JavaScript makes of JSON, after these scripts of ``data/web``."""
    if not (node := shutil.which("node")):
        pytest.skip("Node.js is not installed: apt-get install nodejs")
    code = [(REPOSITORY / "data/web" / f"{name}.js").read_text() for name in scripts]
    code.append("const read = require('fs').readFileSync(0, 'utf8');")
    code.append(f"console.log(JSON.stringify(({function})(JSON.parse(read))))")
    done = subprocess.run(
        [node, "-e", "\n".join(code)], input=json.dumps(argument), capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pieces_of(word: str, sizes: range) -> list[str]:
    """N-grams of the characters of a word between < and >."""
    whole = f"<{word}>"
    found = [whole[start : start + size] for start in range(len(whole)) for size in sizes if start + size <= len(whole)]
    return [piece for piece in found if piece != whole]
