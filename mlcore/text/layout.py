"""What a user can say about the layout of labelled texts; without NumPy, so that the command line shows it quickly."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlcore.errors import InputError

FORMATS = ("folder", "csv", "tsv", "json", "jsonl", "fasttext", "parquet", "arrow")


def option(default: Any, help: str, **metadata: Any) -> Any:
    """Declare an option: ``metavar`` stands for its value, and ``automatic`` for what None means."""
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True)
class Layout:
    """What is known about the files; the rest is recognised.

    Raises: InputError if a value is not possible, or two contradict each other.
    """

    # fmt: off
    format: str | None = option(None, ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}.", metavar="FORMAT",
                                automatic="by content")
    text_column: list[str] | None = option(None, "Column or key of the texts; repeat it to join several.",
                                           metavar="NAME", automatic="text")
    label_column: str | None = option(None, "Column or key of the labels.", metavar="NAME", automatic="label")
    split_column: str | None = option(None, "Column or key of the splits: train, dev or test.", metavar="NAME",
                                      automatic="split")
    no_split: bool = option(False, "Use all texts: ignore a column named split.")
    separator: str | None = option(None, "What separates the columns: ',' ';' '|' or tab.", metavar="CHARACTER",
                                   automatic="by content")
    label_separator: str | None = option(None, "What separates the labels of a text that has several, such as ','.",
                                         metavar="TEXT", automatic="one label")
    no_header: bool = option(False, "The columns have numbers, 1, 2, ..., not names in the first line.")
    encoding: str | None = option(None, "Such as cp1252, gb18030 or utf-16.", metavar="NAME", automatic="utf-8")
    skip_bad_rows: bool = option(False, "Skip rows that cannot be used, and say which.")
    # fmt: on
    remembered: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)  # columns to prefer, by their role
    lenient: bool = dataclasses.field(default=False, repr=False)  # note what is not UTF-8; do not refuse it

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            expected = f"expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise InputError(expected, parameter="format", value=self.format)
        given = self.given()
        for role, names in given.items():
            for name in names:
                if not name.strip():
                    raise InputError("expected the name of a column", parameter=f"{role}_column", value=name)
        if self.label_column in given.get("text", ()):
            raise InputError("this is the column of the texts", parameter="label_column", value=self.label_column)
        if self.no_split and self.split_column is not None:
            expected = "expected none where the splits are ignored; leave out one of the two"
            raise InputError(expected, parameter="split_column", value=self.split_column)
        separator = {"tab": "\t", r"\t": "\t"}.get(self.separator or "", self.separator)
        if separator is not None and (len(separator) != 1 or separator in '\r\n"'):
            raise InputError("expected one character, or tab", parameter="separator", value=self.separator)
        object.__setattr__(self, "separator", separator)
        if self.label_separator == "":
            raise InputError("expected a text such as ','", parameter="label_separator", value="")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise InputError("Python knows no such encoding", parameter="encoding", value=self.encoding) from error

    def given(self) -> dict[str, list[str]]:
        """The names of columns that are given, by their role."""
        given = ((role, getattr(self, f"{role}_column", None)) for role in ("text", "label", "split", "weight"))
        lists = {role: [names] if isinstance(names, str) else names for role, names in given}
        return {role: names for role, names in lists.items() if names}


@dataclass(frozen=True)
class TrainingLayout(Layout):
    """A layout of texts to train on, which may have weights."""

    weight_column: str | None = option(None, "Column or key of the weights of the texts in the loss.", metavar="NAME",
                                       automatic="all the same")  # fmt: skip


FIELDS = {field.name: field for field in dataclasses.fields(Layout)}
