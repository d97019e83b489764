"""Measure mlcore against fastText, PyTorch and the memory: python tests/benchmarks/compare.py --data PATH

PATH holds labelled texts: the figures are made with IMDb's (aclImdb-train.tar.gz, or the unpacked aclImdb). Run it in
an environment with mlcore, while nothing else runs; README.md beside this file says what is measured, and how. Writes
compare.md and compare.json.

Every figure comes from a process of its own. This one imports neither mlcore nor NumPy and holds no texts, because the
system counts into the peak memory of a process that of the one that started it.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from results import Row, document, markdown

HERE = Path(__file__).parent
PEERS = ("fasttext==0.9.3", "numpy<2", "torch==2.13.0")  # fastText's predict fails with NumPy 2
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlcore-benchmark"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ENOUGH_THREADS = 12  # with fewer, fastText leaves a part of its table uninitialised
MOST_ATTEMPTS = 20  # at a training of fastText, which such a table may stop with NaN
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
NGRAMS = {1: "words", 2: "bigrams"}
SETS = {  # file beside the texts, and n-grams
    "IMDb words": (None, 1),
    "IMDb triples": (None, 3),
    "SST-2": ("sst2-train.tsv", 1),
    "CLINC150": ("clinc150-train-dev.json", 1),
    "waimai": ("waimai-train.csv", 1),
}
MANY_LABELS = {  # file beside the texts, and its column of labels
    "Banking77": ("banking77-train.csv", "category"),
    "CLINC150": ("clinc150-train-dev.json", "intent"),
}
# as on a user's machine, where Python keeps its bytecode
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
UNITS = {"seconds": "s", "epoch": "s", "memory": "MB", "rate": "MB/s", "accuracy": ""}

Figures = dict[str, object]  # of one process: its seconds, its peak in MB, and what it printed


class Bench:
    """Folder with the texts, the two environments, and how to measure in them."""

    def __init__(self, folder: Path, data: Path, peers: Path, rounds: int) -> None:
        self.folder, self.peers, self.rounds, self.sets = folder, peers, rounds, data.parent
        self.notes: list[str] = []
        self.model, self.fasttext_model = folder / "mlcore.safetensors", folder / "fasttext.bin"
        # compiled by the warm-up, so that the user's own cache plays no part
        self.environment = ENVIRONMENT | {"NUMBA_CACHE_DIR": str(folder / "compiled")}
        self.texts = self.parts("write_texts", data, folder)["texts"]
        if find_spec("coverage"):
            self.notes.append("coverage is installed: Numba imports it, which takes 0.2 s of each process of mlcore.")

    def in_turn(self, contest: str, **contestants: Callable[[], Figures]) -> list[list[Figures]]:
        """Measure one contestant after the other, in every round, after a warm-up of each."""
        found: list[list[Figures]] = [[] for _ in contestants]
        for number in range(self.rounds + 1):
            for (name, contestant), figures in zip(contestants.items(), found, strict=True):
                say(f"{contest}, {f'round {number} of {self.rounds}' if number else 'warm-up'}: {name}")
                measured = contestant()
                figures += [measured] * (number > 0)
        return found

    def mlcore(self, *arguments: object) -> Figures:
        """A process of the command line."""
        return measure([sys.executable, "-m", "mlcore", *arguments], self.environment)

    def first_run(self, *arguments: object) -> Figures:
        """A process of the command line that has to compile its kernels."""
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            return measure([sys.executable, "-m", "mlcore", *arguments], ENVIRONMENT | {"NUMBA_CACHE_DIR": cache})

    def parts(self, *arguments: object) -> Figures:
        """A process of parts.py."""
        return measure([sys.executable, HERE / "parts.py", *arguments], self.environment)

    def peer(self, *arguments: object) -> Figures:
        """A process of peers.py."""
        return measure([python_of(self.peers), HERE / "peers.py", *arguments])

    def train(
        self, epochs: int = 5, ngrams: int = 1, data: str = "train.txt", threads: int = CORES, characters: str = "none"
    ) -> Figures:
        """mlcore's training from a text file to a saved model, with the seconds of an epoch."""
        figures = self.mlcore(
            "train-sentiment", "--data", self.folder / data, "--dev", 0, "--epochs", epochs, "--ngrams", ngrams,
            "--char-ngrams", characters, "--dim", 50, "--hidden", 32, "--learning-rate", 0.01, "--schedule", "constant",
            "--word-dropout", 0, "--threads", threads, "--model", self.model, "--json",
        )  # fmt: skip
        epoch = statistics.median(epoch["seconds"] for epoch in figures["epochs"])
        return figures | {"epoch": epoch, "sha256": hashlib.sha256(self.model.read_bytes()).hexdigest()}

    def fasttext(
        self, epochs: int = 5, ngrams: int = 1, data: str = "train.txt", threads: int = CORES, characters: str = "0-0"
    ) -> Figures:
        """fastText's training from a text file to a saved model; one that stops with NaN is tried again."""
        sizes = characters.split("-")
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                return self.peer(
                    "fasttext_train", self.folder / data, self.fasttext_model, epochs, ngrams, threads, *sizes
                )
            except ProcessFailed as failed:
                if "NaN" not in str(failed) or attempt == MOST_ATTEMPTS:
                    raise
                say("fastText stopped with NaN; once more")

    def arrays(self, data: str = "train.txt") -> Path:
        """The texts as numbers, for PyTorch and the kernel that gathers and scatters."""
        path = self.folder / f"{data}.npz"
        if not path.exists():
            self.parts("write_arrays", self.folder / data, path)
        return path

    def beginnings(self, labels: int) -> str:
        """A file of the first twenty words of each text, with so many labels in turn."""
        path = self.folder / f"labels-{labels}.txt"
        lines = [line.split(" ", 21)[1:21] for line in (self.folder / "train.txt").read_text().splitlines()]
        path.write_text("".join(f"__label__{i % labels} {' '.join(words)}\n" for i, words in enumerate(lines)))
        return path.name

    def note_bytes(self, what: str, *found: list[Figures]) -> None:
        """Take a note of whether all trainings made the same model."""
        same = len({figures["sha256"] for rounds in found for figures in rounds}) == 1
        self.notes.append(f"{what} make {'the same' if same else 'DIFFERENT'} bytes.")


