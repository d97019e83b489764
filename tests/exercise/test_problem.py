"""Networks as files, which are read back as they were written, and numbers as people type them."""

import ast
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import compare_with_golden
from hypothesis import given
from hypothesis import strategies as st
from test_network_page import random_problem

from mlcore.errors import DataError, InputError
from mlcore.exercise.answers import Entry, parse_answer
from mlcore.exercise.functions import Loss
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, parse_rows, read_problem, to_toml

TYPED = Path(__file__).with_name("typed.txt")  # rows as they are typed => as they are read, or what is said of them


def test_every_problem_can_be_written_and_read_back(tmp_path):
    typed = [Layer("one", "W'", parse_rows("0.15 1e-7", "W"), "leaky-relu", "b", [Fraction(1, 3)], Fraction(1, 5))]
    named = [("w₁", "W'[1,1]"), ("w₂", "W'[1,2]"), ("b_1", "b[1]")]
    typed = Network(typed, Loss("none", "sum"))
    typed = Problem(typed, parse_rows("1.50,2", "x"), [[1]], relu_at_zero=Fraction(1, 3), entries=named)
    for problem in [typed, *map(random_problem, range(100))]:
        path, text = tmp_path / "net.toml", to_toml(problem)
        path.write_text(text, "utf-8")
        again = read_problem(path)
        assert to_toml(again) == text
        for part in ("x", "y", "relu_at_zero", "style"):
            assert getattr(again, part) == getattr(problem, part)
        assert list(again.entries) == list(problem.entries)
        assert again.network.loss == problem.network.loss
        np.testing.assert_equal(again.network.arrays, problem.network.arrays)


def read(text):
    try:
        return "; ".join(" ".join(map(str, map(Fraction, row))) for row in parse_rows(text, "x"))
    except InputError as error:
        return str(error)


def test_rows_as_they_are_typed():
    lines = [line.split(" => ")[0] for line in TYPED.read_text().splitlines()]
    found = [f"{typed} => {read(ast.literal_eval(typed))}" for typed in lines]
    compare_with_golden(TYPED, "".join(f"{line}\n" for line in found))
    assert len(read("1" * 5000)) < 220


PARTS = [*"1-?_[](){};,.'|/e·ᵀ−½ \n\t", "0,5", "\\frac", "{1}{2}", "\\\\", "10^", "⁻³", "tensor(", ", dtype=float", "…"]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_answers_are_read_or_refused(parts):
    with suppress(InputError):
        entries = parse_answer("dV", "".join(parts)).entries
        assert {type(entry) for entry in entries.flat} <= {Entry, type(None)}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"[1]", b"[]"])
def test_files_that_are_no_networks(tmp_path, content):
    for name in ("net.json", "net.toml"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_problem(tmp_path / name)
