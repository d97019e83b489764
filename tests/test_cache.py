"""Prepared corpora come back from the cache as they were, are told from all others, and are checked."""

import errno
import hashlib
import json
import os
import shutil
import zlib

import numpy as np
import pytest

from mlcore import memory
from mlcore.sentiment import cache
from mlcore.sentiment.preparation import occurrences, prepare
from mlcore.sentiment.settings import Settings
from mlcore.text import vocabulary
from mlcore.text.corpus import read_corpus, read_examples
from mlcore.text.growing import Growing
from mlcore.text.numbered import fingerprint, number_corpus, number_examples

COLUMNS = [None, None, None]
SETTINGS = Settings(ngrams=2, min_count=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches" / "mlcore"


def keep(path, dev=None, settings=SETTINGS):
    """Prepare a corpus, keep it, and return its key and what was prepared."""
    key = cache.key_of([path], dev, COLUMNS, settings)
    with cache.room() as room:
        corpus = number_examples(read_examples([path]), str(path), folder=room)
        prepared = cache.Prepared(prepare(corpus, dev, settings, folder=room), [corpus.fingerprint])
        cache.keep(room, key, prepared)
        return key, prepared


def arrays(data):
    """All that a training takes from prepared data, as bytes and plain objects."""
    parts = [part and [array.tobytes() for array in (*part.documents, part.targets, part.rows)]
             for part in (data.train, data.dev, data.test)]  # fmt: skip
    names, counts = data.features.names, data.feature_counts.tolist()
    return parts, names, counts, data.labels, data.features.largest, data.features.binary


def test_an_entry_gives_back_what_was_prepared(reviews):
    key, prepared = keep(reviews)
    found = cache.find(key)
    assert arrays(found.data) == arrays(prepared.data)
    assert found.fingerprints == prepared.fingerprints
    in_memory = prepare(read_corpus(reviews), None, SETTINGS)
    assert arrays(found.data) == arrays(in_memory)


def test_held_out_texts_of_another_file_are_kept_with_the_rest(reviews):
    dev = read_corpus(reviews).select([0, 1, 2])
    key = cache.key_of([reviews], reviews, COLUMNS, SETTINGS)
    with cache.room() as room:
        corpus = number_examples(read_examples([reviews]), "reviews", folder=room)
        prepared = cache.Prepared(prepare(corpus, dev, SETTINGS, folder=room), [corpus.fingerprint, fingerprint(dev)])
        cache.keep(room, key, prepared)
    found = cache.find(key)
    assert arrays(found.data) == arrays(prepared.data)
    assert found.data.dev.documents.n_texts == 3


def test_a_finished_entry_holds_nothing_that_was_needed_on_the_way_only(reviews, folder):
    key, _ = keep(reviews)
    assert [entry.name for entry in folder.iterdir()] == [key]
    header = json.loads((folder / key / cache.HEADER).read_text())
    assert {file.name for file in (folder / key).iterdir()} == {cache.HEADER, *header["arrays"]}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_key_depends_on_all_that_decides(reviews, tmp_path, monkeypatch):
    def key(paths=None, dev=None, columns=COLUMNS, **settings):
        return cache.key_of(paths or [reviews], dev, columns, Settings(**settings))

    other = tmp_path / "other.tsv"
    shutil.copy2(reviews, other)
    keys = [
        key(), key([other]), key([reviews, other]), key(dev=other), key(dev=0.2), key(dev=0), key(ngrams=2),
        key(min_count=2), key(max_features=3), key(binary=False), key(loss="squared"), key(seed=2),
        key(columns=["tsv", None, None]), key(columns=[None, "text", None]),
    ]  # fmt: skip
    monkeypatch.setattr(cache, "__version__", "another")
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_depend_on_what_does_not(reviews):
    same = {cache.key_of([reviews], 0, COLUMNS, Settings(seed=seed, dim=dim)) for seed in (1, 2) for dim in (3, 4)}
    assert len(same) == 1


@pytest.mark.parametrize("where", ["beginning", "end"])
def test_another_content_of_the_same_size_and_time_is_told(reviews, where):
    before, status = cache.key_of([reviews], None, COLUMNS, SETTINGS), reviews.stat()
    content = reviews.read_text()
    reviews.write_text(content.replace("good", "nice", 1) if where == "beginning" else content[:-2] + "?\n")
    os.utime(reviews, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert reviews.stat().st_size == status.st_size
    assert cache.key_of([reviews], None, COLUMNS, SETTINGS) != before


def test_a_folder_has_a_key_and_a_pipe_has_none(tmp_path):
    for label in ("pos", "neg"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        (tmp_path / "texts" / label / "1.txt").write_text(label)
    before = cache.key_of([tmp_path / "texts"], None, COLUMNS, SETTINGS)
    (tmp_path / "texts" / "pos" / "2.txt").write_text("more")
    assert before != cache.key_of([tmp_path / "texts"], None, COLUMNS, SETTINGS)
    os.mkfifo(tmp_path / "pipe")
    assert cache.key_of([tmp_path / "pipe"], None, COLUMNS, SETTINGS) is None


def test_one_changed_byte_anywhere_is_found_and_the_entry_removed(reviews, folder):
    key, _ = keep(reviews)
    for name in sorted(file.name for file in (folder / key).iterdir()):
        shutil.copytree(folder / key, folder / "whole")
        content = bytearray((folder / key / name).read_bytes())
        if content:
            content[len(content) // 2] ^= 1
            (folder / key / name).write_bytes(content)
            assert cache.find(key) is None or name == cache.HEADER, name
        shutil.rmtree(folder / key, ignore_errors=True)
        (folder / "whole").rename(folder / key)
    assert cache.find(key)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ids", 10**6), ("ids", -1), ("offsets", 10**9), ("train", 10**6), ("train", -1), ("keys", 2**60), ("keys", -1)],
)
def test_numbers_that_point_nowhere_are_refused_though_their_sums_are_right(reviews, folder, name, value):
    key, _ = keep(reviews)
    array = np.fromfile(folder / key / name, cache.ARRAYS[name])
    array[1] = value
    array.tofile(folder / key / name)
    header = json.loads((folder / key / cache.HEADER).read_text())
    header["arrays"][name][1] = zlib.crc32(array)
    (folder / key / cache.HEADER).write_text(json.dumps(header))
    assert cache.find(key) is None
    assert not (folder / key).exists()


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"arrays": {}}', '{"arrays": {"../x": [1, 2]}}', "nonsense"])
def test_another_header_is_no_entry(reviews, folder, header):
    key, _ = keep(reviews)
    (folder / key / cache.HEADER).write_text(header)
    assert cache.find(key) is None


def test_the_least_recently_used_entries_make_room_for_new_ones(reviews, folder, monkeypatch):
    keys = [keep(reviews, settings=Settings(ngrams=ngrams))[0] for ngrams in (1, 2)]
    for age, key in enumerate(keys):
        os.utime(folder / key / cache.HEADER, (10**9 - age, 10**9 - age))
    assert cache.find(keys[1])  # now the one that was used last
    size = sum(file.stat().st_size for key in keys for file in (folder / key).iterdir())
    monkeypatch.setattr(cache, "LARGEST", size + 10)
    third, _ = keep(reviews, settings=Settings(ngrams=1, min_count=2))
    assert not (folder / keys[0]).exists()
    assert cache.find(keys[1]) and cache.find(third)
    monkeypatch.setattr(cache, "LARGEST", 0)
    fourth, _ = keep(reviews, settings=Settings(ngrams=3))
    assert [entry.name for entry in folder.iterdir()] == [fourth]


def test_what_was_never_finished_is_removed_after_a_day(reviews, folder):
    old, new = folder / f"{cache.PART}old", folder / f"{cache.PART}new"
    for part in (old, new):
        part.mkdir(parents=True)
    os.utime(old, (10**9, 10**9))
    keep(reviews)
    assert not old.exists()
    assert new.exists()


def test_nothing_is_left_of_a_corpus_that_cannot_be_prepared(tmp_path, folder, run):
    path = tmp_path / "one.csv"
    path.write_text("text,label\ngood,pos\n")
    assert run("train-sentiment", "--data", path).code == 3
    assert list(folder.iterdir()) == []


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_model_has_the_same_bytes_with_the_cache_without_and_with_any_threads(run, reviews, tmp_path, folder):
    digests, said = [], []
    for options in (["--no-cache"], [], [], ["--threads", 1], ["--threads", 2], ["--threads", 3], ["--threads", 4],
                    ["--threads", 3, "--no-cache"]):  # fmt: skip
        done = run("train-sentiment", "--data", reviews, "--dim", 64, "--epochs", 2, "--ngrams", 2, *options)
        assert done.code == 0
        digests.append(digest(tmp_path / "sentiment.npz"))
        said.append("Prepared before" in done.err)
        assert folder.exists() or options == ["--no-cache"]
    assert len(set(digests)) == 1
    assert said == [False, False, True, True, True, True, True, False]


def test_without_a_folder_for_it_nothing_is_kept_and_the_training_goes_on(run, reviews, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    done = run("train-sentiment", "--data", reviews, "--epochs", 1)
    assert done.code == 0
    assert "nothing is kept for the next training" in done.err


def test_a_corpus_is_numbered_alike_in_memory_and_in_files(reviews, tmp_path):
    in_memory = number_corpus(read_corpus(reviews))
    for threads in (1, 3):
        room = tmp_path / f"room{threads}"
        room.mkdir()
        in_files = number_examples(read_examples([reviews]), str(reviews), threads, room)
        assert in_files.table.words == in_memory.table.words
        for name in ("labels", "parts"):
            assert getattr(in_files, name).tolist() == getattr(in_memory, name).tolist()
        for array, other in zip(in_files.tokens, in_memory.tokens, strict=True):
            assert array.tolist() == other.tolist()
        assert in_files[3:5] == in_memory[3:5]
        assert in_files.fingerprint == in_memory.fingerprint == fingerprint(read_corpus(reviews))


def test_a_full_disk_is_said_with_what_to_do(run, reviews, monkeypatch, folder):
    append = Growing.append

    def full(growing, array):
        if growing._path:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(growing, array)

    monkeypatch.setattr(Growing, "append", full)
    done = run("train-sentiment", "--data", reviews)
    assert (done.code, done.out) == (5, "")
    assert done.err.endswith(f"mlcore: {folder} has no room for the corpus; make some, or take --no-cache.\n")
    assert list(folder.iterdir()) == []


def test_an_entry_that_cannot_be_finished_does_not_stop_the_training(run, reviews, monkeypatch):
    def refused(*_):
        raise OSError(errno.EACCES, "refused")

    monkeypatch.setattr(cache, "keep", refused)
    done = run("train-sentiment", "--data", reviews, "--epochs", 1)
    assert done.code == 0
    assert "nothing is kept for the next training: [Errno 13] refused." in done.err


def test_blocks_are_the_array_and_release_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "BLOCK", 3)
    numbers = np.arange(10, dtype=np.int32)
    numbers.tofile(tmp_path / "numbers")
    mapped = np.asarray(np.memmap(tmp_path / "numbers", np.int32, "c"))
    for array in (numbers, mapped):
        assert [block.tolist() for block in memory.blocks(array)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        memory.release(array)
        assert array.tolist() == list(range(10))
    assert cache.checksum(mapped) == zlib.crc32(numbers)


def test_large_documents_are_gone_through_in_blocks(monkeypatch):
    monkeypatch.setattr(vocabulary, "TEXTS", 2)
    released = []
    monkeypatch.setattr(vocabulary.Documents, "release", lambda self: released.append(1))
    documents = vocabulary.Documents(np.array([0, 1, 1, 2], np.int32), np.array([1, 2, 3, 4], np.int32), np.array([0, 2, 3, 4]))
    assert occurrences(documents, np.array([0, 1, 2]), 4).tolist() == [1, 5, 4, 0]
    assert len(released) == 2
    once = documents._replace(counts=np.ones(1, np.int32))
    assert occurrences(once, np.array([0, 2]), 4).tolist() == [1, 1, 1, 0]
    assert once.lengths().tolist() == [2, 1, 1]
    assert documents.lengths().tolist() == [3, 3, 4]
