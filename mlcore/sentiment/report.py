"""A report of a model and its figures on labelled texts: one HTML page that needs nothing else, and no script."""

import re
from dataclasses import dataclass, replace
from html import escape

from mlcore.sentiment.charts import Series, curves, dots
from mlcore.sentiment.description import describe
from mlcore.sentiment.evaluation import Assessment, LabelFigures, Mistake, RatingAssessment, WordLogit
from mlcore.sentiment.explanation import explain
from mlcore.sentiment.markup import coloured_words
from mlcore.sentiment.model import Model
from mlcore.text.ngrams import LARGEST_NGRAM

# Control characters, and those that reverse the direction of what follows
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MOST_CELLS = 30  # labels of a confusion matrix
MOST_CONFUSIONS = 20
MOST_DOTS = 1_000
MOST_WORDS = 400  # of a mistake that are shown
LONGEST_EXPLAINED = 30_000  # characters: the work grows with the square of the number of words
STRONGEST = 0.6  # opacity of the darkest cell: text stays legible on it
BLUE = "44,107,214"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --muted: #5a6577; --line: #d5dae2; --page: #fff;
  --s0: #2c6bd6; --s1: #c26a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf1; --muted: #98a3b5; --line: #3c4555; --page: #14171d;
  --s0: #74acff; --s1: #f5b445 } }
* { box-sizing: border-box }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; font: 1rem/1.55 system-ui, sans-serif;
  color: var(--ink); background: var(--page); overflow-wrap: break-word; print-color-adjust: exact }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
