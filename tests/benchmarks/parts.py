"""What compare.py has mlcore's environment do besides the commands, each as a process: python parts.py PROGRAM ...

What a program finds, it prints as a JSON object.
"""

import hashlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from accuracy import folds

from mlcore.kernels.compiling import kernel
from mlcore.sentiment import training
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.model import aligned_zeros
from mlcore.sentiment.pace import Pace
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import Dataset, encode, read_dataset
from mlcore.text.pool import available_cores
from mlcore.text.vocabulary import WordTable

EPOCHS = 5  # of a training, and of the gathering and scattering
CORES = available_cores()
SCRIPTS = {
    "Chinese": "这部 电影 非常好看， 故事 和 演员 都 很 出色， 但是 音乐 有点 糟糕。 我 不会 再 看 一遍！",
    "Hindi": "यह फ़िल्म बहुत अच्छी है। मुझे कहानी और अभिनय दोनों पसंद आए, लेकिन संगीत थोड़ा कमज़ोर था।",
}
COLUMNS = 64  # of a table 50 wide, whose rows are padded to whole cache lines


def versions() -> dict[str, dict[str, str]]:
    """Versions of mlcore and of what it computes with."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("mlcore", "numba", "numpy")}
    return {"versions": packages | {"Python": platform.python_version()}}


def write_texts(data: str, folder: str, share: str) -> dict[str, dict[str, float]]:
    """Write the train part of the reviews as files that all can read, shuffled, for fastText takes them in order.

    train.txt is in fastText's format, texts.txt holds the texts alone, four times over; train-0.txt and test-0.txt,
    and so on, are the folds of accuracy.py. ``share``: how much of all this to use.
    """
    dataset = read_dataset(Path(data), keep_texts=True)
    lines = _lines(dataset, dataset.rows("", "train"), float(share))
    _write(Path(folder, "train.txt"), lines)
    _write(Path(folder, "texts.txt"), [line.split(" ", 1)[1] for line in lines] * 4)
    for number, fold in enumerate(folds(dataset)):
        for name in ("train", "test"):
            rows = np.intersect1d(fold.rows(name), dataset.rows("", "train"))
            _write(Path(folder, f"{name}-{number}.txt"), _lines(dataset, rows, float(share)))
    return {"sizes": {"texts": len(lines), "MB": Path(folder, "train.txt").stat().st_size / 1e6}}


def _lines(dataset: Dataset, rows: np.ndarray, share: float) -> list[str]:
    chosen = rows[np.random.default_rng(1).permutation(len(rows))[: round(share * len(rows))]]
    labels = [dataset.label_names[number] for number in dataset.labels[chosen]]
    return [f"__label__{label} {' '.join(dataset.texts[i].split())}" for label, i in zip(labels, chosen, strict=True)]


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_arrays(data: str, path: str) -> dict[str, dict[str, int]]:
    """Write the texts as mlcore trains on them (ids, offsets, targets), and all their tokens (stream, bounds)."""
    dataset = read_dataset(Path(data), keep_texts=True)
    encoded = encode(dataset, 0, **Settings(ngrams=1, char_ngrams="none").resolved().encoding())
    documents, stream = encoded.train.documents, encoded.features.words.look_up(dataset.texts)
    if (documents.counts != 1).any():
        raise ValueError("A feature counts more than once; PyTorch is given each once.")
    np.savez(
        path, ids=documents.ids, offsets=documents.offsets, targets=encoded.train.targets,
        stream=stream.ids, bounds=stream.offsets, features=len(encoded.features),
    )  # fmt: skip
    sizes = {"words": len(encoded.features), "distinct words in texts": len(documents.ids), "tokens": len(stream.ids)}
    return {"sizes": sizes}


def tokenise(data: str, threads: str) -> dict[str, float]:
    """Rates of tokenising and numbering the words, in MB of UTF-8 per second: of the data, and of other scripts."""
    texts = read_dataset(Path(data), keep_texts=True).texts
    rates = {}
    for name, some in ("rate", texts), *((name, _shuffled(words, len(texts))) for name, words in SCRIPTS.items()):
        WordTable().add(some[:100], threads=int(threads))
        table, started = WordTable(), time.perf_counter()
        table.add(some, threads=int(threads))
        rates[name] = sum(len(text.encode()) for text in some) / (time.perf_counter() - started) / 1e6
    return rates


def _shuffled(words: str, number: int) -> list[str]:
    """Texts of these words in random order."""
    random = np.random.default_rng(1)
    return [" ".join(random.choice(words.split(), 100)) for _ in range(number)]


def epochs(data: str, ngrams: str, threads: str) -> dict[str, object]:
    """Mean seconds of an epoch with so many threads, or with as many as mlcore finds best where that is "any"."""
    settings = Settings(ngrams=int(ngrams), char_ngrams="none", dim=50, hidden=32, epochs=EPOCHS).resolved()
    encoded = encode(read_dataset(Path(data)), 0, **settings.encoding())
    model = new_model(encoded, settings)
    if threads != "any":
        pace = Pace(int(threads))
        pace.numbers = [int(threads)]
        training.Pace = lambda most: pace
    reports = training.fit(model, encoded.train, None, CORES if threads == "any" else int(threads))
    seconds = [report.seconds for report in reports]
    digest = hashlib.sha256(b"".join(array.tobytes() for array in model.parameters)).hexdigest()
    return {"epoch": statistics.mean(seconds), "sha256": digest}


@kernel
def gather_scatter(ids, offsets, texts, first, last, table, moments, change, total):
    """For each of the texts, sum the rows of all its tokens, then add ``change`` to each of these rows.

    Only in the columns from ``first`` on and before ``last``. With moments, not None, the same is added to theirs.
    Nothing is computed from the sums: it is what the memory allows, for any training on these tokens. A text's rows
    are still in the cache when they are written, which a training in batches could not have, so the limit is strict.

    Shapes: ids (t,), offsets (n + 1,), texts (m,), change and total (d,) -> table and moments (v, d) added to.
    """
    first, last = np.uint64(first), np.uint64(last)
    for text in texts:
        total[first:last] = 0
        for place in range(offsets[text], offsets[text + 1]):
            row = table[ids[place]]
            for column in range(first, last):
                total[column] += row[column]
        for place in range(offsets[text], offsets[text + 1]):
            row = table[ids[place]]
            for column in range(first, last):
                row[column] += change[column]
            if moments is not None:
                moment = moments[ids[place]]
                for column in range(first, last):
                    moment[column] += change[column]


def limit(arrays: str, threads: str) -> dict[str, float]:
    """Seconds to gather and scatter all tokens once, in the fastest of three ways to share the work.

    The threads own columns each, or texts each, or one does it all. The second is no way to train, for two threads
    may add to a row at the same time and lose one of the sums; as a limit it will do.
    """
    with np.load(arrays) as file:
        stream, bounds, features = file["stream"], file["bounds"], int(file["features"])
    order = np.random.default_rng(1).permutation(len(bounds) - 1)
    table, moments = (aligned_zeros((features, COLUMNS), np.float32) for _ in range(2))
    change, many = np.full(COLUMNS, 1e-6, np.float32), int(threads)
    cuts = [COLUMNS * i // many for i in range(many + 1)]
    of_columns = [(order, *columns) for columns in pairwise(cuts)]
    of_texts = [(texts, 0, COLUMNS) for texts in np.array_split(order, many)]

    def seconds(moments: np.ndarray | None) -> float:
        def work(texts: np.ndarray, first: int, last: int) -> None:
            total = aligned_zeros((COLUMNS,), np.float32)
            gather_scatter(stream, bounds, texts, first, last, table, moments, change, total)

        return min(_median_seconds(work, shares) for shares in (of_columns, of_texts, [(order, 0, COLUMNS)]))

    return {"epoch": seconds(None), "epoch with moments": seconds(moments)}


def _median_seconds(work: Callable[..., None], shares: list[tuple]) -> float:
    """Seconds until a thread for each share has done it."""
    found = []
    with ThreadPoolExecutor(len(shares)) as pool:
        for _ in range(EPOCHS + 1):
            started = time.perf_counter()
            list(pool.map(work, *zip(*shares, strict=True)))
            found.append(time.perf_counter() - started)
    return statistics.median(found[1:])  # the first compiles


PROGRAMS = (versions, write_texts, write_arrays, tokenise, epochs, limit)

if __name__ == "__main__":
    print(json.dumps({program.__name__: program for program in PROGRAMS}[sys.argv[1]](*sys.argv[2:])))
