"""``mlcore predict``: from a table to a table, and the other ways in and out."""

import csv
import json

import numpy as np
import pytest

ROWS = [
    {"id": "1", "text": "a good, warm film", "note": "é 🎬"},
    {"id": "2", "text": 'a bad\n"dull"\r\nplot', "note": "=1+1"},
    {"id": "-3.5", "text": "", "note": "@me"},
    {"id": "4", "text": "=good", "note": "a\rb"},
]


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def test_standard_input_may_be_a_table(run, model):
    out = run("predict", model, "-", stdin=b"id,text\n1,good\n2,bad\n").out
    assert [line[:3] for line in out.splitlines()] == ["pos", "neg"]
    out = run("predict", model, "-", stdin=b'{"text": "good \\ud800"}\n').out  # half of a surrogate pair
    assert (out[:3], out.rstrip().rpartition("\t")[2]) == ("pos", "not UTF-8")


def test_the_columns_of_the_training_are_remembered(run, tmp_path):
    (tmp_path / "train.csv").write_text("Meinung;Urteil;text\n" + "gut;ja;x\nschlecht;nein;x\n" * 20)
    (tmp_path / "new.csv").write_text("text;Meinung;Note\nx;gut;1,5\nx;schlecht;4\n", "utf-8-sig")
    (tmp_path / "other.csv").write_text("text\ngut\n")
    columns = ("--text-column", "Meinung", "--label-column", "Urteil", "--dim", 2, "--learning-rate", 0.5)
    assert run("train-sentiment", "train.csv", *columns, "-m", "m").code == 0
    assert run("predict", "m", "new.csv", "-o", "out.csv").code == 0
    head, *rows = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert head == "\ufefftext;Meinung;Note;predicted;probability;known", "as Excel wrote it"
    assert [row.split(";")[4][1] for row in rows] == [",", ","], "a decimal comma, as its numbers have"
    (tmp_path / "commas.csv").write_text('Meinung,ids\ngut,"1,2"\n')
    assert run("predict", "m", "commas.csv", "-o", "out2.csv").code == 0
    assert float(rows_of(tmp_path / "out2.csv")[0]["probability"]) > 0.5, "no decimal comma between commas"
    assert run("predict", "m", "new.csv", "-o", "out.tsv").code == 0
    assert [row["predicted"] for row in rows_of(tmp_path / "out.tsv")] == ["ja", "nein"]
    assert "\ntrain.csv: accuracy 100.00%" in run("evaluate", "m", "train.csv").out
    assert run("predict", "m", "other.csv", "-o", "out.csv", "--encoding", "utf-8").code == 0
    assert (tmp_path / "out.csv").read_bytes().startswith(b"text"), "without a mark, as it was"


def test_guessed_columns_are_remembered_and_json_has_what_was_said(run, tmp_path):
    (tmp_path / "train.csv").write_text("Kommentar;Stimmung\n;\n" + "gut;ja\nschlecht;nein\n" * 20)
    (tmp_path / "new.csv").write_text("text,Kommentar,Stimmung\nx,gut,ja\n,,\nx,schlecht,nein\n")
    small, empty = ("--dim", 2, "--learning-rate", 0.5), "rows without any value: 1 skipped."
    guess = "train.csv: the texts are in the column 'Kommentar' and the labels are in the column 'Stimmung'."
    done = run("train-sentiment", "train.csv", *small, "-m", "m", "--json")
    assert json.loads(done.out)["notes"][:2] == [guess, f"train.csv: {empty}"]
    assert done.err.count(guess) == 1
    done = json.loads(run("predict", "m", "new.csv", "-o", "out.csv", "--json").out)
    assert (done["notes"], [row["predicted"] for row in rows_of(tmp_path / "out.csv")]) == (
        [f"new.csv: {empty}"],
        ["ja", "nein"],
    )
    done = json.loads(run("evaluate", "m", "new.csv", "--json").out)
    assert (done["notes"], done["accuracy"]) == ([f"new.csv: {empty}"], 1)
    done = json.loads(run("cross-validate", "--data", "train.csv", *small, "--folds", 2, "--epochs", 1, "--json").out)
    assert done["notes"] == [guess, f"train.csv: {empty}"]


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
