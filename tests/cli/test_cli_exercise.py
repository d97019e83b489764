"""forward, grad, descend and net: the exercise's numbers as literals, other networks, and what is refused."""

import json
import os
from pathlib import Path

import pytest
from conftest import needs_speed

GOLDEN = Path(__file__).parent / "golden"
NO_GRADIENT = {"W": [[0, 0, 0], [0, 0, 0]], "V": [[0, 0]], "x": [0, 0, 0]}


def strict(text):
    """Parse JSON by RFC 8259: one document, without NaN, Infinity and -0."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert text.count("\n") == 1
    assert "-0," not in text
    assert "-0]" not in text
    assert "-0.0" not in text
    return json.loads(text, parse_constant=refuse)


def document(run, *arguments):
    done = run(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    return strict(done.out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["forward", "--x", "1,2,1"],
        ["grad"],
        ["descend", "--relu-at-zero", "1", "--steps", "3"],
    ],
)
def test_golden(run, arguments):
    found, expected = strict(run(*arguments, "--json").out), json.loads((GOLDEN / f"{arguments[0]}.json").read_text())
    assert list(found) == list(expected)
    assert found == expected


@pytest.mark.parametrize(("convention", "slope"), [("0", 0), ("1/2", -1), ("1", -2), ("0.25", -0.5)])
def test_conventions(run, convention, slope):
    found = document(run, "grad", "--relu-at-zero", convention)
    assert found["gradients"] == NO_GRADIENT | {"V": [[slope, 0]]}
    assert found["layers"][1]["delta"] == [slope / 2]


def test_off_the_kink(run):
    found = document(run, "grad", "--x", "2,1,0", "--v", "1/2,3", "--y", "1", "--relu-at-zero", "1")
    assert found["layers"][0]["z"] == [2, 1]
    assert found["y_hat"] == [4]
    assert found["loss"] == 4.5
    assert found["gradients"] == {"V": [[6, 3]], "W": [[3, 1.5, 0], [18, 9, 0]], "x": [10.5, -9, 1.5]}
    assert found["kinks"] == []
    assert found["by_convention"]["0"] == found["by_convention"]["1"] == found["gradients"]


def test_negative_numbers_first_and_every_notation(run):
    found = document(run, "forward", "--x", "-1,2.5e-1,\u22121/4", "--y", "-3")
    assert (found["x"], found["y"]) == ([-1, 0.25, -0.25], [-3])
    strict(run("grad", "--x", "-0,0,0", "--w", "-1,-1,-1", "--v", "-1", "--y", "-0.0", "--json").out)


def test_check_of_the_exercise(run):
    found = document(run, "grad", "--check")["check"]
    assert found["agrees"]
    assert found["V"]["left"][0] == pytest.approx([0, 0], abs=1e-9)
    assert found["V"]["right"][0] == pytest.approx([-2, 0], abs=1e-9)
    assert found["V"]["one_sided_differ"] == [[True, False]]
    assert not any(any(row) for row in found["W"]["one_sided_differ"])
    for convention in ("1/2", "1"):
        assert run("grad", "--check", "--relu-at-zero", convention).code == 0, "there is no derivative to contradict"


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


@pytest.mark.parametrize("y", ["1e5", "1e6", "1e9", "-3e12"])
def test_check_of_big_numbers_is_not_confused_by_rounding(run, y):
    found = document(run, "grad", "--x", "3,2,1", "--v", "1,1", "--y", y, "--check")["check"]
    assert found["agrees"]
    assert not any(found[name]["one_sided_differ"][0][0] for name in ("W", "V"))


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["grad"], " output   1       0   0           0   on the kink"),
        (["grad"], "On the kink: z = 0 at output unit 1."),
        (["grad"], " dJ/dV   [0  0]      [−1  0]       [−2  0]"),
        (["grad"], "0 is in it: the point is stationary in Clarke's sense."),
        (["grad"], "Yet J decreases with slope −2 when V[1, 1] grows."),
        (["grad", "--y", "0"], "φ'(0) = 0, 1/2 and 1 give the same gradients."),
        (["grad", "--w", "0.1,-0.3", "--v", "1", "--x", "3,1"], "z = 0 at hidden unit 1, output unit 1."),
        (["grad", "--x", "1,2,1;1,2,1", "--y", "1;1"], "z = 0 at sample 1 output unit 1, sample 2 output unit 1."),
        (["forward", "--x", "1/2,0,0"], " 1/2"),
        (["descend"], "exactly on its kink"),
        (["descend", "--relu-at-zero", "1"], "At the end:"),
    ],
)
def test_tables(run, arguments, shown):
    done = run(*arguments)
    assert done.code == 0
    assert shown in done.out or shown in done.out.replace("\n", " ")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "kink" not in run("grad", "--v", "1,1").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forward", "--w", "1,2;3"], "--w is '1,2;3'; expected rows of one length"),
        (["forward", "--x", "1,two,3"], "--x is '1,two,3'; expected numbers such as 2, -0.5, 1e-3 or -1/2"),
        (["forward", "--x", "1,2"], "x has 1 sample of 2 values; expected 3 in each, since W is 2 x 3."),
        (["forward", "--x", "1e200,0,0", "--v", "1e200,0"], "beyond the range of float64"),
        (["grad", "--relu-at-zero", "2"], "--relu-at-zero is 2; expected a number from 0 to 1."),
        (["grad", "--relu-at-zero", "half"], "--relu-at-zero is 'half'; expected a number such as 2"),
        (["grad", "--code", "cobol"], "--code is 'cobol'; expected one of numpy, pytorch, jax."),
        (["descend", "--steps", "0"], "--steps is 0; expected a whole number from 1"),
        (["grad", "--chekc"], "No such option: --chekc (Possible options: --check, --code, --help). See mlcore grad"),
        (["gard"], "No such command 'gard'. Did you mean 'grad'? See mlcore --help."),
        (["net", "shwo"], "No such command 'shwo'. Did you mean 'show'? See mlcore net --help."),
        (["forward", "--x"], "Option '--x' requires an argument. See mlcore forward --help."),
        (["forward", "extra"], "Got unexpected extra argument(s) (extra). See mlcore forward --help."),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, message):
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mlcore: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_descend(run):
    found = document(run, "descend", "--relu-at-zero", 1)
    assert found["losses"][-1] < 1e-12
    assert found["standstill"] is None
    assert document(run, "descend")["losses"] == [0.5] * 21


def test_net_show_is_read_back(run, tmp_path):
    shown = run("net", "show", "--x", "1/2,2,1").out
    (tmp_path / "net.toml").write_text(shown)
    assert run("net", "show", "--net", "net.toml").out == shown
    assert run("grad", "--net", "net.toml", "--json").out == run("grad", "--x", "1/2,2,1", "--json").out


def test_a_network_may_come_from_a_pipe(run, start, tmp_path):
    """It can be read only once."""
    os.mkfifo(tmp_path / "net")
    process = start("forward", "--net", "net")
    (tmp_path / "net").write_text(run("net", "show").out)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, run("forward").out)


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
    found = json.loads(run("grad", "--net", "net.toml", "--check", "--json").out)
    assert found["check"]["agrees"]
    assert [sample["x"] for sample in found["samples"]] == [[1, 2], [0, 1]]
    assert found["loss"] == pytest.approx(sum(sample["loss"] for sample in found["samples"]) / 2)
    assert list(found["gradients"]) == ["A", "b", "B", "C", "c", "x"]
    assert "exact" not in found
    for arguments in (["forward"], ["grad", "--check"], ["derive"], ["graph"], ["descend"]):
        done = run(*arguments, "--net", "net.toml")
        assert (done.code, bool(done.out)) == (0, True), arguments


def test_several_samples_of_the_exercise(run):
    found, one = document(run, "grad", "--x", "1,2,1;1,2,1", "--y", "1;1"), document(run, "grad")
    assert found["gradients"]["V"] == one["gradients"]["V"]
    assert [(kink["sample"], kink["layer"], kink["unit"]) for kink in found["kinks"]] == [
        (1, "output", 1),
        (2, "output", 1),
    ]
    assert found["samples"][0]["exact"] == one["exact"]
    assert len(found["exact"]["subdifferential"]["vertices"]) == 2


@needs_speed
def test_first_run_says_that_it_compiles(start, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    out, err = start("forward", "--json").communicate(timeout=120)
    assert strict(out)["loss"] == 0.5
    assert err.startswith("First run: compiling kernels.")
    assert start("forward", "--json").communicate(timeout=120) == (out, "")