class ProcessFailed(Exception):
    """A process ended with another exit code than 0; its errors are in the message."""


def measure(command: list[object], environment: dict[str, str] | None = None) -> Figures:
    """Run a process: its wall time in s, its peak memory in MB, and what it printed, if that is a JSON object."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            raise ProcessFailed(f"{shlex.join(command)} ended with exit code {process.returncode}:\n{said}")
        output.seek(0)
        printed = json.loads(b"{" + output.read()) if output.read(1) == b"{" else {}
    return printed | {"seconds": seconds, "memory": usage.ru_maxrss * PEAK_UNIT / 1e6}


def say(message: str) -> None:
    """Tell the progress."""
    print(message, file=sys.stderr, flush=True)


def values(figures: list[Figures], name: str) -> list:
    """One figure of each round."""
    return [figure[name] for figure in figures]


def versus(what: str, ours: list[Figures], peer: str, theirs: list[Figures], figure: str = "seconds", **more) -> Row:
    """Row of the same figure of both; ``more`` is its target."""
    return Row(what, UNITS[figure], values(ours, figure), peer, values(theirs, figure), **more)


# The contests: each measures, and returns its rows of the table --------------------------------------------


def words(bench: Bench) -> list[Row]:
    """The whole job with words, 5 and 25 epochs; what an epoch takes of it; and the memory."""
    ours, theirs, ours_long, theirs_long = bench.in_turn(
        "words", mlcore=bench.train, fastText=bench.fasttext,
        mlcore_25=lambda: bench.train(25), fastText_25=lambda: bench.fasttext(25),
    )  # fmt: skip
    runs = zip(values(theirs, "seconds"), values(theirs_long, "seconds"), strict=True)
    of_epoch = [(after - before) / 20 for before, after in runs]
    return [
        versus("whole job, 5 epochs, words", ours, "fastText", theirs, target=0.8),
        versus("whole job, 25 epochs, words", ours_long, "fastText", theirs_long, target=0.35),
        Row("one epoch, words", "s", values(ours_long, "epoch"), "fastText", of_epoch, 1 / 4),
        versus("peak memory of training, words", ours, "fastText", theirs, "memory", target=1.5),
    ]


def whole_job(
    bench: Bench, what: str, seconds: float | None = None, memory: float | None = None, **options
) -> list[Row]:
    """The whole job, 5 epochs, and its memory; ``seconds`` and ``memory`` are the targets."""
    ours, theirs = bench.in_turn(
        what, mlcore=lambda: bench.train(**options), fastText=lambda: bench.fasttext(**options)
    )
    return [
        versus(f"whole job, 5 epochs, {what}", ours, "fastText", theirs, target=seconds),
        versus(f"peak memory of training, {what}", ours, "fastText", theirs, "memory", target=memory),
    ]


def bigrams(bench: Bench) -> list[Row]:
    """The whole job with words and pairs of words."""
    return whole_job(bench, "bigrams", 0.5, 1, ngrams=2)


def accuracy(bench: Bench) -> list[Row]:
    """Accuracy on blocks of films that were not trained on, one block in each round."""
    rows = []
    for ngrams, name in NGRAMS.items():
        ours, theirs = [], []
        for test in sorted(bench.folder.glob("test-*.txt"))[: bench.rounds]:
            say(f"accuracy, {name}: {test.stem}")
            train = test.name.replace("test", "train")
            bench.train(5, ngrams, train)
            ours.append(bench.mlcore("evaluate", bench.model, test, "--json"))
            bench.fasttext(5, ngrams, train, ENOUGH_THREADS)
            theirs.append(bench.peer("fasttext_accuracy", bench.fasttext_model, test))
        what = f"accuracy, 5 epochs, {name}"
        rows.append(versus(what, ours, "fastText", theirs, "accuracy", target=1, at_least=True))
    return rows


def pytorch(bench: Bench) -> list[Row]:
    """One epoch of the same network, batches and optimiser, on the same distinct words of each text."""
    rows = []
    for what, data, target in (("words", "train.txt", 1 / 8), ("150 labels", bench.beginnings(150), 1 / 4)):
        arrays = bench.arrays(data)
        ours, theirs = bench.in_turn(
            f"pytorch, {what}", mlcore=lambda data=data: bench.train(data=data),
            PyTorch=lambda arrays=arrays: bench.peer("torch_train", arrays, 2, CORES),
        )  # fmt: skip
        rows.append(versus(f"one epoch, {what}", ours, "PyTorch", theirs, "epoch", target=target))
    return rows


def characters(bench: Bench) -> list[Row]:
    """One epoch with n-grams of 3 to 5 characters of each word."""
    ours, once, thrice = bench.in_turn(
        "characters", mlcore=lambda: bench.train(3, characters="3-5"),
        fastText=lambda: bench.fasttext(1, characters="3-5"), fastText_3=lambda: bench.fasttext(3, characters="3-5"),
    )  # fmt: skip
    runs = zip(values(once, "seconds"), values(thrice, "seconds"), strict=True)
    of_epoch = [(after - before) / 2 for before, after in runs]
    return [Row("one epoch, n-grams of characters", "s", values(ours, "epoch"), "fastText", of_epoch, 1 / 4)]


def defaults(bench: Bench) -> list[Row]:
    """The whole job with all settings automatic."""
    rows = []
    for name, (file, column) in MANY_LABELS.items():
        if not (path := bench.sets / file).exists():
            bench.notes.append(f"{path} is missing: {name} was not measured.")
            continue
        options = "--data", path, "--label-column", column, "--model", bench.model
        (ours,) = bench.in_turn(name, mlcore=lambda options=options: bench.mlcore("train-sentiment", *options))
        rows.append(Row(f"whole job by default, {name}", "s", values(ours, "seconds"), target=5))
    return rows


def limit(bench: Bench) -> list[Row]:
    """One epoch against a kernel that only sums, and adds to, the rows of all tokens."""
    arrays = bench.arrays()
    found = bench.in_turn("limit", mlcore=bench.train, memory=lambda: bench.parts("limit", arrays, CORES))
    return [versus("one epoch, words", found[0], "gather + scatter", found[1], "epoch", target=1)]


def scoring(bench: Bench) -> list[Row]:
    """Labels and probabilities of the texts four times over, with bigrams; ``tables`` measures those of words."""
    texts = bench.folder / "texts.txt"
    bench.train(ngrams=2)
    bench.fasttext(ngrams=2)
    ours, theirs = bench.in_turn(
        "scoring", mlcore=lambda: bench.mlcore("predict", bench.model, "--file", texts),
        fastText=lambda: bench.peer("fasttext_predict", bench.fasttext_model, texts),
    )  # fmt: skip
    what = f"scoring {4 * bench.texts:,} reviews, bigrams"
    return [
        versus(what, ours, "fastText", theirs, target=0.6),
        versus(f"peak memory of {what}", ours, "fastText", theirs, "memory"),
    ]


def labels(bench: Bench) -> list[Row]:
    """The whole job with 10, 1,000 and 10,000 labels, on the first twenty words of each text."""
    counts = 10, 1_000, 10_000
    return [row for k in counts for row in whole_job(bench, f"{k:,} labels", data=bench.beginnings(k))]


def starting(bench: Bench) -> list[Row]:
    """Processes that have next to nothing to do."""
    ours, theirs, help_ = bench.in_turn(
        "starting", forward=lambda: bench.mlcore("forward"), PyTorch=lambda: bench.peer("torch_forward"),
        help=lambda: bench.mlcore("--help"),
    )  # fmt: skip
    return [
        versus("`mlcore forward`", ours, "PyTorch", theirs, target=0.5),
        Row("`mlcore --help`", "s", values(help_, "seconds"), target=0.25),
    ]


def first(bench: Bench) -> list[Row]:
    """First run ever: every kernel is compiled."""
    training, forward = bench.in_turn(
        "first", training=lambda: bench.first_run("train-sentiment", "--model", bench.model),
        forward=lambda: bench.first_run("forward"),
    )  # fmt: skip
    return [
        Row("first run, `mlcore train-sentiment`", "s", values(training, "seconds"), target=15),
        Row("first run, `mlcore forward`", "s", values(forward, "seconds"), target=6),
    ]


def tokenising(bench: Bench) -> list[Row]:
    """Finding and numbering the words of all texts, in memory, and those of other scripts."""
    (ours,) = bench.in_turn("tokenising", mlcore=lambda: bench.parts("tokenise", bench.folder / "train.txt", CORES))
    rates = {name: values(ours, name) for name in ("rate", "Chinese", "Hindi")}
    others = [Row(f"tokenising {name}", "MB/s", rates[name], "this rate", rates["rate"], 0.5, True)
              for name in ("Chinese", "Hindi")]  # fmt: skip
    return [Row("tokenising", "MB/s", rates["rate"], target=150, at_least=True), *others]


def size(bench: Bench) -> list[Row]:
    """The corpus repeated; what it costs should grow with it and no faster."""

    def train(times: int) -> Figures:
        path = bench.folder / f"train-x{times}.txt"
        if not path.exists():
            with path.open("wb") as whole:
                for _ in range(times):
                    whole.write((bench.folder / "train.txt").read_bytes())
        return bench.train(data=path.name)

    once, *more = bench.in_turn("size", x1=bench.train, x2=lambda: train(2), x4=lambda: train(4), x8=lambda: train(8))
    costs = {"epoch": "one epoch", "seconds": "whole job, 5 epochs", "memory": "peak memory"}
    return [
        versus(f"{what}, corpus x {times}", figures, "corpus x 1", once, figure, target=8.5 if target else None)
        for times, figures in zip((2, 4, 8), more, strict=True)
        for figure, what in costs.items()
        for target in [times == 8 and figure != "memory"]
    ]


def tables(bench: Bench) -> list[Row]:
    """Predictions for plain lines, and for the rows of tables with all their columns, against fastText's for lines."""
    bench.train()
    bench.fasttext()
    texts = bench.folder / "texts.txt"
    names = bench.parts("write_tables", texts, bench.folder)["tables"]
    theirs, lines, *found = bench.in_turn(
        "tables", fastText=lambda: bench.peer("fasttext_predict", bench.fasttext_model, texts),
        lines=lambda: bench.mlcore("predict", bench.model, "--file", texts),
        **{name: lambda name=name: bench.mlcore(
            "predict", bench.model, bench.folder / name, "-o", bench.folder / f"out.{name.split('.')[1]}"
        ) for name in names},
    )  # fmt: skip
    figures, size = {"lines": lines} | dict(zip(names, found, strict=True)), texts.stat().st_size / 1e6
    rows = [versus("peak memory, lines", lines, "fastText, lines", theirs, "memory")]
    for name, ours in figures.items():
        target = 0.4 if name == "lines" else 0.7
        rows.append(versus(f"predicting {name}", ours, "fastText, lines", theirs, target=target))
        rows.append(Row(f"predicting {name}", "MB/s", [size / seconds for seconds in values(ours, "seconds")]))
    for name in names:
        rows.append(versus(f"predicting {name}", figures[name], "plain lines", lines, target=2))
        rows.append(versus(f"peak memory, {name}", figures[name], "plain lines", lines, "memory"))
    if "t.parquet" in figures:
        rows.append(versus("predicting t.parquet", figures["t.parquet"], "t.csv", figures["t.csv"], target=1))
    return rows


