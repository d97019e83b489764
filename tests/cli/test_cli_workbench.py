"""The workbench on the command line: derive, check, exercise, descend, graph, verify, net and --code."""

import gc
import json
import os
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import needs_speed
from mlcore.cli.commands import COMMANDS

HELP_STARTS_WITH = {
    "derive": "mlcore derive --format latex",
    "check": 'mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"',
    "exercise": "mlcore exercise --seed 7 --kink output --solution",
    "descend": "mlcore descend --relu-at-zero 1",
    "graph": "mlcore graph --format svg",
    "verify": "mlcore verify",
    "forward": "mlcore forward --x 1,2,1",
    "grad": "mlcore grad --relu-at-zero 1 --check",
}


@pytest.mark.parametrize("command", HELP_STARTS_WITH)
def test_help_starts_with_an_example(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert f"Example: {HELP_STARTS_WITH[command]}" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    done = run(command, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[:3] == ["Usage:", "mlcore", command]
    assert command in run("--help").out.split()


@pytest.mark.parametrize(("words", "expected"), [("gra", ["grad", "graph"]), ("forward --j", ["--json"])])
def test_the_shell_completes_commands_and_options(start, words, expected):
    variables = {"_MLCORE_COMPLETE": "complete_bash", "COMP_WORDS": f"mlcore {words}"}
    completion = start(env=os.environ | variables | {"COMP_CWORD": str(len(words.split()))})
    assert completion.communicate()[0].split() == expected


def test_derive(run):
    done = run("derive")
    assert done.code == 0 and done.err == ""
    assert "  ∂J/∂V = 0 [2  0] = [0  0]" in done.out.splitlines()
    assert r"\begin{align*}" in run("derive", "--format", "latex").out
    assert run("derive", "--format", "markdown", "--relu-at-zero", 1).out.count("$$") % 2 == 0


def test_check_passes_what_the_printed_sheet_says(run):
    done = run("check", "--y-hat", "0", "--dV", "-2,0", "--dW", "0,0,0;0,0,0")
    assert done.code == 0
    assert "right by convention" in done.out and "3 of 3 right." in done.out


def test_check_names_mistakes(run):
    done = run("check", "--dV", "0;0", "--json")
    assert done.code == 1
    (verdict,) = json.loads(done.out)["answers"]
    assert verdict["status"] == "wrong"
    assert any("transposed" in mistake for mistake in verdict["mistakes"])
    assert "wrong" in run("check", "--y-hat", "3").out


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
        (["check"], "No answer is given"),
        (["check", "--answer", "dV"], "expected NAME=ROWS"),
        (["check", "--answer", "dQ=1"], "dQ"),
        (["check", "--dV", "one"], "'one' is not a finite number"),
        (["derive", "--format", "word"], "--format is 'word'; expected one of text, latex, markdown."),
        (["graph", "--format", "png"], "--format is 'png'; expected one of text, mermaid, dot, svg."),
        (["exercise", "--kink", "all"], "kink is 'all'; expected one of none, hidden, output, both."),
        (["exercise", "--hidden", "0"], "hidden is 0; expected 1 to 8."),
        (["descend", "--steps", "0"], "steps is 0"),
        (["grad", "--code", "cobol"], "cobol"),
        (["net", "shwo"], "No such command 'shwo'. Did you mean 'show'? See mlcore net --help."),
    ],
)
def test_wrong_usage(run, arguments, message):
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1 and message in done.err


def test_exercise_and_its_solution_fit_check(run, tmp_path):
    done = run("exercise", "--seed", 7, "--kink", "output", "--net", "net.toml")
    assert done.code == 0 and "Asked for" in done.out and "Forward" not in done.out
    solved = run("exercise", "--seed", 7, "--kink", "output", "--solution").out
    assert solved.startswith(done.out.rstrip("\n")) and "The numbers" in solved
    truth = json.loads(run("grad", "--net", "net.toml", "--json").out)
    rows = ";".join(",".join(map(str, row)) for row in truth["gradients"]["V"])
    assert run("check", "--net", "net.toml", "--dV", rows).code == 0
    for form in ("latex", "markdown"):
        assert "varphi" in run("exercise", "--format", form).out


