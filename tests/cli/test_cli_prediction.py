"""``mlcore predict``: from a table to a table, and the other ways in and out."""

import numpy as np
import pytest

ROWS = [
    {"id": "1", "text": "a good, warm film", "note": "é 🎬"},
    {"id": "2", "text": 'a bad\n"dull"\r\nplot', "note": "=1+1"},
    {"id": "-3.5", "text": "", "note": "@me"},
    {"id": "4", "text": "=good", "note": "a\rb"},
]


def test_standard_input_may_be_a_table(run, model):
    out = run("predict", model, "-", stdin=b"id,text\n1,good\n2,bad\n").out
    assert [line[:3] for line in out.splitlines()] == ["pos", "neg"]
    out = run("predict", model, "-", stdin=b'{"text": "good \\ud800"}\n').out  # half of a surrogate pair
    assert (out[:3], out.rstrip().rpartition("\t")[2]) == ("pos", "not UTF-8")


def test_the_byte_order_mark_and_the_decimal_commas_of_excel_stay(run, model, tmp_path):
    for mark in ("\ufeff", ""):
        (tmp_path / "new.csv").write_text(f"{mark}text;Note\ngood;1,5\n", "utf-8")
        assert run("predict", model, "new.csv", "-o", "out.csv").code == 0
        head, row = (tmp_path / "out.csv").read_text("utf-8").splitlines()
        assert (head, row[:15]) == (f"{mark}text;Note;predicted;probability;known", "good;1,5;pos;0,")


def test_a_key_that_comes_too_late_for_a_column(run, model, tmp_path):
    more = '{"text": "good"}\n' * 50_000 + '{"text": "good", "late": 1}\n'
    (tmp_path / "long.jsonl").write_text(more)
    done = run("predict", model, "long.jsonl", "-o", "long.csv")
    assert (done.code, (tmp_path / "long.csv").exists()) == (3, False)
    assert "line 50001: the key 'late' is not in the first 4,096 rows; write JSON Lines (.jsonl) instead." in done.err


@pytest.mark.parametrize(("read", "written"), [
    ("in.parquet", "out.parquet"), ("in.json", "out.jsonl"), ("in.csv", "out.csv"), ("in.csv", "out.parquet"),
    ("in.parquet", "out.csv"),
])  # fmt: skip
def test_round_trip_with_pandas(run, model, tmp_path, read, written):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = ROWS[:3] if read == "in.csv" else ROWS  # pandas leaves a carriage return without quotes
    frame = pandas.DataFrame(rows * 3000)
    frame["n"] = [None if i % 5 == 0 else i / 2 for i in range(len(frame))]
    save = {".parquet": frame.to_parquet, ".json": frame.to_json, ".csv": lambda path: frame.to_csv(path, index=False)}
    save[(tmp_path / read).suffix](tmp_path / read)
    assert run("predict", model, read, "-o", written).code == 0
    if written == "out.parquet":
        found = pandas.read_parquet(tmp_path / written)
    elif written == "out.jsonl":
        found = pandas.read_json(tmp_path / written, lines=True, dtype={"id": str})
    else:
        found = pandas.read_csv(tmp_path / written, keep_default_na=False, dtype={"id": str})
    assert found["id"].tolist() == frame["id"].tolist()
    safe, end = r"'\1" if written == "out.csv" else r"\1", "\n" if read == "in.csv" else "\r\n"
    for name in ("text", "note"):
        expected = frame[name].str.replace("^([=@])", safe, regex=True).str.replace("\r\n", end)
        assert found[name].tolist() == expected.tolist()
    numbers = [float(n) if n != "" else float("nan") for n in found["n"]]
    np.testing.assert_array_equal(numbers, frame["n"])
    assert found["predicted"][:2].tolist() == ["pos", "neg"]
