"""Model files that somebody changed, by accident or on purpose: each is refused by name, or is the same model.

All are loaded in a process of its own with limited memory, so that a file that makes it allocate much is noticed.
"""

import functools
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from test_model_file import assert_same, make_model, parts, sealed, with_header

from mlcore.errors import ModelFileError
from mlcore.sentiment.model import Compressed
from mlcore.sentiment.model_file import KEY, content_of, load_model, model_of, save_model

MEMORY = 256 << 20  # bytes that a process may allocate besides what it has after a first load
SECONDS = 5  # of processor time for a file of a few megabytes


@functools.cache
def original(compressed=False):
    """Bytes of a small model, its JSON and its tensors, and the model."""
    model = make_model(char_ngrams="4-5")
    if compressed:
        model.parameters.table[:] = np.rint(model.parameters.table * 300) * np.float32(0.5)
        model.compressed = Compressed(0.5, 99, 9)
    content = content_of(model)
    return content, *parts(content), model_of(content)


def outer_and_data(compressed=False):
    """The header of the safetensors format, and what follows it."""
    content = original(compressed)[0]
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def framed(outer, data=None):
    """A file with this header, whose length is right."""
    return len(outer).to_bytes(8, "little") + outer + (outer_and_data()[1] if data is None else data)


def with_json(text):
    """A file with this text in place of the JSON, without a checksum."""
    outer = json.loads(outer_and_data()[0])
    return framed(json.dumps(outer | {"__metadata__": {KEY: text}}).encode())


# Changes at random ------------------------------------------------------------------------------------------


def mutated(content, trial, random):
    """Flip bits, replace, cut off, insert, delete or swap bytes, or change digits (sizes in the header are decimal)."""
    content, length = bytearray(content), random.integers(1, 40)
    a, b = sorted(random.integers(len(content) + 1, size=2))
    kind = trial % 7
    if kind == 0:
        for place in random.integers(len(content), size=random.integers(1, 4)):
            content[place] ^= 1 << random.integers(8)
    elif kind == 1:
        content[a : a + length] = random.bytes(len(content[a : a + length]))
    elif kind == 2:
        del content[a:]
    elif kind == 3:
        content[a:a] = random.bytes(length)
    elif kind == 4:
        del content[a : a + length]
    elif kind == 5 and a + length <= b:
        content[a : a + length], content[b : b + length] = content[b : b + length], content[a : a + length]
    elif digits := [place for place, byte in enumerate(content) if byte in b"0123456789"]:
        for place in random.choice(digits, size=random.integers(1, 4)):
            content[place] = ord("0") + random.integers(10)
    return bytes(content)


def mutate_file(trial, random):
    return mutated(original(compressed=trial % 2 == 1)[0], trial, random)


def mutate_outer(trial, random):
    """Change the header of the safetensors format or the tensors, and keep the length of the header right."""
    outer, data = outer_and_data(compressed=trial % 2 == 1)
    if random.random() < 0.7:
        return framed(mutated(outer, trial, random), data)
    return framed(outer, mutated(data, trial, random))


def mutate_tensor(trial, random):
    """Change a tensor and perhaps its shape, and give the file a checksum that fits."""
    _, header, tensors, _ = original(compressed=trial % 2 == 1)
    name = random.choice(list(tensors))
    changed, dtype = mutated(tensors[name].tobytes(), trial, random), tensors[name].dtype
    array = np.frombuffer(changed[: len(changed) - len(changed) % dtype.itemsize], dtype)
    if array.size == tensors[name].size:
        array = array.reshape(tensors[name].shape)
    return sealed(header, tensors | {name: array})


VALUES = [
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, 1e308, "", "x", "\x1b[31m", "\ud800", [], [1], [[]], {},
    {"a": {}},
]  # fmt: skip


def mutate_json(trial, random):
    """Give one value anywhere in the JSON another value, of any type, and the file a checksum that fits."""
    _, header, tensors, _ = original(compressed=trial % 2 == 1)
    header, places = json.loads(json.dumps(header)), []

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
    return sealed(header, tensors)


def loaded(content, path):
    """The model in a file with this content, or None if it is refused by name."""
    path.write_bytes(content)
    try:
        return load_model(path)
    except ModelFileError as error:
        if not str(error).startswith(f"{path} "):
            raise
        return None


def check_unsigned(content, path):
    """A file with a wrong checksum is refused, or is the same model to the last bit."""
    if found := loaded(content, path):
        assert_same(found, original(bool(found.compressed))[3])
    return found is not None


def check_signed(content, path):
    """A file with a right checksum is refused, or is a model that can be used, described and saved."""
    found = loaded(content, path)
    if found is None:
        return False
    logits = found.logits(found.features.documents(["good bad naïve good", ""]))
    assert np.isfinite(logits).all()
    found.features.names, found.features.words_in(), repr(found.settings), found.n_parameters
    for epoch in found.provenance.history:
        assert f"{epoch['epoch']:d} {epoch['train_loss']:.4f} {epoch['learning_rate']:g} {epoch['restarts']:d}"
        assert all(epoch[name] is None or f"{epoch[name]:.4f}" for name in ("dev_loss", "dev_accuracy", "dev_micro_f1"))
    save_model(found, path)
    assert_same(load_model(path), found)
    return True


