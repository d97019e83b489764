"""Marks for a class: points, errors carried forward, own networks, files that cannot be read, and safe cells."""

import csv
from fractions import Fraction

import pytest

from mlcore.errors import DataError, InputError
from mlcore.exercise.classroom import mark_class, parse_points
from mlcore.exercise.problem import default_problem, to_toml


@pytest.fixture
def folder(tmp_path):
    files = {
        "anna.toml": 'student = "Anna"\ny_hat = 0\ndV = [[-2, 0]]\n',
        "ben.json": '{"Name": "=Ben", "y_hat": 1, "loss": 0, "dV": [[2, 0]]}',
        "cem.toml": 'dV = "x"\ndU = 1\nloss = 0.5\n',
        "dee.toml": "",
        "notes.txt": "not answers",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_points_of_a_class(folder):
    marks = mark_class(default_problem(), folder)
    assert (list(marks.worth), [one.total for one in marks.students]) == (["y_hat", "loss", "dV"], [2, 1, 1, 0])
    assert marks.students[1].remarks[1] == "J: follows from your ŷ"
    assert [remark[:20] for remark in marks.students[2].remarks] == ["dV is 'x'; expected ", "Unknown answer 'dU';"]
    assert marks.students[3].remarks == ["There are no answers; give at least one."]
    assert ("wrong sign (y − ŷ instead of ŷ − y)", 1) in marks.mistakes
    half = mark_class(default_problem(), folder, parse_points("loss=2, dV=3"), carry_forward=Fraction(1, 2))
    assert [one.total for one in half.students] == [3, 1, 2, 0]
    rows = list(csv.reader(marks.to_csv().splitlines()))
    assert rows[0] == ["student", "file", "y_hat", "loss", "dV", "total", "of", "remarks"]
    assert rows[2][:7] == ["'=Ben", "ben.json", "0", "1", "0", "1", "3"]
    assert marks.to_dict()["students"][0]["total"] == "2"


def test_a_network_for_each_student(tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net-1.toml").write_text(to_toml(default_problem()))
    for name, text in {
        "anna": "sheet = 1\ny_hat = 0\n",
        "ben": "y_hat = 0\n",
        "cem": "sheet = 99\ny_hat = 0\n",
    }.items():
        (tmp_path / f"{name}.toml").write_text(text)
    anna, ben, cem = mark_class(tmp_path / "nets", tmp_path).students
    assert (anna.total, ben.total, cem.total) == (1, 0, 0)
    assert "ben.toml has no network: name it as one of" in ben.remarks[0]
    assert "cem.toml: there is no network '99'" in cem.remarks[0]


def test_what_cannot_be_marked(folder):
    with pytest.raises(InputError, match="points is 'dQ'; expected names of answers: z:hidden, "):
        mark_class(default_problem(), folder, {"dQ": Fraction(1)})
    for points, message in (("2", "expected points by answer"), ("dV=-1", "numbers of at least 0")):
        with pytest.raises(InputError, match=message):
            parse_points(points)
    with pytest.raises(InputError, match="carry_forward is '2'; expected a number from 0 to 1"):
        mark_class(default_problem(), folder, carry_forward=2)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="contains no networks"):
        mark_class(folder / "empty", folder)
