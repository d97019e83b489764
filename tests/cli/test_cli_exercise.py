"""The commands of exercise 1 in terminals, shells and pipes; ``sessions`` has what they print."""

import os
import re

import pytest
from conftest import needs_speed


def test_where_there_is_no_unicode_a_minus_sign_stays_one(start):
    out, _ = start("forward", env=os.environ | {"PYTHONIOENCODING": "ascii"}).communicate()
    assert re.search(r"hidden +. +2 +. +-1 ", out)


@pytest.mark.parametrize(("words", "expected"), [("gra", ["grad", "graph"]), ("forward --j", ["--json"])])
def test_the_shell_completes_commands_and_options(start, words, expected):
    variables = {"_MLCORE_COMPLETE": "complete_bash", "COMP_WORDS": f"mlcore {words}"}
    completion = start(env=os.environ | variables | {"COMP_CWORD": str(len(words.split()))})
    assert completion.communicate()[0].split() == expected


def test_net_is_read_back(run, start, tmp_path):
    shown = run("net", "--x", "1/2,2,1").out
    (tmp_path / "net.toml").write_text(shown)
    assert run("net", "--net", "net.toml").out == shown
    os.mkfifo(tmp_path / "pipe")  # which can be read only once
    process = start("net", "--net", "pipe")
    (tmp_path / "pipe").write_text(shown)
    assert process.communicate(timeout=120)[0] == shown


@needs_speed
def test_first_run_says_that_it_compiles(start, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    out, err = start("forward").communicate(timeout=120)
    assert err.startswith("First run: compiling kernels.")
    assert start("forward").communicate(timeout=120) == (out, "")
