"""Tables of data."""

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from .render import Grid, out, show

if TYPE_CHECKING:
    from mlcore.text.inspection import Coverage, Found, Inspection, Lengths, Repeats

MOST_PLACES = 5  # of a finding; --json has all lines that are not UTF-8
WIDEST_BAR = 24
LONGEST_LABEL = 20
MOST_LABELS = 20
PART = {"train": "training", "dev": "held out", "test": "test", "tenth": "random tenth"}


def inspection(found: "Inspection") -> None:
    """The sizes, the labels of each part, the lengths, what would mislead a training, and the vocabulary's reach."""
    show(found.source + (f"; held out: {found.dev_source}" if found.dev_source else ""), "bold")
    show(
        f"{_number(found.texts, 'text')}, {_number(len(found.labels), 'label')}, {_number(found.tokens, 'token')}, "
        f"of which {found.vocabulary:,} different"
    )
    _labels(found)
    _lengths(found.lengths)
    _findings(found)
    if found.coverage:
        _coverage(found.coverage)


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"


def _bar(count: float, largest: float) -> str:
    """A bar of at least one block for what is there at all."""
    return "█" * max(round(WIDEST_BAR * count / largest), 1) if count else ""


def _grid_with_bars(*columns: str, left: int = 1) -> Grid:
    grid = Grid(*columns, "", left=left)
    grid.columns[-1].justify = "left"
    return grid


def _labels(found: "Inspection") -> None:
    grid = _grid_with_bars("part", "label", "texts", "share", left=2)
    largest = max(count for counts in found.parts.values() for count in counts.values())
    for part, counts in found.parts.items():
        most_frequent = sorted(counts, key=lambda label: -counts[label])[:MOST_LABELS]
        total = sum(counts.values())
        name = PART[part] if len(found.parts) > 1 else "all"
        for label in counts if len(counts) <= MOST_LABELS else most_frequent:
            count = counts[label]
            grid.add(name, _shortened(label), f"{count:,}", f"{count / total:.1%}", _bar(count, largest))
            name = ""
        others = total - sum(counts[label] for label in most_frequent)
        if others:
            grid.add("", f"({len(counts) - MOST_LABELS:,} more)", f"{others:,}", f"{others / total:.1%}", "")
    out.print(grid)


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 3]}..."


def _lengths(lengths: "Lengths") -> None:
    show("\nTokens of a text", "bold")
    show(
        f"least {lengths.minimum:,}, quartiles {lengths.lower_quartile:,}, {lengths.median:,} and "
        f"{lengths.upper_quartile:,}, most {lengths.maximum:,}, mean {lengths.mean:,.1f}"
    )
    grid = _grid_with_bars("tokens", "texts", left=0)
    largest = max(bin.texts for bin in lengths.histogram)
    for bin in lengths.histogram:
        span = f"{bin.first:,}" if bin.first == bin.last else f"{bin.first:,} to {bin.last:,}"
        grid.add(span, f"{bin.texts:,}", _bar(bin.texts, largest))
    out.print(grid)


class _Finding(NamedTuple):
    name: str
    number: int
    examples: list[str]
    all_examples: int  # how many there would be


def _findings(found: "Inspection") -> None:
    conflicts = [", ".join(f"{place} ({_shortened(label)})" for label, place in example.items())
                 for example in found.conflicts.examples]  # fmt: skip
    findings = [
        _of_places("empty: no word and no mark", found.empty),
        _of_repeats("repeat an earlier text of their part", found.duplicates),
        _Finding("same text with different labels", found.conflicts.count, conflicts, found.conflicts.different),
        *(_of_repeats(f"{PART[part]} texts that are in training, too", found.shared[part]) for part in found.shared),
        _of_places("lines, or files, that are not UTF-8", found.undecodable),
    ]
    show("\nWorth a look", "bold")
    grid = Grid("finding", "number")
    for finding in findings:
        grid.add(finding.name, (f"{finding.number:,}", "bold" if finding.number else ""))
    out.print(grid)
    for finding in findings:
        if finding.number:
            _examples(finding)


def _of_places(name: str, found: "Found") -> _Finding:
    return _Finding(name, found.count, found.places[:MOST_PLACES], found.count)


def _of_repeats(name: str, repeats: "Repeats") -> _Finding:
    examples = [f"{repeat.place} = {repeat.earlier}" for repeat in repeats.examples]
    return _Finding(name, repeats.count, examples, repeats.count)


def _examples(finding: _Finding) -> None:
    show(f"{finding.name[0].upper()}{finding.name[1:]}:")
    for example in finding.examples:
        show(textwrap.fill(example, 80, initial_indent="  ", subsequent_indent="    ", break_long_words=False))
    if more := finding.all_examples - len(finding.examples):
        show(f"  and {more:,} more")


def _coverage(parts: "list[Coverage]") -> None:
    show("\nTokens that the vocabulary of the training texts knows", "bold")
    grid = _grid_with_bars("of part", "--min-count", "words", "known", left=1)
    for part in parts:
        name = PART[part.part]
        for known in part.known:
            share = "-" if known.share is None else f"{known.share:.2%}"
            grid.add(name, str(known.min_count), f"{known.words:,}", share, _bar(known.share or 0, 1))
            name = ""
    out.print(grid)
