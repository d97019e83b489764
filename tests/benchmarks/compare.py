"""Measure mlcore against fastText, PyTorch and the memory: python tests/benchmarks/compare.py --data FOLDER

FOLDER holds the reviews of IMDb: aclImdb-train.tar.gz, or the unpacked aclImdb. Run it in an environment with mlcore,
while nothing else runs; README.md beside this file says what is measured, and how. Writes compare.md and compare.json.

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
from pathlib import Path

from table import Report, Row, Target, document, markdown

HERE = Path(__file__).parent
DATA = ("aclImdb-train.tar.gz", "aclImdb")
PEERS = ("fasttext==0.9.3", "numpy<2", "torch==2.13.0")  # fastText's predict fails with NumPy 2
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlcore-benchmark"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ENOUGH_THREADS = 12  # with fewer, fastText leaves a part of its table uninitialised
MOST_ATTEMPTS = 20  # at a training of fastText, which such a table may stop with NaN
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes

Figures = dict[str, object]  # of one process: its seconds, its peak in MB, and what it printed


class Bench:
    """Folder with the texts, the two environments, and how to measure in them."""

    def __init__(self, folder: Path, data: Path, peers: Path, rounds: int, share: float) -> None:
        self.folder, self.peers, self.rounds, self.sets = folder, peers, rounds, data.parent
        self.notes: list[str] = []
        self.retries = 0
        # compiled by the warm-up, so that the user's own cache plays no part
        self.environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "compiled")}
        self.versions = self.parts("versions")["versions"]
        self.sizes = self.parts("write_texts", data, folder, share)["sizes"]

    def in_turn(self, contest: str, contestants: dict[str, Callable[[], Figures]]) -> dict[str, list[Figures]]:
        """Measure one contestant after the other, in every round, after a warm-up of each."""
        found: dict[str, list[Figures]] = {name: [] for name in contestants}
        for number in range(self.rounds + 1):
            for name, contestant in contestants.items():
                say(f"{contest}, {f'round {number} of {self.rounds}' if number else 'warm-up'}: {name}")
                figures = contestant()
                if number:
                    found[name].append(figures)
        return found

    def mlcore(self, *arguments: object, **environment: str) -> Figures:
        """A process of the command line, which finds nothing that an earlier one left in the user's cache."""
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            fresh = self.environment | {"XDG_CACHE_HOME": cache} | environment
            return measure([sys.executable, "-m", "mlcore", *arguments], fresh)

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

    def train(self, epochs: int, ngrams: int = 1, data: str = "train.txt", threads: int = CORES) -> Figures:
        """mlcore's training from a text file to a saved model, with the seconds of an epoch."""
        figures = self.mlcore(
            "train-sentiment", "--data", self.folder / data, "--dev", 0, "--epochs", epochs, "--ngrams", ngrams,
            "--char-ngrams", "none", "--dim", 50, "--hidden", 32, "--learning-rate", 0.01,
            "--threads", threads, "--model", self.model, "--json",
        )  # fmt: skip
        return {
            "seconds": figures["seconds"],
            "memory": figures["memory"],
            "epoch": statistics.median(epoch["seconds"] for epoch in figures["epochs"]),
            "sha256": sha256(self.model),
        }

    def train_fasttext(self, epochs: int, ngrams: int = 1, data: str = "train.txt", threads: int = CORES) -> Figures:
        """fastText's training from a text file to a saved model; one that stops with NaN is tried again."""
        for _ in range(MOST_ATTEMPTS):
            try:
                return self.peer("fasttext_train", self.folder / data, self.fasttext_model, epochs, ngrams, threads)
            except ProcessFailed as failed:
                if "NaN" not in str(failed):
                    raise
                self.retries += 1
        raise ProcessFailed(f"fastText stopped with NaN {MOST_ATTEMPTS} times in a row.")

    @property
    def model(self) -> Path:
        """Where mlcore's trainings leave their model."""
        return self.folder / "mlcore.safetensors"

    @property
    def fasttext_model(self) -> Path:
        """Where fastText's trainings leave their model."""
        return self.folder / "fasttext.bin"

    def arrays(self) -> Path:
        """The texts as numbers, for PyTorch and the kernel that gathers and scatters."""
        path = self.folder / "arrays.npz"
        if not path.exists():
            self.sizes |= self.parts("write_arrays", self.folder / "train.txt", path)["sizes"]
        return path

    def repeated(self, times: int) -> str:
        """Name of a file that holds the texts so many times."""
        path = self.folder / f"train-x{times}.txt"
        if not path.exists():
            with path.open("wb") as whole:
                for _ in range(times):
                    with (self.folder / "train.txt").open("rb") as once:
                        shutil.copyfileobj(once, whole)
        return path.name


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


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(message: str) -> None:
    """Tell the progress."""
    print(message, file=sys.stderr, flush=True)


