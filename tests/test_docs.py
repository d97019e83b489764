"""The documentation shows what the commands print. Run this file as a script to write current output into it.

With names of commands as arguments it writes only theirs.

Trained numbers differ in the last digits between processors, and timings always do: samples of trained models are
compared without the lines that contain digits. All other samples are compared to the letter.
"""

import doctest
import functools
import re
import shlex
import shutil
import sys

import pytest
from conftest import REPOSITORY, needs_speed

from mlcore.sentiment import comparison

PAGES = ["README.md", "cli/README.md"]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
SAMPLE = re.compile(r"^\$ mlcore (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
INDENTED = re.compile(r"^    mlcore (.*)$", re.MULTILINE)
TRAINED = re.compile("train|predict|compress|evaluate|explain|neighbors|describe|compare|grad --model")


def comparable(command, output):
    """Lines without trailing spaces; of trained models only those without digits."""
    lines = [line.rstrip() for line in output.rstrip().splitlines()]
    if TRAINED.match(command):
        lines = [re.sub("─+", "─", line) for line in lines if not re.search(r"\d", line)]
    return "\n".join(lines)


@needs_speed
def test_samples_run_and_print_what_the_pages_show(run, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "STRENGTHS", (1.0,))  # which take most of the time, for digits only
    (tmp_path / "data").mkdir()
    shutil.copy(REPOSITORY / "data" / "reviews.tsv", tmp_path / "data")
    done = functools.cache(lambda command: run(*shlex.split(command)))  # both pages train the same model
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        samples = [match.groups() for block in BLOCK.findall(text) for match in SAMPLE.finditer(block)]
        assert len(samples) >= 4
        for command in [*(command for command, _ in samples), *INDENTED.findall(text)]:
            assert done(command).code in (0, 1), done(command).err
        for command, shown in samples:
            assert comparable(command, done(command).out) == comparable(command, shown), command


@pytest.mark.parametrize("page", ["README.md", "mlcore/README.md"])
def test_python_samples(page):
    failed, tried = doctest.testfile(str(REPOSITORY / page), module_relative=False)
    assert (failed, tried > 0) == (0, True)


def test_the_picture_is_what_graph_draws(run):
    assert run("graph", "--format", "svg").out == (REPOSITORY / ".readme" / "network.svg").read_text()


def test_every_command_is_documented(run):
    from mlcore.cli.commands import COMMANDS

    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        assert [name for name in COMMANDS if f"mlcore {name}" not in text and f"`{name}`" not in text] == [], page
    for name in COMMANDS:
        code, help, _ = run(name, "-h")
        assert re.match(rf"Usage: mlcore {name} (.*\n)+\n  Example: mlcore {name}.*\n\n", help), "to copy, on one line"
        assert (code, "[[" in help, name in run("--help").out.split()) == (0, False, True)
        assert max(map(len, help.splitlines())) <= 80, name
        assert ("--vectors PATH" in help) == ("Numberbatch or model2vec" in help), "as in the manual"


def test_links_lead_somewhere():
    for page in [*PAGES, "mlcore/README.md", "tests/benchmarks/README.md", ".github/CONTRIBUTING.md"]:
        path = REPOSITORY / page
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{page}: {target}"


def test_the_architecture_names_every_module():
    library = REPOSITORY / "mlcore"
    rows = re.findall(r"^\| `(\w+)/` \| (.*) \|$", (library / "README.md").read_text(), re.MULTILINE)
    assert {package for package, _ in rows} == {path.parent.name for path in library.glob("*/__init__.py")}
    for package, contents in rows:
        paths = [path for path in (library / package).rglob("*.py") if path.name != "__init__.py"]
        modules = {path.relative_to(library / package).with_suffix("").as_posix() for path in paths}
        assert {*re.findall(r"`([\w/]+)`", contents)} == modules, package


def test_ci_runs_the_command_of_the_readme():
    pattern = re.search(r"-o '(python3.*?)' README", (REPOSITORY / ".ci" / "run").read_text())[1]
    (command,) = re.findall(pattern, (REPOSITORY / "README.md").read_text())
    assert command.endswith(".venv/bin/python -m pytest -q -n 2")


def write_current_output():
    """Run all samples in the repository's folder, and write what they print into the pages."""
    import os
    import subprocess
    import tempfile

    def fill(block):
        lines = []
        for command, shown in SAMPLE.findall(block[1]):
            name = command.split()[0]
            is_asked = name in (sys.argv[1:] or [name])
            if is_asked or name == "train-sentiment":  # whose model other commands read
                call = [sys.executable, "-m", "mlcore", *shlex.split(command)]
                done = subprocess.run(call, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
                assert done.returncode < 2, f"{command} failed"
                shown = done.stdout if is_asked else shown
            lines += [f"$ mlcore {command}", *map(str.rstrip, shown.splitlines())]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    environment = {"COLUMNS": "80"}
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(REPOSITORY / "data", f"{folder}/data")
            path = REPOSITORY / page
            path.write_text(BLOCK.sub(fill, path.read_text()))


if __name__ == "__main__":
    write_current_output()
