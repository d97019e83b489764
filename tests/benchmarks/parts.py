"""What compare.py has mlcore's environment do besides the commands, each as a process: python parts.py PROGRAM ...

What a program finds, it prints as a JSON object.
"""

import csv
import hashlib
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
from accuracy import folds

from mlcore.kernels.compiling import kernel
from mlcore.sentiment import training
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.model import aligned_zeros
from mlcore.sentiment.pace import Pace
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import encode, read_dataset
from mlcore.text.pool import available_cores
from mlcore.text.vocabulary import WordTable

TEXTS = 200_000  # to train on in all epochs at least: one of a few thousand takes 0.02 s
EPOCHS = 5  # of a training, and of the gathering and scattering
CORES = available_cores()
SCRIPTS = {
    "Chinese": "这部 电影 非常好看， 故事 和 演员 都 很 出色， 但是 音乐 有点 糟糕。 我 不会 再 看 一遍！",
    "Hindi": "यह फ़िल्म बहुत अच्छी है। मुझे कहानी और अभिनय दोनों पसंद आए, लेकिन संगीत थोड़ा कमज़ोर था।",
}
COLUMNS = 64  # of a table 50 wide, whose rows are padded to whole cache lines


def write_texts(data: str, folder: str) -> dict[str, int]:
    """Write the training texts as files that all can read, shuffled, for fastText takes them in order.

    train.txt is in fastText's format, texts.txt holds the texts alone, four times over; train-0.txt and test-0.txt,
    and so on, are the folds of accuracy.py.
    """
    dataset = read_dataset(Path(data), keep_texts=True)

    def write(name: str, rows: np.ndarray) -> list[str]:
        rows = rows[np.random.default_rng(1).permutation(len(rows))]
        labels = [dataset.label_names[number] for number in dataset.labels[rows]]
        texts = (" ".join(dataset.texts[i].split()) for i in rows)
        lines = [f"__label__{label} {text}" for label, text in zip(labels, texts, strict=True)]
        Path(folder, name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return lines

    train = dataset.rows("", "train")
    lines = write("train.txt", train)
    texts = "".join(line.split(" ", 1)[1] + "\n" for line in lines)
    Path(folder, "texts.txt").write_text(texts * 4, encoding="utf-8")
    for number, fold in enumerate(folds(dataset)):
        for name in ("train", "test"):
            write(f"{name}-{number}.txt", np.intersect1d(fold.rows(name), train))
    return {"texts": len(lines)}


def write_tables(texts: str, folder: str) -> dict[str, list[str]]:
    """Write these texts, one per line, with a number each, as tables of all kinds that can be written here."""
    rows = [{"id": i, "text": text} for i, text in enumerate(Path(texts).read_text(encoding="utf-8").splitlines())]
    with open(Path(folder, "t.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path(folder, "t.jsonl").write_text(lines)
    names = ["t.csv", "t.jsonl"]
    with suppress(ImportError):
        zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        Path(folder, "t.jsonl.zst").write_bytes(zstd.compress(lines.encode()))
        names.append("t.jsonl.zst")
    with suppress(ImportError):
        table = import_module("pyarrow").Table.from_pylist(rows)
        import_module("pyarrow.parquet").write_table(table, Path(folder, "t.parquet"))
        names.append("t.parquet")
    return {"tables": names}


def write_arrays(data: str, path: str) -> dict[str, int]:
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
    return {"words": len(encoded.features), "distinct words in texts": len(documents.ids), "tokens": len(stream.ids)}


def tokenise(data: str, threads: str) -> dict[str, float]:
    """Rates of tokenising and numbering the words, in MB of UTF-8 per second: of the data, and of other scripts."""
    texts = read_dataset(Path(data), keep_texts=True).texts
    random, rates = np.random.default_rng(1), dict[str, float]()
    others = {name: [" ".join(random.choice(words.split(), 100)) for _ in texts] for name, words in SCRIPTS.items()}
    for name, some in ({"rate": texts} | others).items():
        WordTable().add(some[:100], threads=int(threads))
        table, started = WordTable(), time.perf_counter()
        table.add(some, threads=int(threads))
        rates[name] = sum(len(text.encode()) for text in some) / (time.perf_counter() - started) / 1e6
    return rates


def epochs(data: str, ngrams: str, threads: str) -> dict[str, object]:
    """Mean seconds of an epoch with so many threads, or with as many as mlcore finds best where that is "any"."""
    dataset = read_dataset(Path(data))
    enough = max(EPOCHS, TEXTS // len(dataset.rows("", "train")))
    settings = Settings(ngrams=int(ngrams), char_ngrams="none", dim=50, hidden=32, epochs=enough).resolved()
    encoded = encode(dataset, 0, **settings.encoding())
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
def gather_scatter(ids, offsets, first, last, table, change, total):
    """For each text, sum the rows of all its tokens, then add ``change`` to each of these rows.

    Only in the columns from ``first`` on and before ``last``. Nothing is computed from the sums: it is what the memory
    allows, for any training on these tokens. A text's rows are still in the cache when they are written, which a
    training in batches could not have, so the limit is strict.

    Shapes: ids (t,), offsets (n + 1,), change and total (d,) -> table (v, d) added to.
    """
    first, last = np.uint64(first), np.uint64(last)
    for text in range(offsets.shape[0] - 1):
        total[first:last] = 0
        for place in range(offsets[text], offsets[text + 1]):
            row = table[ids[place]]
            for column in range(first, last):
                total[column] += row[column]
        for place in range(offsets[text], offsets[text + 1]):
            row = table[ids[place]]
            for column in range(first, last):
                row[column] += change[column]


def limit(arrays: str, threads: str) -> dict[str, float]:
    """Seconds to gather and scatter all tokens once, by threads that own columns each, or by one that does it all."""
    with np.load(arrays) as file:
        stream, bounds, features = file["stream"], file["bounds"], int(file["features"])
    table, change = aligned_zeros((features, COLUMNS), np.float32), np.full(COLUMNS, 1e-6, np.float32)

    def work(first: int, last: int) -> None:
        gather_scatter(stream, bounds, first, last, table, change, aligned_zeros((COLUMNS,), np.float32))

    def seconds(threads: int) -> float:
        cuts, found = [COLUMNS * i // threads for i in range(threads + 1)], []
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(EPOCHS + 1):
                started = time.perf_counter()
                list(pool.map(work, cuts[:-1], cuts[1:]))
                found.append(time.perf_counter() - started)
        return statistics.median(found[1:])  # the first compiles

    return {"epoch": min(seconds(1), seconds(int(threads)))}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