# The contests: each measures, and returns its rows of the table --------------------------------------------


def whole_job(bench: Bench, ngrams: int, epochs: tuple[int, ...]) -> list[tuple[list[Figures], list[Figures]]]:
    """From a text file to a saved model, in turn: for each number of epochs what mlcore and fastText take."""
    contestants = {}
    for number in epochs:
        contestants[f"mlcore, {number} epochs"] = lambda number=number: bench.train(number, ngrams)
        contestants[f"fastText, {number} epochs"] = lambda number=number: bench.train_fasttext(number, ngrams)
    found = iter(bench.in_turn(f"whole job, {NGRAMS[ngrams]}", contestants).values())
    return list(zip(found, found, strict=True))


def words(bench: Bench) -> list[Row]:
    """The whole job with words, 5 and 25 epochs; what an epoch takes of it; and the memory."""
    (ours, theirs), (ours_long, theirs_long) = whole_job(bench, 1, (5, 25))
    runs = zip(values(theirs, "seconds"), values(theirs_long, "seconds"), strict=True)
    of_epoch = [(after - before) / 20 for before, after in runs]
    return [
        versus("whole job, 5 epochs, words", ours, "fastText", theirs, target=Target(0.8)),
        versus("whole job, 25 epochs, words", ours_long, "fastText", theirs_long, target=Target(0.35)),
        Row("one epoch, words", "s", values(ours_long, "epoch"), "fastText", of_epoch, Target(1 / 4)),
        versus("peak memory of training, words", ours, "fastText", theirs, "memory", Target(1.5)),
    ]


def bigrams(bench: Bench) -> list[Row]:
    """The whole job with words and pairs of words, 5 epochs, and the memory."""
    ((ours, theirs),) = whole_job(bench, 2, (5,))
    return [
        versus("whole job, 5 epochs, bigrams", ours, "fastText", theirs, target=Target(0.5)),
        versus("peak memory of training, bigrams", ours, "fastText", theirs, "memory", Target(1)),
    ]


def accuracy(bench: Bench) -> list[Row]:
    """Accuracy on blocks of films that were not trained on, one block in each round."""
    rows = []
    for ngrams, name in NGRAMS.items():
        ours, theirs = [], []
        for test in sorted(bench.folder.glob("test-*.txt"))[: bench.rounds]:
            say(f"accuracy, {name}: {test.stem}")
            train = test.name.replace("test", "train")
            bench.train(5, ngrams, train)
            ours.append(bench.mlcore("evaluate", bench.model, test, "--json")["accuracy"])
            bench.train_fasttext(5, ngrams, train, ENOUGH_THREADS)
            theirs.append(bench.peer("fasttext_accuracy", bench.fasttext_model, test)["accuracy"])
        rows.append(Row(f"accuracy, 5 epochs, {name}", "", ours, "fastText", theirs, Target(1, at_least=True)))
    return rows


def pytorch(bench: Bench) -> list[Row]:
    """One epoch of the same network, batches and optimiser, on the same distinct words of each text."""
    arrays = bench.arrays()
    ours, theirs = bench.in_turn(
        "pytorch",
        {"mlcore": lambda: bench.train(5), "PyTorch": lambda: bench.peer("torch_train", arrays, 2, CORES)},
    ).values()
    return [versus("one epoch, words", ours, "PyTorch", theirs, "epoch", Target(1 / 8))]


def limit(bench: Bench) -> list[Row]:
    """One epoch against a kernel that only sums, and adds to, the rows of all tokens."""
    arrays = bench.arrays()
    ours, theirs = bench.in_turn(
        "limit",
        {"mlcore": lambda: bench.train(5), "gather + scatter": lambda: bench.parts("limit", arrays, CORES)},
    ).values()
    epoch, with_moments = values(ours, "epoch"), values(theirs, "epoch with moments")
    return [
        versus("one epoch, words", ours, "gather + scatter", theirs, "epoch", Target(1)),
        Row("one epoch, words", "s", epoch, "gather + scatter, with Adagrad's moments", with_moments),
    ]


def scoring(bench: Bench) -> list[Row]:
    """Labels and probabilities of the texts four times over, from a file."""
    texts, rows = bench.folder / "texts.txt", []
    for ngrams, name in NGRAMS.items():
        say(f"scoring, {name}: training")
        bench.train(5, ngrams)
        bench.train_fasttext(5, ngrams)
        ours, theirs = bench.in_turn(
            f"scoring, {name}",
            {
                "mlcore": lambda: bench.mlcore("predict", bench.model, "--file", texts),
                "fastText": lambda: bench.peer("fasttext_predict", bench.fasttext_model, texts),
            },
        ).values()
        what = f"scoring {4 * bench.sizes['texts']:,} reviews, {name}"
        rows.append(versus(what, ours, "fastText", theirs, target=Target(0.6)))
        rows.append(versus(f"peak memory of {what}", ours, "fastText", theirs, "memory"))
    return rows