def threads(bench: Bench) -> list[Row]:
    """Two threads against one, and whether they make the same model."""
    one, two = bench.in_turn("threads", one=lambda: bench.train(threads=1), two=lambda: bench.train(threads=2))
    bench.note_bytes("One and two threads", one, two)
    return [
        versus("one epoch, two threads", two, "one thread", one, "epoch", target=1 / 1.6),
        versus("whole job, 5 epochs, two threads", two, "one thread", one),
    ]


def beside(bench: Bench) -> list[Row]:
    """Epochs alone and beside busy processes: as many threads as mlcore finds best, against one and two."""
    rows: list[Row] = []
    for name, (file, ngrams) in SETS.items():
        path = bench.folder / "train.txt" if file is None else bench.sets / file
        if not path.exists():
            bench.notes.append(f"{path} is missing: epochs of {name} were not measured.")
            continue
        for processes, target in enumerate((1.05, 1.3, 1.3)):
            what = f"{name}, {f'beside {processes} busy' if processes else 'alone'}"
            with busy(processes):
                ours, *fixed = bench.in_turn(
                    what, best=lambda path=path, ngrams=ngrams: bench.parts("epochs", path, ngrams, "any"),
                    one=lambda path=path, ngrams=ngrams: bench.parts("epochs", path, ngrams, 1),
                    two=lambda path=path, ngrams=ngrams: bench.parts("epochs", path, ngrams, 2),
                )  # fmt: skip
            better = min(fixed, key=lambda figures: statistics.median(values(figures, "epoch")))
            rows.append(
                versus(f"one epoch, {what}", ours, "better of one and two threads", better, "epoch", target=target)
            )
            bench.note_bytes(f"Threads for {what}", ours, *fixed)
    return rows


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


