"""What compare.py has mlcore's environment do besides the commands, each as a process: python parts.py PROGRAM ...

What a program finds, it prints as a JSON object.
"""

import csv
import hashlib
import json
import statistics
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np

from mlcore.sentiment import training
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.pace import Pace
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import encode, read_dataset
from mlcore.text.pool import available_cores
from mlcore.text.vocabulary import WordTable

TEXTS = 200_000  # to train on in all epochs at least: one of a few thousand takes 0.02 s
EPOCHS = 5  # of a training, at least
CORES = available_cores()
SCRIPTS = {
    "Chinese": "这部 电影 非常好看， 故事 和 演员 都 很 出色， 但是 音乐 有点 糟糕。 我 不会 再 看 一遍！",
    "Hindi": "यह फ़िल्म बहुत अच्छी है। मुझे कहानी और अभिनय दोनों पसंद आए, लेकिन संगीत थोड़ा कमज़ोर था।",
}


def write_texts(data: str, folder: str) -> dict[str, int]:
    """Write the training texts as files that all can read, shuffled, for fastText takes them in order.

    train.txt is in fastText's format, texts.txt holds the texts alone, four times over.
    """
    dataset = read_dataset(Path(data), keep_texts=True)
    rows = np.random.default_rng(1).permutation(dataset.rows("", "train"))
    texts = [" ".join(dataset.texts[i].split()) + "\n" for i in rows]
    labels = [dataset.label_names[number] for number in dataset.labels[rows]]
    lines = [f"__label__{label} {text}" for label, text in zip(labels, texts, strict=True)]
    Path(folder, "train.txt").write_text("".join(lines), encoding="utf-8")
    Path(folder, "texts.txt").write_text("".join(texts) * 4, encoding="utf-8")
    return {"texts": len(texts)}


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
        import_module("pyarrow.parquet").write_table(
            import_module("pyarrow").Table.from_pylist(rows), Path(folder, "t.parquet")
        )
        names.append("t.parquet")
    return {"tables": names}


def write_arrays(data: str, path: str) -> dict[str, int]:
    """Write the texts as mlcore trains on them: ids, offsets and targets."""
    encoded = encode(read_dataset(Path(data)), 0, **Settings(ngrams=1, char_ngrams="none").resolved().encoding())
    ids, counts, offsets = encoded.train.documents
    if (counts != 1).any():
        raise ValueError("A feature counts more than once; PyTorch is given each once.")
    np.savez(path, ids=ids, offsets=offsets, targets=encoded.train.targets, features=len(encoded.features))
    return {"words": len(encoded.features), "distinct words in texts": len(ids)}


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


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
