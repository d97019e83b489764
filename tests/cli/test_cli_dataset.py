"""``mlcore data``: what it prints, as tables and as JSON, and what it refuses."""

import gzip
import json

import pytest

ROWS = "text,label,split\n" + (
    "Good film,pos,train\ngood  FILM,neg,train\n,neg,train\nbad,neg,train\nbad,neg,train\nBad,neg,test\nnew,pos,test\n"
)
SHOWN = """\
 same text with different labels             2
 test texts that are also in training        1
 lines or files that are not UTF-8           0
 rows that cannot be used                    0
Empty (no words or punctuation):
  line 4
Duplicates within the same split:
  line 3 = line 2
  line 6 = line 5
Same text with different labels:
  line 3 (neg), line 2 (pos)
Test texts that are also in training:
  line 7 = line 5
Words of the test texts that training knows: 50.00%
"""  # the README shows what comes before


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(ROWS)
    return path


def test_findings(run, table):
    done = run("data", "reviews.csv")
    assert (done.code, done.err) == (0, "")
    assert "\n".join(map(str.rstrip, done.out.splitlines())).endswith(SHOWN.rstrip())


def test_json(run, table):
    document = json.loads(run("data", table, "--json").out, parse_constant=pytest.fail)
    assert list(document) == [
        "schema", "source", "texts", "labels", "parts", "sizes", "tokens", "vocabulary", "lengths", "empty",
        "duplicates", "conflicts", "shared", "bad_rows", "undecodable", "notes", "known",
    ]  # fmt: skip
    assert (document["schema"], document["source"]) == ("mlcore.data/1", str(table))
    assert document["conflicts"] == {"count": 2, "different": 1, "examples": [{"neg": "line 3", "pos": "line 2"}]}


def test_several_paths_columns_and_held_out_texts(run, tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"body\tverdict\ngood\t1\n" + b"b\xe4d\t0\n" * 7)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b'{"body": "good", "verdict": 1, "split": "dev"}\n'))
    columns = ("--text-column", "body", "--label-column", "verdict")
    found = json.loads(run("data", "a.tsv", "b.gz", *columns, "--json").out)
    assert found["source"] == "a.tsv, b.gz"
    assert found["parts"] == {"train": {"0": 7, "1": 1}, "dev": {"1": 1}}
    assert found["undecodable"] == {"count": 7, "places": [f"a.tsv, line {n}" for n in range(3, 10)]}
    assert found["duplicates"]["count"] == 6
    assert found["shared"]["dev"]["examples"] == [{"place": "b.gz, line 1", "earlier": "a.tsv, line 2"}]
    shown = run("data", "a.tsv", "b.gz", *columns).out
    assert "a.tsv, b.gz\n9 texts, 2 labels, 16 tokens (3 distinct)" in shown
    assert "  a.tsv, line 7\n  and 2 more\n" in shown
    assert "Held-out texts that are also in training:\n  b.gz, line 1 = a.tsv, line 2\n" in shown


def test_many_long_and_hostile_labels_stay_within_80_columns(run, tmp_path):
    (tmp_path / "a.tsv").write_text(
        "label\ttext\tsplit\n"
        + "".join(f"label number {i:04} [bold]x[/bold]\ttext {i}\t{'train' if i % 3 else 'dev'}\n" for i in range(4000))
    )
    out = run("data", "a.tsv").out
    assert max(map(len, out.splitlines())) <= 80
    assert "label number 0001..." in out
    assert "(2,646 more)" in out
    assert "\n  and " not in out
