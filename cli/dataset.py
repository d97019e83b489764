"""``mlcore data``, and what every command that reads labelled texts shares: options, reading and its progress."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlcore.distributed import cluster as clusters
from mlcore.distributed import preparing
from mlcore.errors import counted
from mlcore.files import STANDARD_STREAM, name_of
from mlcore.sentiment import model as models
from mlcore.text import dataset as datasets
from mlcore.text import inspect, table
from mlcore.text import labels as label_names
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .commands import in_words
from .options import DataArgument, Json
from .output import answer, standard_input

MAX_EXAMPLES = 5  # of a finding; --json has all lines that are not UTF-8
MAX_LABELS = 20


def data(*, paths: DataArgument, layout: Layout, as_json: Json = False) -> None:
    """Example: mlcore data reviews.csv

    Look at labelled texts before you train on them: how many each label has
    and how long they are; which are empty, duplicates, labelled differently,
    in more than one split, or not UTF-8; and how many words of the held-out
    texts occur in the training texts. Files may be compressed (.gz, .bz2, .xz).
    """
    dataset = read(paths, replace(layout, lenient=True, skip_bad_rows=True), keep_texts=True)
    with render.Activity("Inspecting the texts"):
        found = inspect.inspect(dataset)
    found.notes.extend(map(in_words, label_names.list_warnings(found.labels)))
    answer("data", found, _show, as_json)


# Reading --------------------------------------------------------------------------------------------------


def read(
    paths: Sequence[Path] | None,
    layout: Layout,
    quiet: bool = False,
    keep_texts: bool = False,
    threads: int | None = None,
    cluster: "clusters.Cluster | None" = None,
    replicas: int | None = None,
) -> "datasets.Dataset":
    """Read labelled texts, by default the built-in ones; report progress and what was guessed or skipped on stderr.

    On a cluster, the workers read them, for so many replicas; paths may be patterns and URLs.
    """
    paths = paths or [datasets.built_in_dataset()]
    if STANDARD_STREAM in paths and not quiet:
        standard_input("Reading standard input; Ctrl-D ends it.")
    with render.Activity(f"Reading {', '.join(map(name_of, paths))}", quiet) as activity:
        if cluster:
            dataset: datasets.Dataset = preparing.read_shards(cluster, paths, layout, replicas)
        else:
            threads, progress = threads or available_cores(), activity.counting("texts")
            dataset = datasets.read_dataset(paths, layout, threads, progress, keep_texts)
    for sentence in dataset.notes.sentences() if not layout.lenient else ():  # else the caller shows them
        render.say(f"mlcore: {sentence}")
    return dataset


@contextmanager
def connected(scheduler: str, quiet: bool = False) -> "Iterator[clusters.Cluster]":
    """The Dask cluster there; progress, and the address of its dashboard, on stderr."""
    activity = render.Activity(f"Connecting to {scheduler}", quiet)
    with activity, clusters.connected(scheduler, activity.update) as cluster:
        if not quiet:
            render.say(f"Dask's dashboard (it needs bokeh): {cluster.client.dashboard_link}")
        yield cluster


def for_model(layout: Layout, model: "models.Model") -> Layout:
    """The layout, with the separator of labels of the training, and its columns for files that have them."""
    inputs: Any = model.provenance.inputs
    separator = layout.label_separator or inputs.get("label_separator")
    columns = Layout(text_column=inputs.get("text_column"), label_column=inputs.get("label_column")).given()
    return replace(layout, label_separator=separator, remembered=columns)


# Tables ---------------------------------------------------------------------------------------------------


def _show(found: "inspect.Inspection") -> None:
    """Sizes, labels of each split, lengths, what would mislead a training, and how many words it knows."""
    render.show(found.source, "bold")
    counts = (found.texts, "text"), (len(found.labels), "label"), (found.tokens, "token")
    render.show(f"{', '.join(counted(*each) for each in counts)} ({found.vocabulary:,} distinct)")
    _show_labels(found)
    lengths = "min {minimum:,}, quartiles {lower_quartile:,}, {median:,} and {upper_quartile:,}, max {maximum:,}"
    render.paragraph(f"\nTokens per text: {lengths.format_map(found.lengths)}, mean {found.lengths['mean']:,.1f}")
    _show_findings(found)
    for sentence in found.notes:
        render.paragraph(sentence)
    for split, share in found.known.items():
        of = table.SPLITS[split].replace(" ", "-")
        render.paragraph(f"Words of the {of} texts that training knows: {render.number(share, '.2%')}")


def _show_labels(found: "inspect.Inspection") -> None:
    """How many texts each label has, in each split; the most frequent labels, if there are many."""
    rows = []
    largest = max(count for counts in found.parts.values() for count in counts.values())
    for split, counts in found.parts.items():
        total, name = found.sizes[split], table.SPLITS[split] if len(found.parts) > 1 else "all"
        shown = sorted(counts, key=lambda label: -counts[label])[:MAX_LABELS]
        for label in counts if len(counts) <= MAX_LABELS else shown:
            figures = f"{counts[label]:,}", f"{counts[label] / total:.1%}", render.bar(counts[label] / largest)
            rows.append((name, render.shortened(label), *figures))
            name = ""
        if others := sum(counts.values()) - sum(counts[label] for label in shown):
            share = f"{others / total:.1%}" if sum(counts.values()) == total else ""  # a text may have several of them
            rows.append(("", f"({len(counts) - MAX_LABELS:,} more)", f"{others:,}", share, ""))
    render.table(("split", "label", "texts", "share", ""), rows, left=2)


def _show_findings(found: "inspect.Inspection") -> None:
    """How often what is worth a look occurs, and examples of it."""
    findings: dict[str, dict[str, Any]] = {
        "empty (no words or punctuation)": found.empty,
        "duplicates within the same split": found.duplicates,
        "same text with different labels": found.conflicts,
    }
    for split, shared in found.shared.items():
        findings[f"{table.SPLITS[split].replace(' ', '-')} texts that are also in training"] = shared
    findings["lines or files that are not UTF-8"] = found.undecodable
    findings["rows that cannot be used"] = found.bad_rows
    numbers = [(f"{finding['count']:,}", "bold" if finding["count"] else "") for finding in findings.values()]
    render.table(("finding", "number"), list(zip(findings, numbers, strict=True)), "\nWorth a look")
    for name, finding in findings.items():
        if finding["count"]:
            render.show(f"{name[0].upper()}{name[1:]}:")
            for example in (finding.get("places") or finding["examples"])[:MAX_EXAMPLES]:
                line = example
                if finding is found.conflicts:
                    line = ", ".join(f"{place} ({render.shortened(label)})" for label, place in example.items())
                elif not isinstance(example, str):
                    line = f"{example['place']} = {example['earlier']}"
                render.paragraph(line, indent="  ")
            if (more := finding.get("different", finding["count"]) - MAX_EXAMPLES) > 0:
                render.show(f"  and {more:,} more")
