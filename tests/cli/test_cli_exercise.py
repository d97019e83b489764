"""The commands of exercise 1: what they print, other networks, and what is refused.

With WRITE_GOLDEN=1 in the environment, the golden texts are written instead of compared.
"""

import json
import os
import re
from pathlib import Path

import pytest
from conftest import needs_speed
from mlcore.cli.commands import COMMANDS

GOLDEN = Path(__file__).parent / "golden"
TEXTS = {
    "forward": "forward --x 1/2,0,0;1,2,1 --y 1;1",
    "grad": "grad --check --more",
    "grad-samples": "grad --x 1,2,1;1,2,1 --y 1;1 --relu-at-zero 1/2",
    "grad-same": "grad --y 0",
    "grad-plain": "grad",
    "derive": "derive",
    "derive-samples": "derive --x 1,2,1;1/2,0,1 --y 1;-2 --relu-at-zero 1/2",
    "derive-latex": "derive --format latex",
    "derive-markdown": "derive --format markdown --relu-at-zero 1",
    "descend": "descend --relu-at-zero 1 --steps 40",
    "check": "check --y-hat 0 --dV -2,0 --dW 0,0,0;0,0,0",
    "exercise": "exercise --seed 7 --kink output --solution",
    "graph": "graph",
    "graph-mermaid": "graph --format mermaid",
    "graph-dot": "graph --format dot --relu-at-zero 1",
    "net": "net show --x 1/2,2,1",
}