def test_descend(run):
    done = run("descend", "--relu-at-zero", 1)
    assert done.code == 0 and "At the end:" in done.out
    found = json.loads(run("descend", "--relu-at-zero", 1, "--json").out)
    assert found["losses"][-1] < 1e-12 and found["standstill"] is None
    stuck = run("descend")
    assert "exactly on its kink" in stuck.out
    assert max(map(len, stuck.out.splitlines())) <= 80
    assert run("descend", "--relu-at-zero", 1, "--learning-rate", 1e9, "--x", "9,9,9", "--y", "-9").code in (0, 1)


def test_graph(run):
    assert "on the kink" in run("graph").out
    assert max(map(len, run("graph").out.splitlines())) <= 80
    ElementTree.fromstring(run("graph", "--format", "svg").out)
    assert run("graph", "--format", "mermaid").out.startswith("---\ntitle:")
    assert run("graph", "--format", "dot").out.startswith("digraph")


@needs_speed
def test_verify(run):
    done = run("verify", "--json")
    assert done.code == 0
    assert json.loads(done.out)["ok"]
    assert "All kernels agree with their twins." in run("verify").out


def test_net_show_is_read_back(run, tmp_path):
    shown = run("net", "show", "--x", "1/2,2,1").out
    (tmp_path / "net.toml").write_text(shown)
    assert run("net", "show", "--net", "net.toml").out == shown
    assert run("grad", "--net", "net.toml", "--json").out == run("grad", "--x", "1/2,2,1", "--json").out


def test_a_network_may_come_from_a_pipe(run, start, tmp_path):
    """It can be read once only."""
    os.mkfifo(tmp_path / "net")
    process = start("forward", "--net", "net")
    (tmp_path / "net").write_text(run("net", "show").out)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, run("forward").out)


@pytest.mark.parametrize("language", ["numpy", "pytorch", "jax"])
def test_code(run, language):
    done = run("grad", "--code", language)
    assert done.code == 0
    compile(done.out, "program", "exec")


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
    found = json.loads(run("grad", "--net", "net.toml", "--json", "--check").out)
    assert found["check"]["agrees"]
    assert [sample["x"] for sample in found["samples"]] == [[1, 2], [0, 1]]
    assert found["loss"] == pytest.approx(sum(sample["loss"] for sample in found["samples"]) / 2)
    assert list(found["gradients"]) == ["A", "b", "B", "C", "c", "x"]
    assert "exact" not in found
    for arguments in (["forward"], ["grad", "--check"], ["derive"], ["graph"], ["descend"]):
        done = run(*arguments, "--net", "net.toml")
        assert done.code == 0, arguments
        assert done.out


def test_several_samples_of_the_exercise(run):
    found = json.loads(run("grad", "--x", "1,2,1;1,2,1", "--y", "1;1", "--json").out)
    one = json.loads(run("grad", "--json").out)
    assert found["gradients"]["V"] == one["gradients"]["V"]
    assert found["kinks"] == [
        {"sample": 1, "layer": "output", "unit": 1, "z": 0},
        {"sample": 2, "layer": "output", "unit": 1, "z": 0},
    ]
    assert found["samples"][0]["exact"] == one["exact"]
    assert len(found["exact"]["subdifferential"]["vertices"]) == 2
    assert "Sample 2" in run("grad", "--x", "1,2,1;1,2,1", "--y", "1;1").out


def test_tables_show_fractions_and_decide_kinks_exactly(run):
    done = run("grad", "--w", "0.1,-0.3", "--v", "1", "--x", "3,1")
    assert "On the kink: z = 0 at hidden unit 1, output unit 1." in done.out.replace("\n", " ")
    assert " 1/2" in run("forward", "--x", "1/2,0,0").out


@pytest.mark.parametrize("command", [["forward"], ["grad", "--check"], ["derive"], ["check", "--y-hat", "0"], ["graph"],
                                     ["exercise", "--solution"], ["descend"], ["descend", "--relu-at-zero", "1"]])  # fmt: skip
def test_every_command_fits_80_columns_and_ascii(run, start, monkeypatch, command):
    done = run(*command)
    assert max(map(len, done.out.splitlines())) <= 80
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    out, _ = start(*command).communicate(timeout=120)
    assert out.isascii() and "?" not in out


def test_the_collector_of_garbage_is_left_as_it_was(run):
    before = gc.get_threshold(), gc.get_freeze_count()
    run("--help")
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
