"""The README shows what the commands print. Run this file as a script to write the current output into it.

What comes out of a training is compared without the lines that hold digits, and without the strongest words (other
processors add in another order, and clocks differ); everything else is, to the letter.
"""

import re
import shlex
import shutil
import sys

import pytest
from conftest import REPOSITORY, needs_speed

README = REPOSITORY / "README.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ mlcore (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def examples():
    return [match.groups() for block in BLOCK.findall(README.read_text()) for match in COMMAND.finditer(block)]


TRAINED = ("train", "predict", "evaluate", "explain", "neighbors", "compare")  # commands that show a training's numbers


def comparable(command, output):
    """Lines without trailing spaces; for a training and its model, only those without digits."""
    lines = [line.rstrip() for line in output.rstrip().splitlines()]
    if command.startswith(TRAINED):
        lines = [re.sub("─+", "─", line) for line in lines if not re.search(r"\d", line)]
    return "\n".join(lines)


@needs_speed
def test_readme_shows_what_the_commands_print(run, tmp_path):
    shutil.copy(REPOSITORY / "data" / "reviews.tsv", tmp_path)
    assert len(examples()) >= 6
    for command, shown in examples():
        done = run(*shlex.split(command))
        assert comparable(command, done.out) == comparable(command, shown), command


def test_readme_python(monkeypatch):
    import doctest

    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert (failed, tried > 0) == (0, True)


def test_readme_shows_the_network_as_graph_draws_it(run):
    assert run("graph", "--format", "svg").out == (REPOSITORY / ".readme" / "network.svg").read_text()


@pytest.mark.parametrize("command", ["-e . &&", "-e '.[test]' &&"])
def test_readme_begins_with_the_two_commands(command):
    assert command in README.read_text()[:1200]


def test_ci_runs_the_readme_test_command():
    script = (REPOSITORY / ".ci" / "run").read_text()
    pattern = re.search(r"-o '(.*?)' README", script)[1]
    assert re.findall(pattern, README.read_text()) == [
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest -q"
    ]


if __name__ == "__main__":
    import os
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(REPOSITORY / "data" / "reviews.tsv", folder)

        def fill(match):
            lines = [f"$ mlcore {command}\n" for command, _ in COMMAND.findall(match[1])]
            for number, line in enumerate(lines):
                arguments = shlex.split(line.removeprefix("$ mlcore "))
                done = subprocess.run([sys.executable, "-m", "mlcore", *arguments], cwd=folder, stdout=subprocess.PIPE,
                                      text=True, env=os.environ | {"COLUMNS": "80"})  # fmt: skip
                lines[number] += "".join(f"{row.rstrip()}\n" for row in done.stdout.splitlines())
            return f"```console\n{''.join(lines)}```"

        README.write_text(BLOCK.sub(fill, README.read_text()))
