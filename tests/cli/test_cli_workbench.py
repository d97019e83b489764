"""derive, check, exercise, graph, programs and help."""

import gc
import json
import os
import xml.etree.ElementTree as ElementTree

import pytest
from mlcore.cli.commands import COMMANDS

HELP_STARTS_WITH = {
    "derive": "mlcore derive --format latex",
    "check": 'mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"',
    "exercise": "mlcore exercise --seed 7 --kink output --solution",
    "descend": "mlcore descend --relu-at-zero 1",
    "graph": "mlcore graph --format svg",
    "forward": "mlcore forward --x 1,2,1",
    "grad": "mlcore grad --relu-at-zero 1 --check",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    done = run(command, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[:3] == ["Usage:", "mlcore", command]
    assert f"Example: {HELP_STARTS_WITH.get(command, 'mlcore')}" in done.out
    assert command in run("--help").out.split()


@pytest.mark.parametrize(("words", "expected"), [("gra", ["grad", "graph"]), ("forward --j", ["--json"])])
def test_the_shell_completes_commands_and_options(start, words, expected):
    variables = {"_MLCORE_COMPLETE": "complete_bash", "COMP_WORDS": f"mlcore {words}"}
    completion = start(env=os.environ | variables | {"COMP_CWORD": str(len(words.split()))})
    assert completion.communicate()[0].split() == expected


def test_derive(run):
    done = run("derive")
    assert done.code == 0
    assert done.err == ""
    assert "  ∂J/∂V = 0 [2  0] = [0  0]" in done.out.splitlines()
    assert r"\begin{align*}" in run("derive", "--format", "latex").out
    assert run("derive", "--format", "markdown", "--relu-at-zero", 1).out.count("$$") % 2 == 0


def test_check_passes_what_the_printed_sheet_says(run):
    done = run("check", "--y-hat", "0", "--dV", "-2,0", "--dW", "0,0,0;0,0,0")
    assert done.code == 0
    assert "right (with φ'(0) = 1)" in done.out
    assert "3 of 3 right." in done.out


def test_check_names_mistakes(run):
    done = run("check", "--dV", "0;0", "--json")
    assert done.code == 1
    (verdict,) = json.loads(done.out)["answers"]
    assert verdict["status"] == "wrong"
    assert any("transposed" in mistake for mistake in verdict["mistakes"])
    assert "dV: transposed" in run("check", "--answer", "dV=0;0").out


def test_check_reads_answers_from_a_file(run, tmp_path):
    (tmp_path / "a.toml").write_text('y_hat = 0\ndV = [-2, 0]\ndW = [[0, 0, 0], [0, 0.00, "0/3"]]\n')
    assert run("check", "--answers", "a.toml").code == 0
    (tmp_path / "a.json").write_text('{"y_hat": 0.4}')
    assert run("check", "--answers", "a.json").code == 1
    (tmp_path / "b.json").write_text("{")
    done = run("check", "--answers", "b.json")
    assert (done.code, done.err.count("\n")) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "There are no answers to check; give at least one"),
        (["check", "--answer", "dV"], "--answer is 'dV'; expected NAME=ROWS"),
        (["check", "--answer", "dQ=1"], "dQ"),
        (["check", "--dV", "one"], "--dV is 'one'; expected numbers"),
        (["derive", "--format", "word"], "--format is 'word'; expected one of text, latex, markdown."),
        (["graph", "--format", "png"], "--format is 'png'; expected one of text, mermaid, dot, svg."),
        (["exercise", "--kink", "all"], "--kink is 'all'; expected one of none, hidden, output, both."),
        (["exercise", "--hidden", "0"], "--hidden is 0; expected "),
    ],
)
def test_wrong_usage(run, arguments, message):
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_exercise_and_its_solution_fit_check(run, tmp_path):
    done = run("exercise", "--seed", 7, "--kink", "output", "--net", "net.toml")
    assert done.code == 0
    assert "Questions" in done.out
    assert "Forward" not in done.out
    solved = run("exercise", "--seed", 7, "--kink", "output", "--solution").out
    assert solved.startswith(done.out.rstrip("\n"))
    assert "The numbers" in solved
    truth = json.loads(run("grad", "--net", "net.toml", "--json").out)
    rows = ";".join(",".join(map(str, row)) for row in truth["gradients"]["V"])
    assert run("check", "--net", "net.toml", "--dV", rows).code == 0
    for form in ("latex", "markdown"):
        assert "varphi" in run("exercise", "--format", form).out


def test_graph(run):
    assert "on the kink" in run("graph").out
    ElementTree.fromstring(run("graph", "--format", "svg").out)
    assert run("graph", "--format", "mermaid").out.startswith("---\ntitle:")
    assert run("graph", "--format", "dot").out.startswith("digraph")


@pytest.mark.parametrize("language", ["numpy", "pytorch", "jax"])
def test_code(run, language):
    done = run("grad", "--code", language)
    assert done.code == 0
    compile(done.out, "program", "exec")


@pytest.mark.parametrize(
    "command",
    [
        "forward",
        "grad --check",
        "derive",
        "check --y-hat 0",
        "graph",
        "exercise --solution",
        "descend --relu-at-zero 1",
    ],
)
def test_every_command_fits_80_columns_and_ascii(run, start, monkeypatch, command):
    done = run(*command.split())
    assert max(map(len, done.out.splitlines())) <= 80
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    out, _ = start(*command.split()).communicate(timeout=120)
    assert out.isascii()
    assert "?" not in out


def test_the_collector_of_garbage_is_left_as_it_was(run):
    before = gc.get_threshold(), gc.get_freeze_count()
    run("--help")
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