def starting(bench: Bench) -> list[Row]:
    """Processes that have next to nothing to do."""
    ours, theirs, help_ = bench.in_turn(
        "starting",
        {
            "mlcore forward": lambda: bench.mlcore("forward"),
            "PyTorch": lambda: bench.peer("torch_forward"),
            "mlcore --help": lambda: bench.mlcore("--help"),
        },
    ).values()
    return [
        versus("`mlcore forward`", ours, "PyTorch", theirs, target=Target(0.5)),
        Row("`mlcore --help`", "s", values(help_, "seconds"), target=Target(0.25)),
    ]


def first(bench: Bench) -> list[Row]:
    """First run ever: every kernel is compiled."""
    training, forward = bench.in_turn(
        "first",
        {
            "train-sentiment": lambda: bench.first_run("train-sentiment", "--model", bench.model),
            "forward": lambda: bench.first_run("forward"),
        },
    ).values()
    return [
        Row("first run, `mlcore train-sentiment`", "s", values(training, "seconds"), target=Target(15)),
        Row("first run, `mlcore forward`", "s", values(forward, "seconds"), target=Target(6)),
    ]


def tokenising(bench: Bench) -> list[Row]:
    """Finding and numbering the words of all texts, in memory."""
    (ours,) = bench.in_turn(
        "tokenising", {"mlcore": lambda: bench.parts("tokenise", bench.folder / "train.txt", CORES)}
    ).values()
    shares = {
        name: [100 * a / b for a, b in zip(values(ours, name), values(ours, "rate"), strict=True)] for name in OTHER
    }
    return [
        Row("tokenising", "MB/s", values(ours, "rate"), target=Target(150, at_least=True)),
        *(
            Row(f"tokenising {name}", "% of this rate", share, target=Target(50, at_least=True))
            for name, share in shares.items()
        ),
    ]


def size(bench: Bench) -> list[Row]:
    """The corpus repeated; what it costs should grow with it and no faster."""
    once, *more = bench.in_turn(
        "size",
        {
            f"mlcore, corpus x {times}": lambda times=times: bench.train(5, data=bench.repeated(times))
            for times in SIZES
        },
    ).values()
    rows = []
    for times, figures in zip(SIZES[1:], more, strict=True):
        target = Target(8.5) if times == 8 else None
        for figure, what in (("epoch", "one epoch"), ("seconds", "whole job, 5 epochs"), ("memory", "peak memory")):
            of_time = target if figure != "memory" else None
            rows.append(versus(f"{what}, corpus x {times}", figures, "corpus x 1", once, figure, of_time))
    return rows


def threads(bench: Bench) -> list[Row]:
    """Two threads against one, and whether they make the same model."""
    one, two = bench.in_turn(
        "threads", {f"mlcore, threads: {number}": lambda n=number: bench.train(5, threads=n) for number in (1, 2)}
    ).values()
    same = len({*values(one, "sha256"), *values(two, "sha256")}) == 1
    bench.notes.append(f"The models of one and of two threads have {'the same' if same else 'DIFFERENT'} bytes.")
    return [
        versus("one epoch, two threads", two, "one thread", one, "epoch", Target(1 / 1.6)),
        versus("whole job, 5 epochs, two threads", two, "one thread", one),
    ]


def beside(bench: Bench) -> list[Row]:
    """Epochs alone and beside busy processes: as many threads as mlcore finds best, against one and two."""
    rows, same = [], True
    for name, (file, ngrams) in SETS.items():
        path = bench.folder / "train.txt" if file is None else bench.sets / file
        if not path.exists():
            bench.notes.append(f"{path} is missing: epochs of {name} were not measured.")
            continue
        for processes, limit in enumerate((1.05, 1.3, 1.3)):
            contestants = {
                f"threads: {threads}": lambda threads=threads, path=path, ngrams=ngrams: bench.parts(
                    "epochs", path, ngrams, threads
                )
                for threads in ("any", 1, 2)
            }
            with busy(processes):
                ours, *fixed = bench.in_turn(f"{name} beside {processes} busy processes", contestants).values()
            better = min((values(figures, "epoch") for figures in fixed), key=statistics.median)
            same = same and len({digest for figures in (ours, *fixed) for digest in values(figures, "sha256")}) == 1
            what = f"one epoch, {name}, {f'beside {processes} busy' if processes else 'alone'}"
            rows.append(Row(what, "s", values(ours, "epoch"), "better of one and two threads", better, Target(limit)))
    bench.notes.append(f"Epochs beside busy processes make {'the same' if same else 'DIFFERENT'} parameters.")
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


