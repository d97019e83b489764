"""Networks as files: what is written is read back, and what is wrong is named."""

import json
import random
import tomllib
from fractions import Fraction

import pytest
from test_exact import random_network

from mlcore.errors import DataError, InputError
from mlcore.exercise.functions import Loss
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, parse_number, parse_rows, read_problem, to_toml

MIXED = """
loss = "logistic"
l2 = 0.5
reduction = "sum"
frozen = ["b1"]
digits = 4
x = [[0.5, "1/3"], [1e-2, 2]]
y = [[1], [0]]
[[layers]]
activation = "tanh"
"first weights" = [[1, 2], [3, 4]]
b1 = [0, "-1/2"]
[[layers]]
name = "out"
activation = "identity"
A = [[1, 1]]
"""


def test_toml_and_json(tmp_path):
    toml, as_json = tmp_path / "net.toml", tmp_path / "net.json"
    toml.write_text(MIXED)
    as_json.write_text(json.dumps(tomllib.loads(MIXED)))
    problem = read_problem(toml)
    assert problem.x == [[Fraction(1, 2), Fraction(1, 3)], [Fraction(1, 100), 2]]
    assert to_toml(read_problem(as_json)) == to_toml(problem)


def test_arrays_may_be_typed_as_text(tmp_path):
    path = tmp_path / "net.toml"
    lists = 'x = [1, 2, 3]\ny = [1]\n[[layers]]\nW = [[1, -0.5], ["1/2", 1]]\nb = [1, 0]'
    text = 'x = "1 2 3"\ny = 1\n[[layers]]\nW = "1, -0.5; 1/2, 1"\nb = "1 0"'
    lists += "\n[[layers]]\nV = [[1, 2]]\nc = [0.5]\n[[layers]]\nA = [[2]]\nU = [[1]]\nd = [0]"
    text += "\n[[layers]]\nV = '1, 2'\nc = 0.5\n[[layers]]\nA = 2\nU = 1\nd = 0"
    found = [to_toml(read_problem(path)) for typed in (lists, text) if path.write_text(typed)]
    assert found[0] == found[1]


