"""The classifier in one HTML page: the model for the JavaScript in ``data/web``, which does what this package does."""

import base64
import html.entities
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.sentiment.compression import compress
from mlcore.sentiment.description import describe
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import content_of, stored_parameters
from mlcore.templates import web_page
from mlcore.text.characters import ranges
from mlcore.text.table import USUAL_NAMES, plain

SCRIPTS = ("text", "layers", "classifier", "elements", "tables", "classifier_page")
MAX_BYTES = 64_000_000  # of a page that phones still open


def classifier_page(model: Model, name: str, max_size: int | None = None) -> str:
    """A page that predicts and explains as this model does, without a network or a server.

    ``max_size``: of the page, in bytes; a model that is too large for it is compressed.

    Raises: DataError if the page would be too large for browsers; InputError if no page is as small as max_size.
    """
    size = sum(array.nbytes for array in stored_parameters(model).values()) * 4 // 3
    if max_size is None and size > MAX_BYTES:
        raise DataError(
            f"{name}: the page would have {size / 1e6:,.0f} MB, and browsers open up to {MAX_BYTES / 1e6:.0f} MB well",
            suggestion={"max_size": MAX_BYTES},
        )
    page = "" if max_size and size > max_size else _page(model, name)  # "": too large for certain
    budget = max_size or 0
    while max_size is not None and not 0 < len(page.encode()) <= max_size:
        small = compress(model, budget)
        page, size = _page(small, name), len(content_of(small))
        if size > budget and len(page.encode()) > max_size:
            expected = f"expected at least {len(page.encode()):,} bytes, which the page takes with one feature"
            raise InputError(expected, parameter="max_size", value=max_size)
        budget = size - (len(page.encode()) - max_size) * 3 // 4 - 1  # in base64 3 bytes are 4
    return page


def _page(model: Model, name: str) -> str:
    data = {
        **vocabulary(model),
        "dim": model.settings.dim,
        "float16": model.settings.float16,
        "step": model.compressed.step if model.compressed else None,
        "parameters": {key: _encoded(array) for key, array in stored_parameters(model).items()},
        "textNames": [*map(plain, USUAL_NAMES["text"].split())],
    }
    choosable = len(model.labels) > 2 or model.settings.multi_label
    values = {"description": describe(model), "labels": model.labels, "choosable": choosable}
    return web_page("classifier.html", SCRIPTS, data, title=name, **values)


def vocabulary(model: Model) -> dict[str, Any]:
    """All of a model but its parameters, as ``Vocabulary`` in ``data/web/types.d.ts`` has it."""
    features, labels = model.features, model.labels
    thresholds = np.full(len(labels), 0.5) if model.thresholds is None else model.thresholds
    pairs = np.column_stack([features.ngrams >> 32, features.ngrams & 0xFFFFFFFF])
    return {
        "characters": [one[:4] for one in ranges()],
        "entities": html.entities.html5,
        "labels": labels,
        "multiLabel": model.settings.multi_label,
        "thresholds": thresholds.tolist(),
        "seen": model.seen,
        "words": features.words.words,
        "pieces": features.pieces.table.words,
        "sizes": [features.pieces.sizes.start, features.pieces.sizes.stop - 1],
        "ngrams": features.largest,
        "binary": features.binary,
        "pairs": pairs.tolist(),
    }


def _encoded(array: np.ndarray) -> str:
    """The bytes of an array, little-endian, in base64."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
