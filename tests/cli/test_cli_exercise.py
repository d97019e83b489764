"""The commands of exercise 1 in terminals and pipes, and sheets in every format; ``sessions`` has what they print."""

import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import needs_speed

from mlcore.exercise.formats import to_unicode
from mlcore.exercise.generator import make_problem
from mlcore.exercise.marking import Marker
from mlcore.exercise.problem import read_problem, to_toml
from mlcore.exercise.syllabus import KINDS


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


NUMBER = r"-?(?:(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?)"  # as Moodle's cloze questions read it
FIELD = re.compile(rf"\{{1:NUMERICAL:=({NUMBER}):({NUMBER})\}}")


@pytest.fixture
def make(run, tmp_path):
    """Write sheets into a folder, and return the texts of its files by name."""

    def write(name, options):
        done = run("exercise", *options.split(), "-o", name)
        assert (done.code, done.out) == (0, ""), done.err
        return {path.name: path.read_text() for path in sorted((tmp_path / name).iterdir())}

    return write


def check(run, net, answers, *options):
    typed = {name: ";".join(",".join(map(str, row)) for row in rows) for name, rows in answers.items()}
    return run("check", "--net", net, *options, *(f"--answer={name}={rows}" for name, rows in typed.items()))


@pytest.mark.parametrize("output_format", ["text", "markdown", "latex", "moodle"])
def test_sheets_are_reproducible_and_replace_nothing(run, make, output_format):
    files = make("sheets", f"--kind sigmoid --count 10 --format {output_format}")
    assert files == make("again", f"--kind sigmoid --count 10 --format {output_format}")
    assert len([name for name in files if name.endswith(".toml")]) == 10
    done = run("exercise", "--seed", "2", "-o", "sheets")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "it exists, and is not an empty folder" in done.err
    if output_format in ("text", "markdown"):
        ending = {"text": "txt", "markdown": "md"}[output_format]
        sheet, key = files[f"sheet-03.{ending}"], files[f"sheet-03-key.{ending}"]
        assert "Sheet 3 (sigmoid, medium, seed 3)" in sheet
        assert "Name: ____" in sheet
        assert "Key: Sheet 3" in key
        alone = run("exercise", *f"--kind sigmoid --seed 3 --format {output_format}".split()).out
        assert alone.replace("Sheet 1", "Sheet 3").strip() == sheet.strip()


@pytest.mark.parametrize("options", [*KINDS, "relu --kink output", "relu --kink both"])
def test_moodle_accepts_what_check_accepts(run, make, options):
    files = make("bank", f"--difficulty hard --format moodle --kind {options}")
    category, *questions = ElementTree.fromstring(files["questions.xml"]).findall("question")
    nets = [name for name in files if name.endswith(".toml")]
    assert category.findtext("category/text").startswith("$course$/")
    assert [question.get("type") for question in questions] == ["cloze"] * len(nets)
    for net, question in zip(nets, questions, strict=True):
        body, answers = ElementTree.fromstring(f"<body>{question.findtext('questiontext/text')}</body>"), {}
        for number, table in enumerate(body):
            if table.tag == "table":
                symbol = body[number - 1].text.removeprefix(r"\(").removesuffix(r" =\)")
                answers[to_unicode(symbol)] = [[FIELD.fullmatch(cell.text)[1] for cell in row] for row in table]
        assert {"ŷ", "J", "∂J/∂W"} <= {name.removesuffix("₁") for name in answers}
        done = check(run, f"bank/{net}", answers)
        assert done.code == 0, done.out
        zeros = {name: [[0] * len(row) for row in rows] for name, rows in answers.items() if "∂" in name}
        assert check(run, f"bank/{net}", zeros).code == 1
        assert "aligned" in question.findtext("generalfeedback/text")


@pytest.mark.parametrize("kind", [*KINDS, "eight"])
def test_nothing_is_wider_than_80_columns(run, tmp_path, kind):
    rows = [[round(0.1 * i * (-1) ** j - 0.01 * j, 2) for i in range(8)] for j in range(8)]
    eight = f"x = {rows[1]}\ny = [1]\n[[layers]]\nactivation = 'tanh'\nW = {rows}\n[[layers]]\nV = [{rows[2]}]\n"
    net = eight if kind == "eight" else to_toml(make_problem(1, kind, "hard"))
    (tmp_path / "net.toml").write_text(net)
    truth = Marker(read_problem(tmp_path / "net.toml")).names
    commands = ["forward", "grad --check --more", "derive --learning-rate 0.5", "graph"]
    commands.append("descend --steps 2 --learning-rate 0.001")
    shown = [run(*command.split(), "--net", "net.toml", "--digits", 9).out for command in commands]
    shown.append(check(run, "net.toml", {name: np.ones_like(rows) for name, rows in truth.items()}, "--digits", 9).out)
    assert all(max(map(len, out.splitlines())) <= 80 for out in shown)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX engine is installed")
@pytest.mark.parametrize("difficulty", ["medium", "hard"])
@pytest.mark.parametrize("kind", KINDS)
def test_latex_fits_the_page(make, tmp_path, kind, difficulty):
    make("tex", f"--kind {kind} --format latex --difficulty {difficulty}")
    for name in ("sheets.tex", "keys.tex"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name]
        done = subprocess.run(command, cwd=tmp_path / "tex", capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
        assert [width for width in re.findall(r"Overfull \\hbox \((.*?)pt", done.stdout) if float(width) > 5] == []


KATEX = """
const katex = require("katex"), text = require("fs").readFileSync(0, "utf8");
for (const found of text.matchAll(/\\$\\$\\n([^]*?)\\n\\$\\$|\\$([^$\\n]+)\\$/g))
  katex.renderToString(found[1] ?? found[2], { displayMode: !!found[1], throwOnError: true, strict: "error" });
"""


def test_markdown_renders_with_katex(make):
    if not shutil.which("node") or subprocess.run(["node", "-e", "require('katex')"], capture_output=True).returncode:
        pytest.skip("KaTeX is not installed (npm install katex, and its folder in NODE_PATH)")
    made = (make(kind, f"--kind {kind} --format markdown") for kind in KINDS)
    text = "\n".join(text for files in made for name, text in files.items() if name.endswith(".md"))
    assert text.count("$$") > 100
    done = subprocess.run(["node", "-e", KATEX], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
