"""The commands of exercise 1: what they print, other networks, and what is refused.

With WRITE_GOLDEN=1 in the environment, the golden texts are written instead of compared.
"""

import gc
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("forward --w 1,2;3", "--w is '1,2;3'; expected rows of one length"),
        ("forward --x 1,two,3", "--x is '1,two,3'; expected numbers such as 2, -0.5, 1e-3 or -1/2"),
        (
            "forward --x 1;2;1",
            "x has 3 samples of 1 value each; expected 3 in each, since W is 2 x 3; for one sample of 3",
        ),
        ("forward --digits 0", "--digits is 0; expected a whole number from 1 to 17"),
        ("derive --standalone", "--standalone is for --format latex"),
        ("derive --learning-rate 0", "--learning-rate is 0.0; expected a number above 0"),
        ("descend --optimizer rmsprop", "The optimizer is 'rmsprop'; expected one of sgd, momentum, adam"),
        ("forward --x 1e200,0,0 --v 1e200,0", "beyond the range of float64"),
        ("grad --relu-at-zero 2", "--relu-at-zero is 2; expected a number from 0 to 1."),
        ("grad --code cobol", "--code is 'cobol'; expected one of numpy, pytorch, jax."),
        ("grad --code numpy --json", "leave out --json or --code"),
        ("descend --steps 0", "--steps is 0; expected a whole number from 1"),
        ("check", "There are no answers to check; give at least one"),
        ("check --answer dV", "--answer is 'dV'; expected NAME=ROWS"),
        ("check --dV 1 --tolerance -1/2", "--tolerance is '-1/2'; expected a number of at least 0"),
        ("check --dV one", "--dV is 'one'; expected numbers"),
        ("derive --format word", "--format is 'word'; expected one of text, latex, markdown."),
        ("graph --format png", "--format is 'png'; expected one of text, mermaid, dot, svg, tikz."),
        ("exercise --kink all", "--kink is 'all'; expected one of none, hidden, output, both."),
        ("grad --chekc", "No such option: --chekc (Possible options: --check, --code, --help). See mlcore grad"),
        ("gard", "No such command 'gard'. Did you mean 'grad'? See mlcore --help."),
        ("net shwo", "No such command 'shwo'. Did you mean 'show'? See mlcore net --help."),
        ("forward --x", "Option '--x' requires an argument. See mlcore forward --help."),
        ("forward extra", "Got unexpected extra argument(s) (extra). See mlcore forward --help."),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, message):
    done = run(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mlcore: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_check_reads_answers_from_a_file(run, tmp_path):
    (tmp_path / "a.toml").write_text('y_hat = 0\ndV = [-2, 0]\ndW = [[0, 0, 0], [0, 0.00, "0/3"]]\n')
    (tmp_path / "a.json").write_text('{"y_hat": 0.4}')
    (tmp_path / "b.json").write_text("{")
    assert run("check", "--answers", "a.toml").code == 0
    wrong = run("check", "--answers", "a.json", "--json")
    assert (wrong.code, strict(wrong.out)["answers"][0]["status"]) == (1, "wrong")
    hint = run("check", "--answer", "dV=2,?", "--hint").out
    assert ("truth" in hint, "wrong sign" in hint) == (False, True)
    done = run("check", "--answers", "b.json")
    assert (done.code, done.err.count("\n")) == (3, 1)


def test_check_marks_a_class(run, tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "anna.toml").write_text('student = "Anna"\ny_hat = 0\ndV = [[2, 0]]\n')
    done = run("check", "--answers", "answers", "-o", "marks.csv")
    assert (done.code, done.err) == (0, "Wrote marks.csv.\n")
    assert "wrong sign" in done.out
    assert (tmp_path / "marks.csv").read_text("utf-8-sig").startswith("student,file,y_hat,dV,total,of,remarks\nAnna,")
    assert strict(run("check", "--answers", "answers", "--json").out)["worth"] == {"y_hat": "1", "dV": "1"}
    for arguments, message in (
        (("--y-hat", "0", "-o", "marks.csv"), "--output is for a class; it needs a folder as --answers."),
        (("--y-hat", "0", "--net", "answers"), "--net is for a class; it needs a folder as --answers."),
        (("--answers", "answers", "-o", "answers/anna.toml"), "it would overwrite an input"),
        (("--answers", "answers", "--net", ".", "--x", "1"), "--x is for one network; leave it out with a folder"),
        (("--answers", "answers", "--hint"), "A folder of answers is marked alone"),
    ):
        assert message in run("check", *arguments).err


def test_exercise_and_its_solution_fit_check(run, tmp_path):
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


def test_the_collector_of_garbage_is_left_as_it_was(run):
    before = gc.get_threshold(), gc.get_freeze_count()
    run("--help")
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_a_sheet_replaces_only_networks(run, tmp_path):
    for name in ("net.toml", "net.toml"):
        assert run("exercise", "--seed", 7, "--net", name).code == 0
    (tmp_path / "notes.txt").write_text("my notes")
    refused = run("exercise", "--net", "notes.txt")
    assert refused.code == 2
    assert "--net is 'notes.txt'; it exists, and is not a net file" in refused.err
    assert (tmp_path / "notes.txt").read_text() == "my notes"
    assert "it is written as TOML" in run("exercise", "--net", "net.json").err
    assert "--seed is -1; expected a whole number" in run("exercise", "--seed", -1).err