ALONE = limit, first, tokenising, size, threads, beside, defaults  # contests that need no peers
WITH_PEERS = words, bigrams, characters, accuracy, pytorch, labels, scoring, tables, starting
CONTESTS = {one.__name__: one for one in (*WITH_PEERS, *ALONE)}

# The run --------------------------------------------------------------------------------------------------


def set_up_peers(folder: Path) -> None:
    """Make the environment of the peers, if it is not there."""
    if not folder.exists():
        say(f"Installing {', '.join(PEERS)} into {folder}, once")
        try:
            measure([sys.executable, "-m", "venv", folder])
            measure([python_of(folder), "-m", "pip", "install", *PEERS])
        except BaseException:  # such as Ctrl-C: half of an environment would be taken for one
            shutil.rmtree(folder, ignore_errors=True)
            raise


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / "bin" / "python"


def machine() -> str:
    """What the figures were made on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    mlcore = subprocess.run([sys.executable, "-m", "mlcore", "--version"], capture_output=True, text=True, check=True)
    return f"{[*models, platform.processor()][0]}, {platform.platform()}; {mlcore.stdout.strip()}; {', '.join(PEERS)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", metavar="PATH", type=Path, required=True, help="Labelled texts.")
    add("--peers", metavar="FOLDER", type=Path, default=CACHE / "peers", help="Their environment; made if missing.")
    add("--rounds", metavar="N", type=int, default=5, help="Default: %(default)s")
    add("--only", metavar="NAME", nargs="+", choices=CONTESTS, default=[*CONTESTS], help=f"Of {', '.join(CONTESTS)}.")
    add("--output", metavar="FOLDER", type=Path, default=Path(), help="Where to write compare.md and compare.json.")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    contests = [CONTESTS[name] for name in options.only]
    if not {*contests} <= {*ALONE}:
        set_up_peers(options.peers)
    about, rows = machine(), list[Row]()
    with tempfile.TemporaryDirectory(prefix="mlcore-benchmark-") as folder:
        bench = Bench(Path(folder), options.data, options.peers, options.rounds)
        for contest in contests:
            rows += contest(bench)
            for name, write in {"compare.md": markdown, "compare.json": document}.items():
                (options.output / name).write_text(write(about, rows, bench.notes), encoding="utf-8")
    print(markdown(about, rows, bench.notes))


if __name__ == "__main__":
    main()
