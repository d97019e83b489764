"""Measure the speeds that the README quotes: python tests/benchmarks/speed.py DATA

DATA is what train-sentiment takes; the README's figures are for the 25,000 training reviews of aclImdb, from the
archive. Run it while nothing else runs. Every figure is the median of the rounds, and all of them are shown.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5


def timed(action: Callable[[], object]) -> tuple[float, object]:
    """Seconds that an action takes, and its result."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def row(name: str, values: list[float], unit: str) -> None:
    """One line of the table."""
    values = sorted(values)
    print(f"| {name} | {statistics.median(values):.2f} {unit} | {values[0]:.2f} to {values[-1]:.2f} |", flush=True)


def command(*arguments: object, **environment: str) -> float:
    """Seconds of a whole process of the command line."""
    line = [sys.executable, "-m", "mlcore", *map(str, arguments)]
    run = dict(check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment)
    return timed(lambda: subprocess.run(line, **run))[0]


def predict(model: Path, texts: list[str]) -> float:
    """Seconds of a process that labels the texts, one per line of a file."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(" ".join(text.split()) + "\n" for text in texts)
        file.flush()
        return command("predict", model, "--file", file.name)


def main(data: Path) -> None:
    from mlcore.sentiment.modelfile import save
    from mlcore.sentiment.preparation import prepare
    from mlcore.sentiment.settings import Settings
    from mlcore.sentiment.start import new_classifier
    from mlcore.sentiment.training import available_cores, fit, warm_up
    from mlcore.text.corpus import read_corpus
    from mlcore.text.vocabulary import WordTable

    warm_up()
    settings = Settings(epochs=8)
    print("| what | median | all rounds |\n|---|---|---|")
    reading, tokenising = [], []
    for _ in range(ROUNDS):
        seconds, corpus = timed(lambda: read_corpus(data))
        reading.append(seconds)
        tokenising.append(timed(lambda: WordTable().add(corpus.texts))[0])
    row("reading", reading, "s")
    row("tokenising", tokenising, "s")

    arrays = prepare(corpus, None, settings)
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for threads in sorted({1, available_cores()}):
            classifier = new_classifier(arrays, settings)
            rates = [report.features / report.seconds / 1e6 for report in fit(classifier, arrays.train, None, threads)]
            row(f"training, {threads} threads", rates, "M features/s")
            path = Path(folder) / "model.npz"
            save(classifier, path)
            hashes[threads] = hashlib.sha256(path.read_bytes()).hexdigest()
        for ngrams in (1, 2):
            options = ["--data", data, "--model", path, "--ngrams", ngrams]
            runs = [command("train-sentiment", *options) for _ in range(3)]
            row(f"`mlcore train-sentiment --ngrams {ngrams}`, whole process", runs, "s")
        row("`mlcore predict`, the same texts", [predict(path, corpus.texts) for _ in range(3)], "s")
    row("`mlcore forward`, warm", [command("forward") for _ in range(ROUNDS)], "s")
    row("`mlcore --help`", [command("--help") for _ in range(ROUNDS)], "s")
    with tempfile.TemporaryDirectory() as cache:
        row("`mlcore forward`, first run", [command("forward", NUMBA_CACHE_DIR=cache)], "s")
    with tempfile.TemporaryDirectory() as cache:
        model = Path(cache) / "model.npz"
        first = command("train-sentiment", "--model", model, NUMBA_CACHE_DIR=cache)
        row("`mlcore train-sentiment` on the built-in corpus, first run", [first], "s")
    same = "the same" if len(set(hashes.values())) == 1 else "DIFFERENT"
    print(f"\nModels for {' and '.join(map(str, hashes))} threads: {same} bytes.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
