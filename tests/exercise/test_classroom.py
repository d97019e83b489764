"""Marks for a class: points, errors carried forward, own networks, files that cannot be read, and safe cells."""

import csv
from fractions import Fraction

import pytest

from mlcore.errors import DataError, InputError
from mlcore.exercise.classroom import mark_class, parse_points
from mlcore.exercise.generator import make_problem
from mlcore.exercise.marking import Marker
from mlcore.exercise.problem import default_problem, to_toml


@pytest.fixture
def folder(tmp_path):
    files = {
        "anna.toml": 'student = "Anna"\ny_hat = 0\ndV = [[-2, 0]]\n',
        "ben.json": '{"Name": "=Ben", "y_hat": 1, "loss": 0, "dV": [[2, 0]]}',
        "cem.toml": 'dV = "x"\n',
        "notes.txt": "not answers",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_points_of_a_class(folder):
    marks = mark_class(default_problem(), folder)
    assert (list(marks.worth), [one.total for one in marks.students]) == (["y_hat", "loss", "dV"], [2, 1, 0])
    assert marks.students[1].remarks[1] == "J: follows from your ŷ"
    assert "cem.toml: dV is 'x'" in marks.students[2].remarks[0]
    assert ("wrong sign (y − ŷ instead of ŷ − y)", 1) in marks.mistakes
    half = mark_class(default_problem(), folder, parse_points("loss=2, dV=3"), carry_forward=Fraction(1, 2))
    assert [one.total for one in half.students] == [3, 1, 0]
    rows = list(csv.reader(marks.to_csv().splitlines()))
    assert rows[0] == ["student", "file", "y_hat", "loss", "dV", "total", "of", "remarks"]
    assert rows[2][:7] == ["'=Ben", "ben.json", "0", "1", "0", "1", "3"]
    assert marks.to_dict()["students"][0]["total"] == "2"


def test_thirty_sheets_with_a_network_each(tmp_path):
    nets, answers = tmp_path / "nets", tmp_path / "answers"
    for path in (nets, answers):
        path.mkdir()
    for seed in range(1, 31):
        problem = make_problem(seed)
        (nets / f"net-{seed:02}.toml").write_text(to_toml(problem))
        truth = Marker(problem).names["dW"] * (-1 if seed % 3 == 0 else 1)
        rows = [[str(value) for value in row] for row in truth.tolist()]
        (answers / f"student {seed}.toml").write_text(f"sheet = {seed}\ndW = {rows}\n".replace("'", '"'))
    marks = mark_class(nets, answers)
    assert sum(one.total for one in marks.students) == 20
    assert marks.mistakes[0] == ("wrong sign (y − ŷ instead of ŷ − y)", 10)
    (answers / "lost.toml").write_text("dW = [[1]]\n")
    (answers / "astray.toml").write_text("sheet = 99\ndW = [[1]]\n")
    astray, lost, *_ = mark_class(nets, answers).students
    assert "astray.toml: there is no network '99'" in astray.remarks[0]
    assert "lost.toml has no network: name it as one of" in lost.remarks[0]


def test_what_cannot_be_marked(folder):
    with pytest.raises(InputError, match="points is 'dQ'; expected names of answers: z:hidden, "):
        mark_class(default_problem(), folder, {"dQ": Fraction(1)})
    with pytest.raises(InputError, match="expected points by answer"):
        parse_points("2")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="contains no networks"):
        mark_class(folder / "empty", folder)