def test_every_problem_can_be_written_and_read_back(tmp_path):
    generator = random.Random(6)
    path = tmp_path / "net.toml"
    problems = [Problem(*random_network(generator)) for _ in range(50)]
    typed = [Layer("one", "W'", parse_rows("0.15 1e-7", "W"), "leaky-relu", "b", [Fraction(1, 3)], Fraction(1, 5))]
    loss = Loss("none", "sum", Fraction(1, 2), ("b",))
    problems.append(Problem(Network(typed, loss), parse_rows("1.50,2", "x"), [[1]], 9))
    steps = [Layer("one", "W", [[1]]), Layer("two", "W", [[1]], own="U", U=[[2, Fraction(1, 3)]])]
    problems.append(Problem(Network(steps), [[1, 2, 3]], [[1]]))
    problems.append(
        Problem(Network([Layer("one", "W", [[Fraction(1)], [Fraction(2)]])], layout="rows"), [[1, 2]], [[1]])
    )
    for problem in problems:
        path.write_text(to_toml(problem))
        again = read_problem(path)
        assert (again.x, again.y, again.digits, again.style) == (problem.x, problem.y, problem.digits, problem.style)
        for part in ("layers", "loss", "layout"):
            assert getattr(again.network, part) == getattr(problem.network, part)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,0,1;1,-1,0", [[1, 0, 1], [1, -1, 0]]),
        ("[[1, 0, 1], [1, -1, 0]]", [[1, 0, 1], [1, -1, 0]]),
        ("1 0 1; 1 -1 0;", [[1, 0, 1], [1, -1, 0]]),
        ("1 0 1\n1 -1 0\n", [[1, 0, 1], [1, -1, 0]]),
        ("np.array([[1, 0, 1],\n          [1, -1, 0]], dtype=float)", [[1, 0, 1], [1, -1, 0]]),
        ("torch.tensor([1., 2.])", [[1, 2]]),
        ("((1, 2), (3, 4))", [[1, 2], [3, 4]]),
        ("{{1, 2}, {3, 4}}", [[1, 2], [3, 4]]),
        ("[1 2; 3 4]", [[1, 2], [3, 4]]),
        ("[1, 2]\n[3, 4]", [[1, 2], [3, 4]]),
        ("1 / 2, \u2212 3, 4,", [[Fraction(1, 2), -3, 4]]),
        (" [2.5e-1 , -3/4] ", [[Fraction(1, 4), Fraction(-3, 4)]]),
        ("\u22121,\u20132", [[-1, -2]]),
        (r"\begin{pmatrix} 1 & -\frac{1}{2} \\ 3 & 4 \end{pmatrix}", [[1, Fraction(-1, 2)], [3, 4]]),
        (r"$\left[\begin{array}{cc} 0.5 & 2 \\ \end{array}\right]$", [[Fraction(1, 2), 2]]),
        (r"2 \cdot 10^{-2}, 1.5×10⁻¹ 3·10^2".replace(" 3", ", 3"), [[Fraction(1, 50), Fraction(3, 20), 300]]),
        ("[1; 2]'", [[1, 2]]),
        ("(1, 2)^T", [[1], [2]]),
        ("np.array([[1, 2], [3, 4]]).T", [[1, 3], [2, 4]]),
        ("≈ 0.5…", [[Fraction(1, 2)]]),
    ],
)
def test_rows_as_they_are_typed(text, rows):
    assert parse_rows(text, "x") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,two,3", "x is '1,two,3'; expected numbers such as 2, -0.5, 1e-3 or -1/2 with commas or blanks between"),
        ("1,nan,3", "but 'nan' is not a number."),
        ("inf", "'inf' is not a number"),
        ("1_0,2,3", "'1_0' is not a number"),
        ("2²,1", "'2^2' is not a number"),
        ("2*105", "'2*105' is not a number"),
        ("[1,2;3]ᵀ", "their lengths are 2, 1."),
        ("", "but a number is missing"),
        ("1/0,2", "'1/0' divides by zero"),
        ("1e999,2", "'1e999' exceeds the range of float64 (1.8e308)"),
        ("1" * 5000, "1...' exceeds the range of float64"),
        ("1,2;3", "expected rows of one length, but their lengths are 2, 1."),
    ],
)  # fmt: skip
def test_rows_that_are_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_rows(text, "x")
    assert message in str(caught.value)
    assert caught.value.parameter == "x"
    assert len(str(caught.value)) < 220


@pytest.mark.parametrize(
    ("text", "hint"), [("", ""), ("two", ""), ("1/0", ""), ("0,5", "for a decimal point write 0.5")]
)
def test_numbers_that_are_refused(text, hint):
    with pytest.raises(InputError, match=f"c is '{text}'; expected a number such as 2, -0.5.*{hint}"):
        parse_number(text, "c")


LAYER = "[[layers]]\nW = [[1]]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "Invalid value"),
        ("x = [1]\ny = [1]\nlayers = 3", "layers is not a list of tables"),
        (f"x = [1]\ny = [1]\nz = 1\n{LAYER}", "The key 'z' is unknown; expected layers, layout, loss"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [1]\nb = 0.5", "W is one row: write W = [[1]]."),
        ("x = [1/3]", 'fractions need quotes: "1/3"'),
        ("x = [1]\ny = [1]\nfrozen = 3\n" + LAYER, "frozen is not a list of names"),
        ("x = [1]\ny = [1]\ndigits = 99\n" + LAYER, "digits is 99; expected a whole number from 1 to 17"),
        ("x = [1]\n" + LAYER, "The keys x, y and layers are needed"),
        (f"x = [1]\ny = [1]\n{LAYER}\nV = [[1]]\nU = [[1]]", "Layer 1 has the keys W, V, U"),
        (f"x = [1]\ny = [1]\n{LAYER}\nU = [[1]]", "expected 2 in each, since W is 1 x 1 and layers have inputs of"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [['a']]", "W is 'a'; expected numbers such as"),
        ("x = [1e999]\ny = [1]\n" + LAYER, "the range of float64"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[true]]", "W is 'True'; expected numbers"),
        (f"x = [1]\ny = [1]\nloss = 'hinge'\n{LAYER}", "'hinge'"),
        (f"x = [1]\ny = [3]\nloss = 'logistic'\n{LAYER}\nactivation = 'identity'", "other than 0 and 1"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_problem(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"x": NaN}', b"[1]", b"[]"])
def test_bad_json(tmp_path, content):
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="net.json"):
        read_problem(path)