def strict(text):
    """Parse JSON by RFC 8259: one document, without NaN, Infinity and -0."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert text.count("\n") == 1
    assert not re.search(r"-0(\.0)?[],}]", text)
    return json.loads(text, parse_constant=refuse)


def document(run, *arguments):
    done = run(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    return strict(done.out)


@pytest.mark.parametrize("name", TEXTS)
def test_golden_texts(run, name):
    done = run(*TEXTS[name].split())
    assert (done.code, done.err) == (0, "")
    if os.environ.get("WRITE_GOLDEN"):
        (GOLDEN / f"{name}.txt").write_text(done.out)
    assert done.out == (GOLDEN / f"{name}.txt").read_text()
    if not name.startswith(("derive-", "graph-")):
        assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("arguments", ["forward --x 1,2,1", "grad", "descend --relu-at-zero 1 --steps 3"])
def test_golden_json(run, arguments):
    command, *options = arguments.split()
    found, expected = document(run, command, *options), json.loads((GOLDEN / f"{command}.json").read_text())
    assert list(found) == list(expected)
    assert found == expected


@pytest.mark.parametrize("command", ["forward", "grad --check", "derive", "check --y-hat 0", "graph", "descend"])
def test_ascii(run_in_ascii, command):
    out = run_in_ascii(*command.split())
    assert out.isascii()
    assert "?" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    done = run(command, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[:3] == ["Usage:", "mlcore", command]
    assert f"Example: mlcore {command}" in done.out
    assert command in run("--help").out.split()


@pytest.mark.parametrize(("words", "expected"), [("gra", ["grad", "graph"]), ("forward --j", ["--json"])])
def test_the_shell_completes_commands_and_options(start, words, expected):
    variables = {"_MLCORE_COMPLETE": "complete_bash", "COMP_WORDS": f"mlcore {words}"}
    completion = start(env=os.environ | variables | {"COMP_CWORD": str(len(words.split()))})
    assert completion.communicate()[0].split() == expected


def test_negative_numbers_first_and_every_notation(run):
    found = document(run, "forward", "--x", "-1,2.5e-1,\u22121/4", "--y", "-3")
    assert (found["x"], found["y"]) == ([-1, 0.25, -0.25], [-3])
    document(run, "grad", "--x", "-0,0,0", "--w", "-1,-1,-1", "--v", "-1", "--y", "-0.0")


def test_check_fails_for_a_convention_that_contradicts_the_derivative(run):
    """V h = 1 + relu(x) - relu(-x) = 1 + x is smooth at x = 0, with derivative 1; c = 0 gives 0, c = 1/2 gives 1.

    Source: Kakade and Lee 2018, Provably correct automatic subdifferentiation.
    """
    arguments = ("grad", "--w", "1,0;-1,0;0,1", "--v", "1,-1,1", "--x", "0,1", "--y", "0", "--check")
    wrong = run(*arguments)
    assert wrong.code == 1
    assert " x[1]             0         1                  WRONG" in wrong.out
    assert "marked WRONG" in wrong.err
    assert not strict(run(*arguments, "--json").out)["check"]["agrees"]
    right = run(*arguments, "--relu-at-zero", "1/2")
    assert (right.code, "WRONG" in right.out) == (0, False)


@pytest.mark.parametrize("y", ["1e6", "-3e12"])
def test_check_of_big_numbers_is_not_confused_by_rounding(run, y):
    found = document(run, "grad", "--x", "3,2,1", "--v", "1,1", "--y", y, "--check")["check"]
    assert found["agrees"]
    assert not any(found[name]["one_sided_differ"][0][0] for name in ("W", "V"))


def test_check_reads_answers_from_a_file(run, tmp_path):
    (tmp_path / "a.toml").write_text('y_hat = 0\ndV = [-2, 0]\ndW = [[0, 0, 0], [0, 0.00, "0/3"]]\n')
    (tmp_path / "a.json").write_text('{"y_hat": 0.4}')
    assert run("check", "--answers", "a.toml").code == 0
    wrong = run("check", "--answers", "a.json", "--json")
    assert (wrong.code, strict(wrong.out)["answers"][0]["status"]) == (1, "wrong")
    hint = run("check", "--answer", "dV=2,?", "--hint").out
    assert ("truth" in hint, "wrong sign" in hint) == (False, True)


def test_check_marks_a_class(run, tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "anna.toml").write_text('student = "Anna"\ny_hat = 0\ndV = [[2, 0]]\n')
    done = run("check", "--answers", "answers", "-o", "marks.csv")
    assert (done.code, done.err) == (0, "Wrote marks.csv.\n")
    assert "wrong sign" in done.out
    assert (tmp_path / "marks.csv").read_text("utf-8-sig").startswith("student,file,y_hat,dV,total,of,remarks\nAnna,")
    assert strict(run("check", "--answers", "answers", "--json").out)["worth"] == {"y_hat": "1", "dV": "1"}


def test_exercise_and_its_solution_fit_check(run, tmp_path):
    for _ in range(2):  # it replaces a net
        posed = run("exercise", "--seed", 7, "--kink", "output", "--net", "net.toml").out
    assert (GOLDEN / "exercise.txt").read_text().startswith(posed.rstrip("\n"))
    rows = ";".join(",".join(map(str, row)) for row in document(run, "grad", "--net", "net.toml")["gradients"]["V"])
    assert run("check", "--net", "net.toml", "--dV", rows).code == 0


def test_net_show_is_read_back(run, start, tmp_path):
    shown = run("net", "show", "--x", "1/2,2,1").out
    (tmp_path / "net.toml").write_text(shown)
    assert run("net", "show", "--net", "net.toml").out == shown
    os.mkfifo(tmp_path / "pipe")  # which can be read only once
    process = start("net", "show", "--net", "pipe")
    (tmp_path / "pipe").write_text(shown)
    assert process.communicate(timeout=120)[0] == shown


DEEP = """
x = [[1, 2], [0, 1]]
y = [[1], [0]]
[[layers]]
A = [[1, -1], [2, "1/2"]]
b = [0, 1]
[[layers]]
activation = "tanh"
B = [[1, 1], [1, -1]]
[[layers]]
activation = "identity"
C = [[1, 2]]
c = [1]
"""


def test_deep_network_with_several_samples(run, tmp_path):
    (tmp_path / "net.toml").write_text(DEEP)
    found = document(run, "grad", "--net", "net.toml", "--check")
    assert found["check"]["agrees"]
    assert [sample["x"] for sample in found["samples"]] == [[1, 2], [0, 1]]
    assert found["loss"] == pytest.approx(sum(sample["loss"] for sample in found["samples"]) / 2)
    assert list(found["gradients"]) == ["A", "b", "B", "C", "c", "x"]
    assert "exact" not in found
    for command in ("forward", "grad --check", "derive", "graph", "descend"):
        done = run(*command.split(), "--net", "net.toml")
        assert (done.code, bool(done.out)) == (0, True), command


@needs_speed
def test_first_run_says_that_it_compiles(start, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    out, err = start("forward").communicate(timeout=120)
    assert err.startswith("First run: compiling kernels.")
    assert start("forward").communicate(timeout=120) == (out, "")