.big { font-size: 1.3rem } .muted { color: var(--muted) }
.wide { overflow-x: auto } .two { display: flex; flex-wrap: wrap; gap: 0 2rem } .two > * { flex: 1 1 19rem }
table { border-collapse: collapse; margin: .5rem 0 }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } .n { text-align: right; font-variant-numeric: tabular-nums }
code { overflow-wrap: anywhere } figure { margin: 0 }
.matrix td, .matrix th { padding: .25rem .6rem } pre { white-space: pre-wrap; margin: .5rem 0 }
article { border-top: 1px solid var(--line); padding: .5rem 0; break-inside: avoid }
svg { display: block; width: 100%; max-width: 34rem; height: auto; break-inside: avoid }
svg text { font: 12px system-ui, sans-serif; fill: var(--muted) }
svg .end { text-anchor: end } svg .middle { text-anchor: middle }
svg .grid { stroke: var(--line); fill: none } svg .mark { stroke: var(--muted); stroke-dasharray: 4 4; fill: none }
svg .curve { fill: none; stroke-width: 2 } svg .s0 { stroke: var(--s0) } svg .s1 { stroke: var(--s1) }
svg .dot.s0 { fill: var(--s0); fill-opacity: .7 } svg .dot.s1 { fill: var(--s1) }
svg text.s0 { fill: var(--s0); stroke: none } svg text.s1 { fill: var(--s1); stroke: none }
""".strip()
KINDS = dict(zip(range(1, LARGEST_NGRAM + 1), ("words", "pairs of words", "triples of words"), strict=True))


@dataclass(frozen=True)
class Findings:
    """What a report shows of a classifier on labelled texts."""

    model: str  # names of the files
    data: str
    figures: Assessment | RatingAssessment
    strongest: dict[str, list[WordLogit]]
    mistakes: list[Mistake]


def page(classifier: Model, findings: Findings) -> str:
    """The whole report; everything that came from files is escaped. The same findings give the same page."""
    figures = findings.figures
    labelled = isinstance(figures, Assessment)
    title = f"{_text(findings.model)} on {_text(findings.data)}"
    sections = [
        f"<h1>{title}</h1>",
        _headline(figures),
        _training(classifier),
        _label_sections(figures) if labelled else _rating_section(figures),
        _strongest(findings.strongest, classifier.labels),
        _mistakes(classifier, findings.mistakes),
        _facts(classifier),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _text(value: str) -> str:
    """Text that came from outside, for HTML; what could not be seen, or would reverse the page, is replaced."""
    return escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(value.split())))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _table(head: list[str], rows: list[list[str]], left: int = 1, kind: str = "") -> str:
    """A table of cells that are HTML already; the first ``left`` columns are text, the others numbers."""

    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(
            cell if cell.startswith("<td") else f"<{tag}{'' if i < left else ' class=n'}>{cell}</{tag}>"
            for i, cell in enumerate(cells)
        )

    lines = ([row(head, "th")] if head else []) + [row(cells, "td") for cells in rows]
    return f'<div class="wide"><table{f" class={kind}" if kind else ""}>\n' + "\n".join(lines) + "\n</table></div>"


# Figures --------------------------------------------------------------------------------------------------


def _headline(figures: Assessment | RatingAssessment) -> str:
    if isinstance(figures, RatingAssessment):
        return (
            f'<p class="big">Root mean square error <b>{figures.rmse:.4f}</b> on {figures.n:,} texts</p>'
            f"<p>Always answering the mean gives {figures.baseline:.4f}.</p>"
        )
    (low, high), right = figures.accuracy_interval, int(figures.confusion.trace())
    return (
        f'<p class="big">Accuracy <b>{figures.accuracy:.2%}</b>: {right:,} of {figures.n:,} texts</p>'
        f"<p>95 % interval {low:.2%} to {high:.2%}. Always answering {_text(figures.most_frequent)} gives "
        f"{figures.baseline:.2%}.</p>"
    )


def _rating_section(figures: RatingAssessment) -> str:
    rows = [
        ["Root mean square error", _figure(figures.rmse)],
        ["Mean absolute error", _figure(figures.mae)],
        ["R²: share of the variance that is explained", _figure(figures.r2)],
        ["Correlation of truths and predictions", _figure(figures.pearson)],
        ["Mean loss, ½ (y − ŷ)²", _figure(figures.loss)],
    ]
    every = -(-figures.n // MOST_DOTS)
    points = list(zip(figures.truths[::every].tolist(), figures.predicted[::every].tolist(), strict=True))
    values = [value for point in points for value in point]
    limits = (min(values), max(values)) if max(values) > min(values) else (values[0] - 1, values[0] + 1)
    chart = dots("Predictions over truths", ("truth", "predicted"), [(x, y, 1) for x, y in points], limits)
    return f"<h2>Figures</h2>\n{_table([], rows)}\n<h2>Predictions</h2>\n{chart}"


def _label_sections(figures: Assessment) -> str:
    rows = [
        ["Log loss", _figure(figures.loss), "mean of −log p of the true label"],
        ["Brier score", _figure(figures.brier), "mean squared error of the probabilities"],
        ["Calibration error", _figure(figures.calibration_error), "mean distance of accuracy and probability"],
    ]
    if len(figures.labels) == 2:
        what = "a positive text has the higher logit so often"
        rows.append(["ROC AUC", _figure(figures.auc), what])
    rows = [[name, f"<td class=n>{value}</td>", what] for name, value, what in rows]

    def label_row(name: str, found: LabelFigures) -> list[str]:
        return [name, *(_percent(value) for value in found[:3]), f"{found.support:,}"]

    labels = [
        *(label_row(_text(label), found) for label, found in zip(figures.labels, figures.per_label, strict=True)),
        label_row("<i>mean</i>", figures.macro),
        label_row("<i>weighted mean</i>", figures.weighted),
    ]
    points = [(bin.probability, bin.accuracy, bin.n) for bin in figures.calibration if bin.n]
    chart = dots("Calibration", ("probability of the predicted label", "share that is right"), points, (0, 1))
    return (
        f"<h2>Figures</h2>\n{_table([], rows, left=3)}\n"
        f"{_table(['label', 'precision', 'recall', 'F1', 'texts'], labels)}\n"
        f"<h2>Confusion</h2>\n{_confusion(figures)}\n"
        f"<h2>Calibration</h2>\n<p>On the dashed line, the predicted label is right as often as its probability "
        f"says; larger dots are more texts.</p>\n{chart}"
    )


def _confusion(figures: Assessment) -> str:
    """The matrix, a cell the darker the larger its share of the row; of many labels the most frequent confusions."""
    names = [_text(label) for label in figures.labels]
    if len(names) > MOST_CELLS:
        wrong = [
            (count, truth, predicted)
            for truth, row in enumerate(figures.confusion.tolist())
            for predicted, count in enumerate(row)
            if count and truth != predicted
        ]
        wrong.sort(key=lambda entry: (-entry[0], entry[1:]))
        rows = [[names[truth], names[predicted], f"{count:,}"] for count, truth, predicted in wrong[:MOST_CONFUSIONS]]
        return _table(["truth", "predicted", "texts"], rows, left=2)
    rows = []
    for name, row in zip(names, figures.confusion.tolist(), strict=True):
        total = max(sum(row), 1)
        rows.append([f"<td><b>{name}</b></td>", *(_cell(count, count / total) for count in row)])
    head = ["truth ↓ predicted →", *names]
    return _table(head, rows, kind="matrix")


def _cell(count: int, share: float) -> str:
    colour = f"rgba({BLUE},{STRONGEST * share:.3f})"
    return f'<td class="n" style="background:{colour}" title="{share:.1%}">{count:,}</td>'


# Model ----------------------------------------------------------------------------------------------------


def _training(classifier: Model) -> str:
    history = classifier.provenance.history
    if not history:
        return ""
    epochs = [epoch["epoch"] for epoch in history]
    best = max((i for i, epoch in enumerate(history) if epoch["best"]), default=None)

    def values(name: str) -> list[float | None]:
        return [epoch[name] for epoch in history]

    losses = [Series("training", values("train_loss")), Series("held out", values("dev_loss"))]
    losses = [one for one in losses if any(value is not None for value in one.values)]
    charts = _figure_of("Loss", curves("Loss of each epoch", "epoch", epochs, losses, best))
    accuracies = values("dev_accuracy")
    if any(value is not None for value in accuracies):
        series = [Series("held out", accuracies)]
        charts += _figure_of("Accuracy", curves("Accuracy of each epoch", "epoch", epochs, series, best))
    kept = "" if best is None else f"<p>The dashed line is the epoch that was kept, {epochs[best]}.</p>"
    return f'<h2>Training</h2>\n<div class="two">{charts}</div>\n{kept}'


def _figure_of(caption: str, chart: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"


def _strongest(strongest: dict[str, list[WordLogit]], labels: tuple[str, ...]) -> str:
    what = "rating" if not labels else "logit" if len(labels) == 2 else "logit above the mean of all labels"
    rows = [
        [
            f"<b>{_text(label)}</b>",
            ", ".join(f'{_text(word)} <span class="muted">{logit:+.1f}</span>' for word, logit in words) or "–",
        ]
        for label, words in strongest.items()
    ]
    heading = f'<h2>Strongest words</h2>\n<p class="muted">The {what} of the text that is this word alone.</p>'
    return f"{heading}\n{_table([], rows, left=2)}"


def _mistakes(classifier: Model, mistakes: list[Mistake]) -> str:
    if not mistakes:
        return "<h2>Worst mistakes</h2>\n<p>None.</p>"
    legend = (
        "Green speaks for the predicted label, red against it; the stronger, the more. Faint words are unknown."
        if classifier.labels
        else "Green raises the predicted rating, red lowers it; the stronger, the more. Faint words are unknown."
    )
    articles = "\n".join(_mistake(classifier, mistake) for mistake in mistakes)
    return f'<h2>Worst mistakes</h2>\n<p class="muted">{legend}</p>\n{articles}'


def _mistake(classifier: Model, mistake: Mistake) -> str:
    if mistake.probability is None:
        what = f"<b>{mistake.truth:g}</b>, predicted <b>{mistake.predicted:.2f}</b>"
    else:
        truth, predicted = _text(str(mistake.truth)), _text(str(mistake.predicted))
        what = f"<b>{truth}</b>, predicted <b>{predicted}</b> ({mistake.probability:.2%})"
    if len(mistake.text) > LONGEST_EXPLAINED:
        words = f'{_text(mistake.text[:2000])} <span class="muted">(the beginning of a long text)</span>'
    else:
        explanation = explain(classifier, mistake.text)
        words = coloured_words(replace(explanation, words=explanation.words[:MOST_WORDS]))
        if more := len(explanation.words) - MOST_WORDS:
            words += f' <span class="muted">({more:,} more words)</span>' if more > 0 else ""
    place = f'<span class="muted"><bdi>{_text(mistake.place)}</bdi>:</span>'
    return f"<article><div>{place} {what}</div><div>{words}</div></article>"


def _facts(classifier: Model) -> str:
    found = describe(classifier)
    table, W1, W2 = (" × ".join(f"{size:,}" for size in found.shapes[name]) for name in ("table", "W1", "W2"))
    formulas = (
        f"E = 1/N Σ E_w       embedding {table}\nH = φ(W1 E + b1)    W1 {W1}, b1 {found.shapes['b1'][0]}\n"
        f"ŷ = W2 H + b2       W2 {W2}, b2 {found.shapes['b2'][0]}"
    )
    rows = [
        ["Parameters", f"{found.parameters:,}"],
        ["Vocabulary", ", ".join(f"{part.features:,} {KINDS[part.words]}" for part in found.vocabulary)],
        ["Labels", _text(", ".join(found.labels)) or "none: it predicts a number"],
        ["Loss", found.loss],
    ]
    if found.texts:
        rows.append(["Texts", ", ".join(f"{_text(name)} {count:,}" for name, count in found.texts.items())])
    if found.fingerprint:
        rows.append(["SHA-256 of the data", f"<code>{_text(found.fingerprint)}</code>"])
    rows.append(["To train it again", f"<code>{_text(found.command)}</code>"])
    return f"<h2>The model</h2>\n<pre>{formulas}</pre>\n{_table([], rows, left=2)}"
