"""``mlcore data``: what it prints, as tables and as JSON, and what it refuses."""

import gzip
import json

import pytest
from conftest import DATASETS, needs_datasets, needs_speed

ROWS = "text,label,split\n" + (
    "Good film,pos,train\ngood  FILM,neg,train\n,neg,train\nbad,neg,train\nbad,neg,train\nBad,neg,test\nnew,pos,test\n"
)
SHOWN = """\
reviews.csv
7 texts, 2 labels, 8 tokens, of which 4 different
 part       label   texts   share
─────────────────────────────────────────────────────────────
 training   neg         4   80.0%   ████████████████████████
            pos         1   20.0%   ██████
 test       neg         1   50.0%   ██████
            pos         1   50.0%   ██████

Tokens of a text
least 0, quartiles 1, 1 and 2, most 2, mean 1.1
 tokens   texts
───────────────────────────────────────────
      0       1   ██████
      1       4   ████████████████████████
 2 to 3       2   ████████████

Worth a look
 finding                                number
───────────────────────────────────────────────
 empty: no word and no mark                  1
 repeat an earlier text of their part        2
 same text with different labels             2
 test texts that are in training, too        1
 lines, or files, that are not UTF-8         0
Empty: no word and no mark:
  line 4
Repeat an earlier text of their part:
  line 3 = line 2
  line 6 = line 5
Same text with different labels:
  line 3 (neg), line 2 (pos)
Test texts that are in training, too:
  line 7 = line 5

Tokens that the vocabulary of the training texts knows
 of part   --min-count   words    known
───────────────────────────────────────────────────────
 test                1       3   50.00%   ████████████
                     2       3   50.00%   ████████████
                     5       0    0.00%
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(ROWS)
    return path


def lines(text):
    return [line.rstrip() for line in text.splitlines()]


def test_tables(run, table):
    done = run("data", "reviews.csv")
    assert (done.code, done.err) == (0, "")
    assert lines(done.out) == lines(SHOWN)


def test_tables_where_the_terminal_knows_ascii_only(start, table):
    process = start("data", "reviews.csv", env={"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(table.parent)})
    out, _ = process.communicate()
    assert process.returncode == 0
    assert out.isascii()
    assert "| neg   |     4 | 80.0% | ########################" in out


def test_json(run, table):
    done = run("data", table, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out, parse_constant=pytest.fail) == {
        "schema": "mlcore.data/1",
        "source": str(table),
        "dev_source": None,
        "texts": 7,
        "labels": {"neg": 5, "pos": 2},
        "parts": {"train": {"neg": 4, "pos": 1}, "test": {"neg": 1, "pos": 1}},
        "tokens": 8,
        "vocabulary": 4,
        "lengths": {
            "minimum": 0,
            "lower_quartile": 1,
            "median": 1,
            "upper_quartile": 2,
            "maximum": 2,
            "mean": 8 / 7,
            "histogram": [
                {"first": 0, "last": 0, "texts": 1},
                {"first": 1, "last": 1, "texts": 4},
                {"first": 2, "last": 3, "texts": 2},
            ],
        },
        "empty": {"count": 1, "places": ["line 4"]},
        "duplicates": {
            "count": 2,
            "examples": [{"place": "line 3", "earlier": "line 2"}, {"place": "line 6", "earlier": "line 5"}],
        },
        "conflicts": {"count": 2, "different": 1, "examples": [{"neg": "line 3", "pos": "line 2"}]},
        "shared": {"test": {"count": 1, "examples": [{"place": "line 7", "earlier": "line 5"}]}},
        "undecodable": {"count": 0, "places": []},
        "coverage": [
            {
                "part": "test",
                "tokens": 2,
                "known": [
                    {"min_count": 1, "words": 3, "share": 0.5},
                    {"min_count": 2, "words": 3, "share": 0.5},
                    {"min_count": 5, "words": 0, "share": 0.0},
                ],
            }
        ],
    }


def test_several_paths_columns_and_a_held_out_file(run, tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"body\tverdict\ngood\t1\nb\xe4d\t0\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b'{"body": "good", "verdict": 1}\n'))
    (tmp_path / "dev.csv").write_text("verdict,body\n1,good\n")
    columns = ("--text-column", "body", "--label-column", "verdict")
    found = json.loads(run("data", "a.tsv", "b.gz", "--dev", "dev.csv", *columns, "--json").out)
    assert (found["source"], found["dev_source"]) == ("a.tsv, b.gz", "dev.csv")
    assert found["parts"] == {"train": {"0": 1, "1": 2}, "dev": {"1": 1}}
    assert found["undecodable"] == {"count": 1, "places": ["a.tsv, line 3"]}
    assert found["duplicates"]["examples"] == [{"place": "b.gz, line 1", "earlier": "a.tsv, line 2"}]
    assert found["shared"]["dev"]["examples"] == [{"place": "dev.csv, line 2", "earlier": "a.tsv, line 2"}]
    shown = run("data", "a.tsv", "b.gz", "--dev", "dev.csv", *columns).out
    assert "a.tsv, b.gz; held out: dev.csv\n4 texts, 2 labels, 5 tokens, of which 3 different" in shown
    assert "Lines, or files, that are not UTF-8:\n  a.tsv, line 3\n" in shown
    assert "Held out texts that are in training, too:\n  dev.csv, line 2 = a.tsv, line 2\n" in shown


def test_standard_input(start, table):
    with table.open() as stream:
        process = start("data", "-", "--json", stdin=stream)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["source"] == "standard input"


def test_format_overrides_the_name(run, tmp_path):
    (tmp_path / "a.csv").write_text("text\tlabel\na, b\tpos\n")
    assert run("data", "a.csv").code == 3
    assert json.loads(run("data", "a.csv", "--format", "tsv", "--json").out)["tokens"] == 3


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


def test_more_than_a_few_places(run, tmp_path):
    (tmp_path / "a.txt").write_text("__label__x\n" * 8)
    assert "  line 5\n  and 3 more\n" in run("data", "a.txt").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.csv"], 5, "mlcore: missing.csv: No such file or directory; check the path.\n"),
        ([""], 2, "mlcore: Invalid value for 'PATH...': is empty; expected a file or a folder, or - for standard "
                  "input. See mlcore data --help.\n"),
        ([], 2, "mlcore: Missing argument 'PATH...'. See mlcore data --help.\n"),
        (["reviews.csv", "--format", "xml"], 2,
         "mlcore: --format is 'xml'; expected folder, csv, tsv, jsonl or fasttext.\n"),
        (["reviews.csv", "--text-column", "body"], 3,
         "mlcore: reviews.csv, line 1: expected a header with one column named body; found text, label, split; "
         "correct --text-column.\n"),
        (["reviews.csv", "--text-column", "text", "--label-column", "text"], 2,
         "mlcore: --label-column is 'text', as is the column of the text; expected another one.\n"),
        (["reviews.csv", "--dev", "reviews.csv"], 2,
         "mlcore: --dev is reviews.csv, which is among the texts to train on; expected other texts.\n"),
        (["-", "-"], 2, "mlcore: Standard input, -, is given twice; it can be read once.\n"),
        (["."], 3, "mlcore: . has no text in a folder named after its label; expected LABEL/*.txt, or train, dev and "
                   "test with LABEL/*.txt in each (as in aclImdb).\n"),
        (["bad.csv.gz"], 3, "mlcore: bad.csv.gz is damaged or incomplete (it ends too early); fetch it again.\n"),
        (["bad.jsonl"], 3, "mlcore: bad.jsonl, line 2, column 2: not a JSON object (Expecting property name enclosed "
                           "in double quotes).\n"),
    ],
)  # fmt: skip
def test_what_is_refused(run, table, arguments, code, message):
    (table.parent / "bad.csv.gz").write_bytes(gzip.compress(ROWS.encode())[:-4])
    (table.parent / "bad.jsonl").write_text('{"text": "a", "label": "b"}\n{')
    assert run("data", *arguments) == (code, "", message)


def test_help_begins_with_an_example(run):
    done = run("data", "--help")
    assert done.code == 0
    assert "Example: mlcore data reviews.csv" in done.out


@needs_datasets
@needs_speed  # else it shows its progress
@pytest.mark.parametrize("name", ["mr.csv", "sst2-train.tsv", "sst5-train.jsonl", "trec-train.fasttext.txt"])
def test_real_files(run, name):
    done = run("data", DATASETS / name)
    assert (done.code, done.err) == (0, "")
    assert max(len(line.rstrip()) for line in done.out.splitlines()[1:]) <= 80


def test_all_undecodable_lines_are_in_the_document_and_a_few_in_the_table(run, tmp_path):
    path = tmp_path / "latin.tsv"
    path.write_bytes(b"text\tlabel\n" + b"sch\xf6n\tpos\n" * 7)
    assert json.loads(run("data", path, "--json").out)["undecodable"]["places"] == [f"line {n}" for n in range(2, 9)]
    assert "  line 6\n  and 2 more\n" in run("data", path).out
