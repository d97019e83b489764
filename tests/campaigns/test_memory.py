"""Inputs that are, or say that they are, larger than memory: each ends in one line that names the file."""

import gzip
import json
import os
import sys
import tarfile
import zipfile

import pytest
from conftest import run_python

MEMORY = 4 << 30  # bytes of address space
RUN = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from mlcore.cli.app import main
for line in sys.stdin:
    sys.argv = ["mlcore", *line.split()]
    try:
        main()
    except SystemExit as done:
        print("code", done.code, file=sys.stderr, flush=True)
"""


def hole(path, size, head=b""):
    """A file of that size that takes no room on the disk."""
    path.parent.mkdir(exist_ok=True, parents=True)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)


def tar_with_header(path, kind, size):
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, size
    path.write_bytes(gzip.compress(header.tobuf() + b"a" * 2000))


def inputs(folder):
    """Write the files; return commands, exit codes and what is said."""
    hole(folder / "texts" / "pos" / "large.txt", 6 << 30)
    hole(folder / "zeros.csv", 6 << 30, b"text,label\n")
    tar_with_header(folder / "pax.tar.gz", tarfile.XHDTYPE, 2 << 30)
    tar_with_header(folder / "name.tar.gz", tarfile.GNUTYPE_LONGNAME, 2 << 30)
    with zipfile.ZipFile(folder / "line.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"text,label\n" + b"a" * (65 << 20))
    (folder / "columns.csv").write_text("a," * 10**5 + "\n" + "b," * 10**5)
    (folder / "deep.json.gz").write_bytes(gzip.compress(b"[" * (1 << 20)))
    tensor = {
        "__metadata__": {"mlcore": "{}"},
        "t": {"dtype": "U8", "shape": [40 << 30], "data_offsets": [0, 40 << 30]},
    }
    header = json.dumps(tensor).encode()
    hole(folder / "large.model", 40 << 30, len(header).to_bytes(8, "little") + header)
    return {
        "data texts": (3, "texts/pos/large.txt has 6,442,450,944 bytes"),
        "data zeros.csv": (3, "zeros.csv is not a text file"),
        "data pax.tar.gz": (3, "pax.tar.gz is damaged or cannot be unpacked here (a header of 2,147,483,648 bytes)"),
        "data name.tar.gz": (3, "name.tar.gz is damaged or cannot be unpacked here (a header of 2,147,483,648 bytes)"),
        "data line.zip": (3, "line.zip has a line of more than"),
        "data columns.csv": (3, "columns.csv has 100,001 columns"),
        "data deep.json.gz": (3, "deep.json.gz, line 1: not JSON"),
        "predict large.model good": (4, "large.model is too large for the memory of this machine"),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_what_is_too_large_is_named(tmp_path):
    expected = inputs(tmp_path)
    done = run_python(RUN, input="\n".join(expected), cwd=tmp_path, env=os.environ | {"COLUMNS": "200"})
    *parts, rest = done.stderr.split("code ")
    codes = [int(part.split("\n")[0]) for part in [*parts[1:], rest]]
    messages = [part.partition("\n")[2] if i else part for i, part in enumerate(parts)]
    for (command, (code, message)), found, said in zip(expected.items(), codes, messages, strict=True):
        assert (found, message in said, "Traceback" in said) == (code, True, False), (command, said)
