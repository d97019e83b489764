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
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

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
        self.parts("write_texts", data, folder)
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

    def mlcore(self, *arguments: object, **environment: str) -> Figures:
        """A process of the command line."""
        return measure([sys.executable, "-m", "mlcore", *arguments], self.environment | environment)

    def first_run(self, *arguments: object) -> Figures:
        """A process of the command line that has to compile its kernels."""
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            return self.mlcore(*arguments, NUMBA_CACHE_DIR=cache)

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
        given = self.folder / data, self.fasttext_model, epochs, ngrams, threads, *characters.split("-")
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                return self.peer("fasttext_train", *given)
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

    def beside(self, file: str) -> Path | None:
        """The path of a file beside the texts; None if there is none, which is noted."""
        path = self.sets / file
        if path.exists():
            return path
        self.notes.append(f"{path} is missing, and was not measured.")
        return None

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


# Rows of figures, as a table of Markdown and as JSON -------------------------------------------------------


class Row(NamedTuple):
    """One line: mlcore's figure of each round, and perhaps that of a peer in the same round."""

    what: str
    unit: str
    ours: list[float]
    peer: str = ""
    theirs: list[float] | None = None
    target: float | None = None  # of the ratio to the peer, or of the figure itself where there is none
    at_least: bool = False  # rather than at most

    @property
    def compared(self) -> list[float]:
        """mlcore's figure as a multiple of the peer's, in each round, or the figure itself."""
        return [our / their for our, their in zip(self.ours, self.theirs, strict=True)] if self.theirs else self.ours

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target."""
        beyond = statistics.median(self.compared) - (self.target or 0)
        return None if self.target is None else beyond >= 0 if self.at_least else beyond <= 0


def markdown(about: str, rows: list[Row], notes: list[str]) -> str:
    """The medians, with the range of the ratios, and what has to be said of them."""
    lines = [about, "", "| what | mlcore | against | ratio (range) | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ours, theirs = (f"{shown(statistics.median(found or [0]))} {row.unit}".rstrip() for found in row[2:5:2])
        ratio = shown(statistics.median(row.compared)) if row.theirs else ""
        spread = f"({shown(min(row.compared))} to {shown(max(row.compared))})"
        target = f"at {'least' if row.at_least else 'most'} {shown(row.target)}" if row.target else ""
        against = f"{row.peer} {theirs}" if row.theirs else ""
        verdict = {None: "", True: "met", False: "missed"}[row.met]
        lines.append(f"| {' | '.join([row.what, ours, against, f'{ratio} {spread}'.strip(), target, verdict])} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def shown(value: float) -> str:
    """A number to three digits or to the whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document(about: str, rows: list[Row], notes: list[str]) -> str:
    """The same with all rounds, as strict JSON."""
    found = [row._asdict() | {"median": statistics.median(row.compared), "met": row.met} for row in rows]
    whole = {"schema": "mlcore.benchmark/2", "about": about, "rows": found, "notes": notes}
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"


def row(
    what: str, ours: list[Figures], peer: str = "", theirs: list[Figures] | None = None, figure: str = "seconds", **more
) -> Row:
    """Row of a figure of mlcore, and the same of a peer; ``more`` is its target."""
    return Row(what, UNITS[figure], values(ours, figure), peer, theirs and values(theirs, figure), **more)


def of_epoch(less: list[Figures], more: list[Figures], epochs: int) -> list[Figures]:
    """The seconds of an epoch, from those of two trainings of which one has so many more."""
    return [{"epoch": (b["seconds"] - a["seconds"]) / epochs} for a, b in zip(less, more, strict=True)]


# The contests: each measures, and gives its rows of the table --------------------------------------------


def words(bench: Bench) -> Iterator[Row]:
    """The whole job with words, 5 and 25 epochs; what an epoch takes of it; and the memory."""
    ours, theirs, ours_long, theirs_long = bench.in_turn(
        "words", mlcore=bench.train, fastText=bench.fasttext,
        mlcore_25=partial(bench.train, 25), fastText_25=partial(bench.fasttext, 25),
    )  # fmt: skip
    yield row("whole job, 5 epochs, words", ours, "fastText", theirs, target=0.8)
    yield row("whole job, 25 epochs, words", ours_long, "fastText", theirs_long, target=0.35)
    yield row("one epoch, words", ours_long, "fastText", of_epoch(theirs, theirs_long, 20), "epoch", target=1 / 4)
    yield row("peak memory of training, words", ours, "fastText", theirs, "memory", target=1.5)


