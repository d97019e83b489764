"""Model files that somebody changed, by accident or on purpose: each is refused by name, or is the same model.

All are loaded in a process of its own whose memory is limited, so that one that makes it allocate much is seen.
"""

import functools
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_modelfile import assert_same, make_classifier

from mlcore.errors import ModelFileError
from mlcore.sentiment.arrayfile import CHECKSUM, HEADER, checksum, npy
from mlcore.sentiment.model_file import MODEL, load, save

MEMORY = 256 << 20  # bytes that a process may allocate besides what it has after a first load
SECONDS = 5  # for a file of a few megabytes, on a busy machine


@functools.cache
def original():
    """Bytes of a small model, and its members."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        save(make_classifier(), path)
        content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return content, {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def forged(header=None, **members):
    """The small model with another header (bytes of JSON) or other members, and a checksum that fits."""
    members = original()[1] | members
    if header is not None:
        members[HEADER] = npy(np.frombuffer(header, np.uint8))
    members[CHECKSUM] = npy(np.frombuffer(checksum(MODEL, members), np.uint8))
    return zipped(members)


def zipped(members, method=zipfile.ZIP_STORED):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member, method)
    return memory.getvalue()


def header_json():
    return json.loads(np.load(io.BytesIO(original()[1][HEADER])).tobytes())


# Changes at random ------------------------------------------------------------------------------------------


def flip_bits(content, random):
    for place in random.integers(len(content), size=random.integers(1, 4)):
        content[place] ^= 1 << random.integers(8)


def replace_bytes(content, random):
    start, length = random.integers(len(content)), random.integers(1, 40)
    content[start : start + length] = random.bytes(len(content[start : start + length]))


def truncate(content, random):
    del content[random.integers(len(content)) :]


def insert(content, random):
    place = random.integers(len(content) + 1)
    content[place:place] = random.bytes(random.integers(1, 40))


def delete(content, random):
    start = random.integers(len(content))
    del content[start : start + random.integers(1, 40)]


def swap_blocks(content, random):
    length = random.integers(1, 60)
    a, b = sorted(random.integers(len(content) - length, size=2))
    if b >= a + length:
        content[a : a + length], content[b : b + length] = content[b : b + length], content[a : a + length]


def extreme_numbers(content, random):
    """Sizes and offsets of the zip format are in four and two bytes."""
    start, size = random.integers(len(content) - 4), random.choice([2, 4])
    content[start : start + size] = bytes([random.choice([0x00, 0x7F, 0x80, 0xFF])]) * size


MUTATIONS = (flip_bits, replace_bytes, truncate, insert, delete, swap_blocks, extreme_numbers)


def mutate_file(trial, random):
    content = bytearray(original()[0])
    MUTATIONS[trial % len(MUTATIONS)](content, random)
    return bytes(content)


def mutate_member(trial, random, seal=lambda members: forged(**members)):
    """Change a member, and give the file a checksum that fits."""
    members = dict(original()[1])
    name = random.choice([HEADER, *MODEL.members])
    changed = bytearray(members[name])
    MUTATIONS[trial % len(MUTATIONS)](changed, random)
    return seal(members | {name: bytes(changed)})


def mutate_unsigned_member(trial, random):
    """Change a member, and nothing but the checks of the zip format."""
    return mutate_member(trial, random, zipped)


VALUES = [
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    1.5,
    1e308,
    "",
    "x",
    "\x1b[31m",
    "\ud800",
    [],
    [1],
    [[]],
    {},
    {"a": {}},
]


def mutate_header(trial, random):
    """Give one value anywhere in the header another value, of any type, and the file a checksum that fits."""
    header = header_json()
    places = []

    def visit(container):
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            places.append((container, key))
            if isinstance(container[key], dict | list):
                visit(container[key])

    visit(header)
    container, key = places[random.integers(len(places))]
    container[key] = VALUES[random.integers(len(VALUES))]
    if random.random() < 0.1:
        del container[key]
    return forged(json.dumps(header).encode())


def check_unsigned(content, path):
    """A file with a wrong checksum is refused, or is the same model to the last bit."""
    path.write_bytes(content)
    try:
        found = load(path)
    except ModelFileError as error:
        assert str(error).startswith(f"{path} "), str(error)
        return False
    assert_same(found, make_classifier())
    return True


def check_signed(content, path):
    """A file with a right checksum is refused, or is a model that can be used, described and saved."""
    path.write_bytes(content)
    try:
        found = load(path)
    except ModelFileError as error:
        assert str(error).startswith(f"{path} "), str(error)
        return False
    logits = found.logits(found.features.documents(["good bad naïve good", ""]))
    assert np.isfinite(logits).all()
    found.features.names, found.features.words_in(), repr(found.settings), found.n_parameters  # noqa: B018
    for epoch in found.provenance.history:
        assert f"{epoch['epoch']:d} {epoch['train_loss']:.4f} {epoch['learning_rate']:g} {epoch['restarts']:d}"
        assert isinstance(epoch["best"], bool)
        assert all(epoch[name] is None or f"{epoch[name]:.4f}" for name in ("dev_loss", "dev_accuracy"))
    assert all(f"{number:d}" for number in found.provenance.texts.values())
    save(found, path)
    assert_same(load(path), found)
    return True


RANDOM = {
    "file": (mutate_file, check_unsigned),
    "unsigned": (mutate_unsigned_member, check_unsigned),
    "member": (mutate_member, check_signed),
    "header": (mutate_header, check_signed),
}


def load_many(kind, trials, folder):
    """Load that many changed files in this process, whose memory is limited from now on; print how many are models."""
    path = Path(folder, "changed.npz")
    change, check = RANDOM[kind]
    check_signed(original()[0], path)
    limit_memory()
    loaded = 0
    for trial in range(trials):
        loaded += check(change(trial, np.random.default_rng([7, trial])), path)
    print(loaded)


def limit_memory():
    """Let this process allocate MEMORY bytes more than it has, where the system can tell and limit that."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