RANDOM = [
    (mutate_file, check_unsigned), (mutate_outer, check_unsigned), (mutate_tensor, check_signed),
    (mutate_json, check_signed),
]  # fmt: skip


# Changes on purpose -----------------------------------------------------------------------------------------


def changed(coarse=False, **changes):
    return with_header(original(coarse)[0], changes)


def with_entry(**changes):
    """Another description of the table in the header of the safetensors format."""
    outer = json.loads(outer_and_data()[0])
    return framed(json.dumps(outer | {"table": outer["table"] | changes}).encode())


STEPS = 0.0, -0.5, 1e-40, 0.1, 1e300, 10**400, "1"
HOSTILE = {
    "a header of 16 EB": lambda: b"\xff" * 7 + b"\x7f" + original()[0][8:],
    "a header of 90 MB": lambda: (90 << 20).to_bytes(8, "little") + original()[0][8:],
    "a header of 20 MB of spaces": lambda: framed(b"{" + b" " * (20 << 20)),
    "shape of 4 TB": lambda: with_entry(shape=[10**12, 1]),
    "shape without elements": lambda: with_entry(shape=[0, 10**11]),
    "offsets of 4 TB": lambda: with_entry(data_offsets=[0, 4 * 10**12]),
    "offsets of 10^400": lambda: with_entry(data_offsets=[0, 10**400]),
    "another type of the same size": lambda: with_entry(dtype="I32"),
    "a tensor twice": lambda: framed(outer_and_data()[0][:-1] + b',"table":{"dtype":"F32"}}'),
    "100,000 tensors": lambda: framed(
        json.dumps({str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}).encode()
    ),
    "metadata of other types": lambda: framed(b'{"__metadata__": {"mlcore": 3}}'),
    "a number of 10 million digits": lambda: with_json('{"format": ' + "9" * 10**7 + "}"),
    "objects in objects": lambda: with_json('{"a":' * 10**6 + "1" + "}" * 10**6),
    "UTF-8 cut off": lambda: framed(b'{"__metadata__": {"mlcore": "\xc3'),
    "JSON that is a list": lambda: with_json("[]"),
    "huge layers": lambda: changed(settings={"dim": 10_000, "hidden": 10_000}),
    "a learning rate of 10^400": lambda: changed(settings={"learning_rate": 10**400}),
    "a version of 4,000 digits": lambda: changed(version=10**4_000),
    "a setting of a million letters": lambda: changed(settings={"epochs": "\x1b" * 10**6}),
    "a setting that does not exist": lambda: changed(settings={"\x1b[31m": 1}),
    **{f"a step of {step!r:.9}": partial(changed, True, compressed={"step": step}) for step in STEPS},
    "a compressed model of -1 features": lambda: changed(True, compressed={"features": -1}),
    "a compressed model with a colour": lambda: changed(True, compressed={"colour": 3}),
    "a table of floats with a step": lambda: sealed(original(True)[1], original()[2]),
    "a table of bytes without a step": lambda: sealed(original()[1], original(True)[2]),
    "a loss that is not finite": lambda: with_json(json.dumps(original()[1]).replace("0.5", "Infinity")),
}


def load_all(folder, trials):
    """Load all changed files in this process, of limited memory; print the verdict on each hostile one and its seconds,
    and then for each kind of changes at random how many of so many files are models.
    """
    path = Path(folder, "changed")
    check_signed(original()[0], path)
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    for name in HOSTILE:
        started = time.process_time()
        try:
            print(load_model(Path(folder, name)).settings)
        except Exception as error:
            print(error if isinstance(error, ModelFileError) else repr(error)[:200])
        print(time.process_time() - started)
    for change, check in RANDOM:
        print(sum(check(change(trial, np.random.default_rng([7, trial])), path) for trial in range(trials)))


@pytest.mark.parametrize("trials", [100, pytest.param(250_000, marks=pytest.mark.full)])
def test_changed_files_are_refused_by_name_or_are_models(trials, tmp_path):
    for name, build in HOSTILE.items():
        (tmp_path / name).write_bytes(build())
    folders = [str(folder) for folder in Path(__file__).parents[:2]]
    code = f"import sys; sys.path += {folders!r}; from test_hostile_models import *; "
    code += f"load_all({str(tmp_path)!r}, {trials})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    *lines, file, outer, tensor, json_ = done.stdout.splitlines()
    assert max(map(int, (file, outer, tensor, json_))) < 0.75 * trials  # else the changes are hardly any
    for name, verdict, seconds in zip(HOSTILE, lines[::2], lines[1::2], strict=True):
        path = f"{tmp_path / name} "
        assert (verdict.startswith(path), verdict.isprintable()) == (True, True), (name, verdict)
        assert (len(verdict) < len(path) + 300, float(seconds) < SECONDS) == (True, True), (name, seconds)