def whole_job(
    bench: Bench, what: str, seconds: float | None = None, memory: float | None = None, **options
) -> Iterator[Row]:
    """The whole job, 5 epochs, and its memory; ``seconds`` and ``memory`` are the targets."""
    contestants = {"mlcore": partial(bench.train, **options), "fastText": partial(bench.fasttext, **options)}
    ours, theirs = bench.in_turn(what, **contestants)
    yield row(f"whole job, 5 epochs, {what}", ours, "fastText", theirs, target=seconds)
    yield row(f"peak memory of training, {what}", ours, "fastText", theirs, "memory", target=memory)


def bigrams(bench: Bench) -> Iterator[Row]:
    """The whole job with words and pairs of words."""
    return whole_job(bench, "bigrams", 0.5, 1, ngrams=2)


def accuracy(bench: Bench) -> Iterator[Row]:
    """Accuracy on blocks of films that were not trained on, one block in each round."""
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
        yield row(what, ours, "fastText", theirs, "accuracy", target=1, at_least=True)


def pytorch(bench: Bench) -> Iterator[Row]:
    """One epoch of the same network, batches and optimiser, on the same distinct words of each text."""
    for what, data, target in (("words", "train.txt", 1 / 8), ("150 labels", bench.beginnings(150), 1 / 4)):
        theirs = partial(bench.peer, "torch_train", bench.arrays(data), 2, CORES)
        ours, theirs = bench.in_turn(f"pytorch, {what}", mlcore=partial(bench.train, data=data), PyTorch=theirs)
        yield row(f"one epoch, {what}", ours, "PyTorch", theirs, "epoch", target=target)


def characters(bench: Bench) -> Iterator[Row]:
    """One epoch with n-grams of 3 to 5 characters of each word."""
    train, fasttext = (partial(one, characters="3-5") for one in (bench.train, bench.fasttext))
    ours, once, thrice = bench.in_turn(
        "characters", mlcore=partial(train, 3), fastText=partial(fasttext, 1), fastText_3=partial(fasttext, 3)
    )
    theirs = of_epoch(once, thrice, 2)
    yield row("one epoch, n-grams of characters", ours, "fastText", theirs, "epoch", target=1 / 4)


def defaults(bench: Bench) -> Iterator[Row]:
    """The whole job with all settings automatic."""
    for name, (file, column) in MANY_LABELS.items():
        if path := bench.beside(file):
            options = "--data", path, "--label-column", column, "--model", bench.model
            (ours,) = bench.in_turn(name, mlcore=partial(bench.mlcore, "train-sentiment", *options))
            yield row(f"whole job by default, {name}", ours, target=5)


def limit(bench: Bench) -> Iterator[Row]:
    """One epoch against a kernel that only sums, and adds to, the rows of all tokens."""
    memory = partial(bench.parts, "limit", bench.arrays(), CORES)
    ours, theirs = bench.in_turn("limit", mlcore=bench.train, memory=memory)
    yield row("one epoch, words", ours, "gather + scatter", theirs, "epoch", target=1)


def labels(bench: Bench) -> Iterator[Row]:
    """The whole job with 10, 1,000 and 10,000 labels, on the first twenty words of each text."""
    for k in (10, 1_000, 10_000):
        yield from whole_job(bench, f"{k:,} labels", data=bench.beginnings(k))


def starting(bench: Bench) -> Iterator[Row]:
    """Processes that have next to nothing to do."""
    ours, theirs, help_ = bench.in_turn(
        "starting", forward=partial(bench.mlcore, "forward"), PyTorch=partial(bench.peer, "torch_forward"),
        help=partial(bench.mlcore, "--help"),
    )  # fmt: skip
    yield row("`mlcore forward`", ours, "PyTorch", theirs, target=0.5)
    yield row("`mlcore --help`", help_, target=0.25)


def first(bench: Bench) -> Iterator[Row]:
    """First run ever: every kernel is compiled."""
    training = partial(bench.first_run, "train-sentiment", "--model", bench.model)
    ours, forward = bench.in_turn("first", training=training, forward=partial(bench.first_run, "forward"))
    yield row("first run, `mlcore train-sentiment`", ours, target=15)
    yield row("first run, `mlcore forward`", forward, target=6)


