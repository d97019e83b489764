"""``mlcore data`` on files that are no plain text, or too long for ``sessions/data.txt``."""

import gzip
import json


def test_several_paths_columns_and_held_out_texts(run, tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"body\tverdict\ngood\t1\n" + b"b\xe4d\t0\n" * 7)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b'{"body": "good", "verdict": 1, "split": "dev"}\n'))
    columns = ("--text-column", "body", "--label-column", "verdict")
    found = json.loads(run("data", "a.tsv", "b.gz", *columns, "--json").out)
    assert found["undecodable"] == {"count": 7, "places": [f"a.tsv, line {n}" for n in range(3, 10)]}
    shown = run("data", "a.tsv", "b.gz", *columns).out
    assert "a.tsv, b.gz\n9 texts, 2 labels, 16 tokens (3 distinct)" in shown
    assert "  a.tsv, line 7\n  and 2 more\n" in shown
    assert "Held-out texts that are also in training:\n  b.gz, row 1 = a.tsv, line 2\n" in shown


def test_many_labels(run, tmp_path):
    rows = (f"label number {i:04}\ttext {i}\t{'train' if i % 3 else 'dev'}\n" for i in range(4000))
    (tmp_path / "a.tsv").write_text("label\ttext\tsplit\n" + "".join(rows))
    out = run("data", "a.tsv").out
    assert (max(map(len, out.splitlines())) <= 80, "(2,646 more)" in out, "\n  and " in out) == (True, True, False)
