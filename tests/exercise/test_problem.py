"""Networks as files: what is written is read back, and what is wrong is named."""

import json
import random
from fractions import Fraction

import pytest
from test_exact import random_network

from mlcore.errors import DataError
from mlcore.exercise.problem import Problem, change, default_problem, read_problem, to_toml

MIXED = """
loss = "logistic"
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


def test_exercise():
    sheet = default_problem()
    assert sheet.x == [[1, 2, 1]] and sheet.y == [[1]]
    assert [layer.W for layer in sheet.network.layers] == [[[1, 0, 1], [1, -1, 0]], [[0, 1]]]


def test_toml_and_json(tmp_path):
    toml, as_json = tmp_path / "net.toml", tmp_path / "net.json"
    toml.write_text(MIXED)
    sheet = read_problem(toml)
    assert sheet.x == [[Fraction(1, 2), Fraction(1, 3)], [Fraction(1, 100), 2]]
    assert [layer.name for layer in sheet.network.layers] == ["layer 1", "out"]
    assert list(sheet.network.arrays) == ["first weights", "b1", "A"]
    as_json.write_text(
        json.dumps({"loss": "logistic", "x": [[0.5, "1/3"], [0.01, 2]], "y": [[1], [0]], "layers": [
            {"activation": "tanh", "first weights": [[1, 2], [3, 4]], "b1": [0, -0.5]},
            {"name": "out", "activation": "identity", "A": [[1, 1]]}]})
    )  # fmt: skip
    assert to_toml(read_problem(as_json)) == to_toml(sheet)


def test_every_sheet_can_be_written_and_read_back(tmp_path):
    generator = random.Random(6)
    path = tmp_path / "net.toml"
    for _ in range(100):
        sheet = Problem(*random_network(generator))
        path.write_text(to_toml(sheet))
        again = read_problem(path)
        assert (again.x, again.y, again.network.layers) == (sheet.x, sheet.y, sheet.network.layers)


def test_change():
    sheet = change(default_problem(), x="1,2;3,4", y="0,1;1,0", w="1,1", v="1/2;-1")
    assert sheet.x == [[1, 2], [3, 4]]
    assert sheet.network.layers[1].W == [[Fraction(1, 2)], [-1]]
    assert default_problem().x == [[1, 2, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expected the keys x, y and layers"),
        ("x = ", "Invalid value"),
        ("x = [1]\ny = [1]\nlayers = 3", "layers is not a list of tables"),
        ("x = [1]\ny = [1]\nlayers = []", "The network has no layers"),
        ("x = [1]\ny = [1]\nz = 1\n[[layers]]\nW = [[1]]", "'z' is no key of a network"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [1]", "Layer 1 has the keys W; expected name, activation, one matrix"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1]]\nV = [[1]]", "Layer 1 has the keys W, V"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [['a']]", "W: 'a' is not a finite number"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[nan]]", "'nan' is not a finite number"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[true]]", "W holds True"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1], [1, 2]]", "W is not rows of numbers"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1, 2]]", "x has 1 value; expected 2"),
        ("x = [1]\ny = [1, 2]\n[[layers]]\nW = [[1]]", "y has 2 values; expected 1"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1]]\nb = [1, 2]", "b has 2 values; expected 1"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1]]\n[[layers]]\nW = [[1]]", "have the same name"),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1]]\nactivation = 'swish'", "activation of layer 'layer 1' is 'swish'"),
        ("x = [1]\ny = [1]\nloss = 'hinge'\n[[layers]]\nW = [[1]]", "loss is 'hinge'"),
        ("x = [1]\ny = [1]\nloss = 'logistic'\n[[layers]]\nW = [[1]]", "expected identity"),
        (
            "x = [1]\ny = [3]\nloss = 'logistic'\n[[layers]]\nW = [[1]]\nactivation = 'identity'",
            "another number than 0 and 1",
        ),
        ("x = [1]\ny = [1]\n[[layers]]\nW = [[1e999]]", "exceeds the range of float64"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_problem(path)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value), str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"x": NaN}', b"[1]"])
def test_bad_json(tmp_path, content):
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="net.json"):
        read_problem(path)