def in_a_process(call):
    """Standard output of a call of this file's functions in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_hostile_models import *; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("trials", [300, pytest.param(10_000, marks=pytest.mark.full)])
def test_files_that_were_changed_at_random(kind, trials, tmp_path):
    loaded = int(in_a_process(f"load_many({kind!r}, {trials}, {str(tmp_path)!r})"))
    assert loaded < trials / 2


# Changes on purpose -----------------------------------------------------------------------------------------


def with_header(**changes):
    return lambda: forged(json.dumps(header_json() | changes).encode())


def with_provenance(**changes):
    return lambda: with_header(provenance=header_json()["provenance"] | changes)()


def with_history(**changes):
    history = lambda: [header_json()["provenance"]["history"][0] | changes]  # noqa: E731
    return lambda: with_provenance(history=history())()


def with_shape(name, type_, shape, values=b""):
    def build():
        memory = io.BytesIO()
        np.lib.format.write_array_header_1_0(memory, {"descr": type_, "fortran_order": False, "shape": shape})
        return forged(**{name: memory.getvalue() + values})

    return build


def bomb():
    """A gigabyte of zeros in a megabyte."""
    return zipped(original()[1] | {"table": bytes(1 << 30)}, zipfile.ZIP_DEFLATED)


def stored_size(field, value):
    """Every size of one kind in the zip's directory set to a huge one: field is its place in an entry."""

    def build():
        content = bytearray(original()[0])
        place = content.find(b"PK\x01\x02")
        while place >= 0:
            content[place + field : place + field + 4] = value
            place = content.find(b"PK\x01\x02", place + 4)
        return bytes(content)

    return build


def nested_members():
    """The vocabulary holds the entry of W1 within itself: two members share their bytes."""
    members = original()[1]
    inner = zipped({"W1": members["W1"]})
    inner = inner[: inner.index(b"PK\x01\x02")]
    rest = {name: member for name, member in members.items() if name != "W1"}
    vocabulary = bytearray(members["vocabulary"] + inner)
    whole = bytearray(zipped(rest | {"vocabulary": bytes(vocabulary), "W1": members["W1"]}))
    directory = whole.index(b"PK\x01\x02")
    entry = whole.rindex(b"PK\x01\x02")
    whole[entry + 42 : entry + 46] = whole.index(inner[:30]).to_bytes(4, "little")
    assert directory < entry
    return bytes(whole)


def all_at_one_place():
    """Every entry of the directory leads to the first member."""
    content = bytearray(original()[0])
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        content[place + 42 : place + 46] = bytes(4)
        place = content.find(b"PK\x01\x02", place + 4)
    return bytes(content)