NGRAMS = {1: "words", 2: "bigrams"}
SETS = {  # file beside IMDb's, and n-grams
    "IMDb words": (None, 1),
    "IMDb triples": (None, 3),
    "SST-2": ("sst2-train.tsv", 1),
    "CLINC150": ("clinc150-train-dev.json", 1),
    "waimai": ("waimai-train.csv", 1),
}
SIZES = (1, 2, 4, 8)
UNITS = {"seconds": "s", "epoch": "s", "memory": "MB"}
OTHER = "Chinese", "Hindi"  # scripts that are tokenised besides the data
WITHOUT_PEERS = {"first", "tokenising", "size", "threads", "beside"}
CONTESTS = {
    contest.__name__: contest
    for contest in (
        words,
        bigrams,
        accuracy,
        pytorch,
        limit,
        scoring,
        starting,
        first,
        tokenising,
        size,
        threads,
        beside,
    )
}


def values(figures: list[Figures], name: str) -> list:
    """One figure of each round."""
    return [figure[name] for figure in figures]


def versus(
    what: str,
    ours: list[Figures],
    peer: str,
    theirs: list[Figures],
    figure: str = "seconds",
    target: Target | None = None,
) -> Row:
    """Row of the same figure of both."""
    return Row(what, UNITS[figure], values(ours, figure), peer, values(theirs, figure), target)


# The run --------------------------------------------------------------------------------------------------


def set_up_peers(folder: Path) -> dict[str, str]:
    """Make the environment of the peers, if it is not there: their versions."""
    if not folder.exists():
        say(f"Installing {', '.join(PEERS)} into {folder}, once")
        try:
            measure([sys.executable, "-m", "venv", folder])
            measure([python_of(folder), "-m", "pip", "install", *PEERS])
        except BaseException:  # such as Ctrl-C: half of an environment would be taken for one
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return measure([python_of(folder), HERE / "peers.py", "versions"])["versions"]


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / "bin" / "python"


def machine() -> dict[str, str | int | float]:
    """What the figures were made on."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), cpu)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {"processor": cpu, "cores": CORES, "memory in GB": round(memory), "system": platform.platform()}


def notes(bench: Bench, share: float) -> list[str]:
    """What has to be said of the figures."""
    always = [
        "Medians of the rounds; a ratio is the median of the rounds' ratios, with the lowest and the highest.",
        f"fastText runs with {CORES} threads, as mlcore does. With fewer than about 11 it leaves a part of its table "
        f"uninitialised, which can stop it with NaN: it was run again {bench.retries} times, and only the runs to the "
        f"end count. Its accuracy is therefore taken with {ENOUGH_THREADS} threads.",
        "fastText is used by its Python binding, for its wheel has no command; its epoch is a twentieth of the "
        "difference between 25 and 5 epochs. It splits at white space only, without mlcore's tokenising.",
    ]
    trial = [f"A trial with {share:g} of the texts, to see that all works: its figures say nothing."] * (share < 1)
    return trial + always + bench.notes


def arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", metavar="FOLDER", type=Path, required=True, help="Folder with aclImdb-train.tar.gz, or aclImdb.")
    add(
        "--peers",
        metavar="FOLDER",
        type=Path,
        default=CACHE / "peers",
        help="Their environment; made if it is not there. Default: %(default)s",
    )
    add("--rounds", metavar="N", type=int, default=5, help="Default: %(default)s")
    add(
        "--only", metavar="NAME", nargs="+", choices=CONTESTS, default=list(CONTESTS), help=f"Of {', '.join(CONTESTS)}."
    )
    add("--output", metavar="FOLDER", type=Path, default=Path(), help="Where to write compare.md and compare.json.")
    add(
        "--share", metavar="SHARE", type=float, default=1.0, help="Share of the texts, to try the benchmark itself out."
    )
    options = parser.parse_args()
    options.data = next((path for name in DATA if (path := options.data / name).exists()), None)
    if options.data is None:
        parser.error(f"--data has neither {' nor '.join(DATA)}.")
    return options


def main() -> None:
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    peers = set_up_peers(options.peers) if {*options.only} - WITHOUT_PEERS else {}
    with tempfile.TemporaryDirectory(prefix="mlcore-benchmark-") as folder:
        bench = Bench(Path(folder), options.data, options.peers, options.rounds, options.share)
        versions = bench.versions | peers
        rows: list[Row] = []
        for name in options.only:
            rows += CONTESTS[name](bench)
            settings = bench.sizes | {"rounds": options.rounds, "share": options.share}
            report = Report(machine(), versions, settings, rows, notes(bench, options.share))
            (options.output / "compare.md").write_text(markdown(report), encoding="utf-8")
            (options.output / "compare.json").write_text(document(report), encoding="utf-8")
    print(markdown(report))


if __name__ == "__main__":
    main()