def tokenising(bench: Bench) -> Iterator[Row]:
    """Finding and numbering the words of all texts, in memory, and those of other scripts."""
    tokenise = partial(bench.parts, "tokenise", bench.folder / "train.txt", CORES)
    (ours,) = bench.in_turn("tokenising", mlcore=tokenise)
    yield row("tokenising", ours, figure="rate", target=150, at_least=True)
    for name in ("Chinese", "Hindi"):
        rates = values(ours, name), "this rate", values(ours, "rate")
        yield Row(f"tokenising {name}", "MB/s", *rates, target=0.5, at_least=True)


def size(bench: Bench) -> Iterator[Row]:
    """The corpus repeated; what it costs should grow with it and no faster."""

    def train(times: int) -> Figures:
        path = bench.folder / f"train-x{times}.txt"
        if not path.exists():
            with path.open("wb") as whole:
                for _ in range(times):
                    whole.write((bench.folder / "train.txt").read_bytes())
        return bench.train(data=path.name)

    times = 2, 4, 8
    once, *more = bench.in_turn("size", x1=bench.train, **{f"x{n}": partial(train, n) for n in times})
    for n, found in zip(times, more, strict=True):
        target = 8.5 if n == 8 else None
        for what, figure in (("one epoch", "epoch"), ("whole job, 5 epochs", "seconds")):
            yield row(f"{what}, corpus x {n}", found, "corpus x 1", once, figure, target=target)
        yield row(f"peak memory, corpus x {n}", found, "corpus x 1", once, "memory")


def tables(bench: Bench) -> Iterator[Row]:
    """Predictions for plain lines, and for the rows of tables with all their columns, against fastText's for lines."""
    bench.train()
    bench.fasttext()
    texts = bench.folder / "texts.txt"
    names = bench.parts("write_tables", texts, bench.folder)["tables"]
    theirs, lines, *found = bench.in_turn(
        "tables", fastText=partial(bench.peer, "fasttext_predict", bench.fasttext_model, texts),
        lines=partial(bench.mlcore, "predict", bench.model, "--file", texts),
        **{name: partial(
            bench.mlcore, "predict", bench.model, bench.folder / name, "-o", bench.folder / f"out.{name.split('.')[1]}"
        ) for name in names},
    )  # fmt: skip
    figures, size = {"lines": lines} | dict(zip(names, found, strict=True)), texts.stat().st_size / 1e6
    yield row("peak memory, lines", lines, "fastText, lines", theirs, "memory")
    for name, ours in figures.items():
        target = 0.4 if name == "lines" else 0.7
        yield row(f"predicting {name}", ours, "fastText, lines", theirs, target=target)
        yield Row(f"predicting {name}", "MB/s", [size / seconds for seconds in values(ours, "seconds")])
    for name in names:
        yield row(f"predicting {name}", figures[name], "plain lines", lines, target=2)
        yield row(f"peak memory, {name}", figures[name], "plain lines", lines, "memory")
    if "t.parquet" in figures:
        yield row("predicting t.parquet", figures["t.parquet"], "t.csv", figures["t.csv"], target=1)


def threads(bench: Bench) -> Iterator[Row]:
    """Two threads against one, and whether they make the same model."""
    one, two = bench.in_turn("threads", one=partial(bench.train, threads=1), two=partial(bench.train, threads=2))
    bench.note_bytes("One and two threads", one, two)
    yield row("one epoch, two threads", two, "one thread", one, "epoch", target=1 / 1.6)
    yield row("whole job, 5 epochs, two threads", two, "one thread", one)


def beside(bench: Bench) -> Iterator[Row]:
    """Epochs alone and beside busy processes: as many threads as mlcore finds best, against one and two."""
    for name, (file, ngrams) in SETS.items():
        path = bench.beside(file) if file else bench.folder / "train.txt"
        for processes, target in enumerate((1.05, 1.3, 1.3) if path else ()):
            what = f"{name}, {f'beside {processes} busy' if processes else 'alone'}"
            threads = {"best": "any", "one": 1, "two": 2}
            with busy(processes):
                ours, *fixed = bench.in_turn(
                    what, **{kind: partial(bench.parts, "epochs", path, ngrams, n) for kind, n in threads.items()}
                )
            better = min(fixed, key=lambda figures: statistics.median(values(figures, "epoch")))
            peer = "better of one and two threads"
            yield row(f"one epoch, {what}", ours, peer, better, "epoch", target=target)
            bench.note_bytes(f"Threads for {what}", ours, *fixed)


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
WITH_PEERS = words, bigrams, characters, accuracy, pytorch, labels, tables, starting
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