def twice():
    memory = io.BytesIO(original()[0])
    with zipfile.ZipFile(memory, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("table.npy", original()[1]["table"])
    return memory.getvalue()


HOSTILE = {
    "zip bomb": bomb,
    "uncompressed size 4 GB": stored_size(24, b"\xfe\xff\xff\xff"),
    "compressed size 4 GB": stored_size(20, b"\xfe\xff\xff\xff"),
    "zip64 without its sizes": stored_size(24, b"\xff\xff\xff\xff"),
    "nested members": nested_members,
    "all members at one place": all_at_one_place,
    "a member twice": twice,
    "100,000 members": lambda: zipped(original()[1] | {str(i): b"" for i in range(100_000)}),
    "shape of 4 TB": with_shape("table", "<f4", (10**12, 1), bytes(48)),
    "shape of 10^24": with_shape("table", "<f4", (10**11, 10**11), bytes(48)),
    "shape without elements": with_shape("table", "<f4", (0, 10**11)),
    "vocabulary in two dimensions": with_shape("vocabulary", "|u1", (2, 2), b"a\nb\n"),
    "a header without dimensions": with_shape(HEADER, "|u1", (), b"1"),
    "a number of 10 million digits": lambda: forged(b'{"format": ' + b"9" * 10**7 + b"}"),
    "a fraction of 10 million digits": lambda: forged(b'{"format": 0.' + b"9" * 10**7 + b"}"),
    "objects in objects": lambda: forged(b'{"a":' * 10**6 + b"1" + b"}" * 10**6),
    "UTF-8 cut off": lambda: forged(b'{"format": "\xc3'),
    "huge layers": with_header(settings=header_json()["settings"] | {"dim": 10_000, "hidden": 10_000}),
    "a learning rate of 10^400": with_header(settings=header_json()["settings"] | {"learning_rate": 10**400}),
    "a version of 4,000 digits": with_header(version=10**4_000),
    "a setting of 10 million letters": with_header(settings=header_json()["settings"] | {"epochs": "\x1b" * 10**7}),
    "a setting that is not there": with_header(settings=header_json()["settings"] | {"\x1b[31m": 1}),
    "provenance has more": with_provenance(date="today"),
    "inputs is a list": with_provenance(inputs=[]),
    "inputs of lists of lists": with_provenance(inputs={"data": [["a.csv"]]}),
    "texts is a list": with_provenance(texts=[]),
    "texts are nothing": with_provenance(texts={"train": None}),
    "texts are fractions": with_provenance(texts={"train": 0.5}),
    "history is an object": with_provenance(history={}),
    "history of strings": with_provenance(history=["epoch"]),
    "history of lists": with_provenance(history=[list(header_json()["provenance"]["history"][0])]),
    "an epoch without number": with_history(epoch=None),
    "a loss that is true": with_history(train_loss=True),
    "a loss of 10^400": with_history(train_loss=10**400),
    "a loss that is not finite": with_history(train_loss=float("nan")),
    "a best epoch that is a number": with_history(best=1),
}
THE_SAME = {"compressed size 4 GB"}  # whose content is untouched


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What came of each hostile file, and in how many seconds."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, build in enumerate(HOSTILE.values()):
        (folder / f"{number}.npz").write_bytes(build())
    lines = in_a_process(f"load_all({str(folder)!r})").splitlines()
    return folder, dict(zip(HOSTILE, zip(lines[::2], map(float, lines[1::2]), strict=True), strict=True))


def load_all(folder):
    """Load every hostile file in this process, whose memory is limited from now on; print verdicts and seconds."""
    good = Path(folder, "good.npz")
    good.write_bytes(original()[0])
    load(good)
    limit_memory()
    for number in range(len(HOSTILE)):
        started = time.perf_counter()
        try:
            assert_same(load(Path(folder, f"{number}.npz")), make_classifier())
            print("the same")
        except ModelFileError as error:
            print(error)
        except Exception as error:
            print(repr(error)[:200])
        print(time.perf_counter() - started)


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_were_changed_on_purpose(name, verdicts):
    folder, found = verdicts
    verdict, seconds = found[name]
    if name in THE_SAME:
        assert verdict == "the same"
    else:
        path = f"{folder / str(list(HOSTILE).index(name))}.npz "
        assert verdict.startswith(path) and len(verdict) < len(path) + 300 and verdict.isprintable()
    assert seconds < SECONDS
