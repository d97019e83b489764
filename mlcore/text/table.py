"""Tables of texts: their rows, which columns hold texts, labels and splits, and what is said about reading them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from mlcore.errors import DataError, counted
from mlcore.text.layout import Layout
from mlcore.text.streams import known_of_files

SPLITS = {"train": "training", "dev": "held out", "test": "test"}  # and how they are shown
SPLIT_OF = {  # what splits are called, in lower case
    "train": "train", "training": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "test": "test", "testing": "test", "": "", "null": "", "nan": "", "none": "",
}  # fmt: skip
MAX_COLUMNS = 16_384  # as many as a spreadsheet has
SAMPLE = 500  # rows
SNIFFED_BYTES = 1 << 16  # from which the encoding is guessed
BETWEEN_WORDS = "“”‘–—…«»¡¿€£°"
FEW = 5  # bad rows, or others, that are listed
LETTER = re.compile(r"[^\W\d]")


def plain(name: str) -> str:
    """A name in lower case, without accents and what else is neither letter nor digit.

    Example:
        >>> plain("Tweet_Text"), plain("Opinión")
        ('tweettext', 'opinion')
    """
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", name.casefold()))


@cache
def usual_names(role: str) -> dict[str, None]:
    """The usual names of a column of texts, labels or splits, or the rarer ones, ``plain``."""
    return dict.fromkeys(map(plain, known_of_files()["columns"][role].split()))


Row = tuple[int | str, Sequence[Any]]  # the number of its line or the path of its file, and a value for each column


@dataclass
class Notes:
    """What was guessed, skipped or replaced in reading, so that nothing is read wrongly in silence."""

    undecodable: list[str] = field(default_factory=list)  # the lines or files where this happened
    guesses: list[str] = field(default_factory=list)  # sentences
    skipped: Counter[str] = field(default_factory=Counter)  # what was skipped for what it is, such as a second header
    n_bad_rows: int = 0
    bad_rows: list[str] = field(default_factory=list)  # places and problems of the first FEW
    columns: dict[str, Any] = field(default_factory=dict)  # that were chosen by their usual names, as in a Layout

    def sentences(self) -> list[str]:
        """All of this for a person, one sentence each."""
        said = list(dict.fromkeys(self.guesses))
        said += [f"{what}: {count:,} skipped." for what, count in self.skipped.items()]
        if n := self.n_bad_rows:
            more = f"; and {n - FEW:,} more" if n > FEW else ""
            said.append(f"Skipped {counted(n, 'bad row')}: {'; '.join(self.bad_rows)}{more}.")
        return said

    def add(self, other: "Notes") -> None:
        """Add those of texts that are read strictly: all that they name is named with its file."""
        self.guesses += other.guesses
        self.skipped += other.skipped
        self.n_bad_rows += other.n_bad_rows
        self.bad_rows = [*self.bad_rows, *other.bad_rows][:FEW]
        self.columns = other.columns | self.columns


@dataclass
class Source:
    """What is read, as messages name it, and what to do about problems."""

    name: str
    layout: Layout
    notes: Notes
    prefix: str = ""  # what begins the places of its texts
    header: int = 1  # the line with the names of columns
    unit: str = "line "  # what a row is called before its number, or before its path
    joint: str = ", "  # between the name and a place
    labelled: bool = True  # labels are needed
    encoding: str | None = None  # None for UTF-8
    separator: str | None = None  # of separated values
    marked: bool = False  # by a byte order mark, or not in UTF-8, as Excel writes separated values
    likely_encoding: str | None = None  # of what is not UTF-8

    def note_guess(self, sentence: str) -> None:
        """Note what was guessed in reading it."""
        self.notes.guesses.append(f"{self.name}: {sentence}")

    def note_skipped(self, what: str, times: int = 1) -> None:
        """Note what was skipped for what it is."""
        self.notes.skipped[f"{self.name}: {what}"] += times

    def error(self, where: str, problem: str, column: str = "", **more: Any) -> DataError:
        """Error about a place, and perhaps about a column of it."""
        return DataError(f"{self.name}{self.joint}{where}{column and f', column {column}'}: {problem}", **more)

    def skip(self, place: int | str, problem: str, column: str = "", remedy: str = "skip_bad_rows") -> None:
        """Note the row at this place, which cannot be used; unless bad rows are skipped, raise DataError."""
        where = f"{self.unit}{place}"
        if not self.layout.skip_bad_rows:
            raise self.error(where, problem, column, suggestion={remedy: True})
        self.notes.n_bad_rows += 1
        if len(self.notes.bad_rows) < FEW:
            self.notes.bad_rows.append(str(self.error(where, problem, column)).removesuffix("."))

    def decoded(self, content: bytes, file: str = "") -> str:
        """The text of UTF-8; other bytes become U+FFFD, or are refused."""
        try:
            return content.decode()
        except UnicodeDecodeError:
            self.undecodable(content, file)
            return content.decode(errors="replace")

    def undecodable(self, content: bytes, file: str = "", lines_before: int = 0) -> None:
        """Note the places of bytes that are not UTF-8, each of which is U+FFFD now, or refuse them."""
        lines = content.split(b"\n")
        wrong = [i for i, line in enumerate(lines) if line.decode(errors="replace").encode() != line]
        likely = None if self.encoding or self.likely_encoding else likely_encoding(content)
        if self.layout.lenient:
            if likely:
                self.likely_encoding = likely
                self.note_guess(f"the encoding is likely {likely}, not UTF-8.")
            places = [file] if file else [f"line {lines_before + i + 1}" for i in wrong]
            self.notes.undecodable += [f"{self.prefix}{place}" for place in places]
            return
        where = f"{file and f'{file}, '}line {lines_before + wrong[0] + 1}"
        try:
            lines[wrong[0]].decode()
        except UnicodeDecodeError as error:
            column = str(len(error.object[: error.start].decode()) + 1)
            if self.encoding:
                raise self.error(where, f"a byte cannot be decoded as {self.encoding}.", column) from error
            save = "save the file as UTF-8, or name its encoding (mlcore[encodings] can guess it)"
            advice = f"the encoding is likely {likely}" if likely else save
            problem = f"byte 0x{error.object[error.start]:02X} is not UTF-8; {advice}"
            raise self.error(where, problem, column, suggestion={"encoding": likely or "cp1252"}) from error


@dataclass
class Table:
    """Rows with named columns.

    ``rows`` yields each row with the number of its line, or the path of its file, and a value for each column: a str,
    what JSON or Arrow has, or None. ``header`` may grow while JSON is read.
    """

    source: Source
    header: list[str]
    rows: Iterator[Row]
    kind: str = "column"
    needed: Collection[int] | None = None  # columns; the values of others may be left out (None)
    schema: Any = None  # of Arrow, where there is one

    def __post_init__(self) -> None:
        self.check_width()

    def check_width(self) -> None:
        """Raises: DataError if there are more columns than a table has."""
        if len(self.header) > MAX_COLUMNS:
            problem = f"has {len(self.header):,} {self.kind}s; at most {MAX_COLUMNS:,} can be read"
            raise DataError(f"{self.source.name} {problem}; is it a table?")

    def texts(self) -> Iterator[tuple[Row, str | None]]:
        """Each row with its text; None where it has none."""
        columns = find_columns(self)
        at, *others = columns.text
        for row in self.rows:
            text = row[1][at] if not others and at < len(row[1]) else None
            yield row, text if type(text) is str else columns.text_of(row[1])  # a call for each row would be slow

    def sample(self) -> list[Sequence[Any]]:
        """The next rows, up to the first that cannot be used: to tell what is in which column."""
        found, width = list[Sequence[Any]](), len(self.header)  # to which objects of JSON may add keys
        with suppress(DataError):
            found.extend(values for _, values in islice(self.rows, SAMPLE))
        return [values[:width] for values in found]


def likely_encoding(content: bytes) -> str | None:
    """The encoding that bytes are likely in, if charset-normalizer is installed and finds some that they may be in."""
    with suppress(ImportError):
        from charset_normalizer import from_bytes

        usual = {name: letters for names, letters in known_of_files()["encodings"] for name in names.split()}
        content = b"\n".join(line for line in content.split(b"\n") if not line.isascii())
        if len(content) > SNIFFED_BYTES:
            content = content[:SNIFFED_BYTES].rpartition(b"\n")[0] or content[:SNIFFED_BYTES]
        ranks = [
            (_unusual(content.decode(encoding, "replace"), letters), match.chaos, rank, encoding)
            for match in from_bytes(content, cp_isolation=[*usual])
            for rank, (encoding, letters) in enumerate(usual.items())
            if encoding in match.could_be_from_charset
        ]
        return min(ranks)[-1] if ranks and min(ranks)[0] < 1 else None
    return None


def _unusual(text: str, usual: str) -> float:
    """Share of the characters beyond ASCII that are not usual in their place: charset-normalizer knows no words."""
    n = good = 0
    for before, c, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        if not c.isascii():
            n += 1
            inside = before.isalpha() and after.isalpha() and c in BETWEEN_WORDS
            good += not inside and (c in usual or c.lower() in usual)
    return 1 - good / max(n, 1)


class Columns(NamedTuple):
    """Indices of columns: of the texts, to be joined; of label, split and weight, unless there is none."""

    text: tuple[int, ...]
    label: int | None
    split: int | None
    weight: int | None = None

    def text_of(self, row: Sequence[Any]) -> str | None:
        """The text of a row, or several with a line feed between them; None if there is none."""
        parts = [as_text(row[i]) if i < len(row) else None for i in self.text]
        found = [part for part in parts if part is not None]
        return "\n".join(found) if found else None


def as_text(value: Any) -> str | None:
    """A number is its text, and a missing value, also NaN, is None; so is what holds several values."""
    if isinstance(value, str):
        return value
    if value is None or value != value or isinstance(value, list | dict):
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def find_columns(table: Table) -> Columns:
    """The columns of texts, labels, splits and weights, by given or usual names; one that is given has no other role.

    Raises: DataError if they cannot be told.
    """
    source, header = table.source, [name.strip() for name in table.header]
    found, said = dict[str, list[int]](), list[str]()
    for role, name, is_needed, matches in _roles(header, source):
        if len(matches) > 1 or (is_needed and not matches):
            raise _not_found(table, header, role, name, matches, found)
        found.setdefault(role, []).extend(matches)
        if not name and role in ("text", "label") and (usual := header[matches[0]]).lower() != role:
            said.append(f"the {role}s are in the {table.kind} {usual!r}")
            source.notes.columns.setdefault(f"{role}_column", [usual] if role == "text" else usual)
    if said:
        source.note_guess(f"{' and '.join(said)}.")
    if table.kind == "key" and not found.get("split", [0]):  # later objects may have one
        table.header.append("split")
        found["split"] = [len(table.header) - 1]
    label, split, weight = (next(iter(found.get(role, ())), None) for role in ("label", "split", "weight"))
    return Columns(tuple(found["text"]), label, split, weight)


def has_columns(names: Collection[str], source: Source) -> bool:
    """Whether columns of these names have the texts, and the labels if they are needed."""
    roles = _roles([name.strip() for name in names], source)
    return len(names) <= MAX_COLUMNS and all(matches or not is_needed for *_, is_needed, matches in roles)


def _roles(header: Sequence[str], source: Source) -> Iterator[tuple[str, str, bool, list[int]]]:
    """Each role, its given name or "", whether it needs a column, and the columns that may be meant.

    Roles with given names come first: their columns have no other role.
    """
    given, taken = source.layout.given(), set[int]()
    for role, names in source.layout.remembered.items():
        if role not in given and all(len(_matches(header, name.strip(), role, taken)) == 1 for name in names):
            given[role] = names
    needed = ["text", "label"] if source.labelled else ["text"]
    roles = needed + ["split"] * (source.labelled and not source.layout.no_split) + ["weight"] * ("weight" in given)
    for role in sorted(roles, key=lambda role: role not in given):
        names = [name.strip() for name in given.get(role, [""])]
        columns = [_matches(header, name, role, taken) for name in names]
        for name, matches in zip(names, columns, strict=True):
            yield role, name, bool(name) or role in needed, matches
        taken.update(*columns)


def _matches(header: Sequence[str], name: str, role: str, taken: set[int]) -> list[int]:
    """Columns with this name, exactly or else in any case; without a name, of this role or else with a usual name."""
    lower, wanted = [column.lower() for column in header], name or role
    steps: list[tuple[Sequence[str], Collection[str]]] = [(header, {wanted}), (lower, {wanted.lower()})]
    if not name:  # of a path of keys the last one counts
        last = [column.rpartition(".")[2] for column in lower]
        kinds = role, f"rarer_{role}"
        steps += [(last, {role}), *(([*map(plain, last)], usual_names(kind)) for kind in kinds)]
    for names, accepted in steps:
        if matches := [i for i, column in enumerate(names) if column in accepted and i not in taken]:
            return matches
    return []


def _not_found(
    table: Table, header: list[str], role: str, name: str, matches: list[int], found: dict[str, list[int]]
) -> DataError:
    """What is there, what was expected, and what would mend it."""
    kind, layout, place = table.kind, table.source.layout, f"{table.source.unit}{table.source.header}"
    if "\ufffd" in "".join(header) and (likely := table.source.likely_encoding):
        problem = f"the header is not UTF-8; the encoding is likely {likely}"
        return table.source.error(place, problem, suggestion={"encoding": likely})
    rows = table.sample()
    if not any(header) and not rows:
        why = f" ({table.source.notes.bad_rows[0]})" if table.source.notes.bad_rows else ""
        return DataError(f"{table.source.name} contains no texts{why}.")
    if not layout.no_header and not name and (numbers := _numbers_without_header(table, rows)):
        problem = f"there is no header: the first row is {_cut(', '.join(header))!r}"
        if table.source.labelled and "label_column" not in numbers:
            problem += ", and no values occur again, as labels do; join the labels from their own file to these rows"
        return table.source.error(place, problem, suggestion={"no_header": True} | numbers)
    given = layout.given()
    chosen = {i for other in found.keys() & given.keys() for i in found[other]}
    others = [column for i, column in enumerate(header) if i not in chosen]
    listed = f"the {kind}{'s' * (len(others) > 1)} {_cut(', '.join(others), 200)}"
    listed = (listed if any(others) else f"no {kind}s") + " besides those that you name" * bool(chosen)
    problem = f"found {listed}; expected one {kind} named '{name or role}'"
    problem += ", counted from 1" * bool(layout.no_header and name)
    if len(matches) > 1 and not name:
        problem = f"several {kind}s could be the {role}s: {', '.join(header[i] for i in matches)}; choose one"
    if table.source.labelled and table.source.unit == "line " and kind == "column" and len(header) == 1:
        problem = f"found one column, {_cut(header[0])!r}; expected the columns text and label, or others that you name"
        advice = "name the separator unless it is , ; | or a tab"
        if layout.separator:
            advice = f"{layout.separator!r} separates nothing there; name another separator, or none to recognise it"
        return table.source.error(place, f"{problem}; {advice}.")
    flags = [column for column, *values in zip(header, *rows, strict=True) if {*map(str, values)} == {"0", "1"}]
    if role == "label" and not name and len(flags) > 1:
        of_each = "df[[...]].apply(lambda row: ','.join(row.index[row == 1]), axis=1)"
        problem = f"no {kind} of labels is found, but {_cut(', '.join(flags))} have 0 and 1, as if "
        problem += f"each was a label; write their names into one column, in pandas df['label'] = {of_each}"
        return table.source.error(place, problem, suggestion={"label_separator": ","})
    lacking = [] if role == "split" else [role]
    # "Bewertung", an evaluation, may be a label or a review; other names of labels are also those of texts
    prose = {i for i in range(len(header)) if sum(str(row[i]).count(" ") > 2 for row in rows) > len(rows) / 2}
    labels = _matches(header, "", "label", prose)
    if role == "text" and table.source.labelled and "label" not in given and not labels:
        lacking.append("label")
    for other in {"text", "label", "split"} - {*lacking}:
        for usual in given.get(other, [""]):
            if len(only := _matches(header, usual.strip(), other, set() if usual else prose)) == 1:
                chosen.update(only)
    free = [i for i, column in enumerate(header) if column and i not in chosen]
    parts = _likely_columns([[row[i] for row in rows] for i in free], lacking)
    if len(matches) > 1:
        free, parts = matches, _likely_columns([[row[i] for row in rows] for i in matches], [role])
    names = {f"{part}_column": header[free[i]] for part, i in parts.items() if role in parts}
    if same := next((column for column in names.values() if header.count(column) > 1), None):
        problem, names = f"{problem}; give the {kind}s named {same!r} names of their own", {}
    return table.source.error(place, problem, suggestion=names)


def _cut(text: str, most: int = 100) -> str:
    """The text on one line, with its beginning alone where it has more than so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _likely_columns(columns: list[list[Any]], roles: Collection[str]) -> dict[str, int]:
    """Which of the columns likely have these roles: the longest has the texts, that of the fewest values the labels."""
    found = dict[str, int]()
    texts = [{value for value in column if isinstance(value, str) and LETTER.search(value)} for column in columns]
    lengths = [sum(map(len, values)) for values in texts]
    sizes = [len({*map(str, column)}) for column in columns]
    if "label" in roles and len(columns) > 1 and 2 * min(sizes) < len(columns[0]):  # which has the labels
        lengths[min(range(len(columns)), key=lambda i: (sizes[i], lengths[i]))] = 0
    if "text" in roles and columns and (any(lengths) or not any(columns)):
        found["text"] = lengths.index(max(lengths))
    distinct = dict[int, int]()
    for i, column in enumerate(columns) if "label" in roles else ():
        values = {*filter(None, (str(value) if isinstance(value, list) else as_text(value) for value in column))}
        if i != found.get("text") and not (values and values <= {*SPLIT_OF, "split"}):
            distinct[i] = len(values)
    likely = [i for i, n in distinct.items() if 1 < n < len(columns[i])]
    likely = likely or [i for i, n in distinct.items() if (n or not columns[i]) and len(columns[i]) < FEW]
    if likely:
        found["label"] = min(likely, key=lambda i: (distinct[i], -i))
    return found


def _numbers_without_header(table: Table, rows: list[Sequence[Any]]) -> dict[str, Any]:
    """Likely columns of labels and texts if the first row looks like the others; else nothing.

    A label occurs again in its column, as few names of columns do; nor is it a number in a column of numbers. A
    column of texts alone has no name of many words, but may have a question. A first row with a usual name of a column
    that does not occur again is a header, even if another name in it does.
    """
    columns = [list(map(str, column)) for column in zip(table.header, *rows, strict=False)] if rows else []
    usual = usual_names("text") | usual_names("label")
    is_header = any(plain(first) in usual for first, *more in columns if first not in more)
    is_text = not table.source.labelled and len(table.header) == 1 and re.search(r"( .*){3}[^?:]$", table.header[0])
    if table.kind != "column" or not any(
        first and (is_text or (first in more and not is_header) or all(map(str.isdecimal, (first, *more))))
        for first, *more in columns
    ):
        return {}
    found = _likely_columns(columns, ["label", "text"] if table.source.labelled else ["text"])
    return {f"{role}_column": found[role] + 1 for role in sorted(found)}
