"""The commands of exercise 1 in terminals, shells and pipes; ``sessions`` has what they print."""

import os

import pytest
from conftest import needs_speed


@pytest.mark.parametrize("command", ["forward", "grad --check", "derive", "check --y-hat 0", "graph", "descend"])
def test_ascii(run_in_ascii, command):
    out = run_in_ascii(*command.split())
    assert (out.isascii(), "?" in out) == (True, False)
    if command == "graph":  # boxes have room for what is spelled out
        boxes = [line for line in out.splitlines() if line.startswith("+--------+")]
        assert boxes[0].split()[1:] == ["+-", "h1", "--------+"]


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
