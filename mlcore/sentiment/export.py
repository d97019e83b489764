"""The classifier for other programs: an HTML page with JavaScript, or ONNX with the vocabulary as JSON."""

import base64
import html.entities
import json
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.sentiment.compression import compress
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import content_of, stored_parameters
from mlcore.sentiment.report import describe
from mlcore.templates import fill, web_page
from mlcore.text.characters import KINDS, ranges
from mlcore.text.streams import optional
from mlcore.text.table import usual_names

SCRIPTS = ("text", "layers", "classifier", "elements", "tables", "classifier_page")
SERVER_SCRIPTS = ("elements", "server_page")
MAX_PAGE = 64_000_000  # of a page that phones still open


def classifier_page(model: Model, name: str, max_size: int | None = None) -> str:
    """A page that predicts and explains as this model does, without a network or a server.

    ``max_size``: of the page, in bytes; a model that is too large for it is compressed.

    Raises: DataError if the page would be too large for browsers; InputError if no page is as small as max_size.
    """
    size = sum(array.nbytes for array in stored_parameters(model).values()) * 4 // 3
    if max_size is None:
        if size > MAX_PAGE:
            problem = f"the page would have {size / 1e6:,.0f} MB, and browsers open up to {MAX_PAGE / 1e6:.0f} MB well"
            raise DataError(f"{name}: {problem}", suggestion={"max_size": MAX_PAGE})
        return _page(model, name)
    page, budget = None if size > max_size else _page(model, name), max_size  # None: too large for certain
    while page is None or len(page.encode()) > max_size:
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
        "textNames": [*usual_names("text")],
    }
    return web_page("classifier.html", SCRIPTS, data, title=name, **_facts(model))


def server_page(model: Model, name: str) -> str:
    """A page that sends what is entered to the server it comes from."""
    return web_page("server.html", SERVER_SCRIPTS, model.labels, title=name, asks_server=True, **_facts(model))


def _facts(model: Model) -> dict[str, Any]:
    """What pages say about a model."""
    choosable = len(model.labels) > 2 or model.settings.multi_label
    return {"description": describe(model), "labels": model.labels, "choosable": choosable}


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


# ONNX ------------------------------------------------------------------------------------------

MAX_ONNX = 2_000_000_000  # of a Protocol Buffers message


def vocabulary_json(model: Model) -> bytes:
    """The vocabulary and the rule for tokens, for readers in other languages."""
    rule = fill("vocabulary.txt", str).splitlines()
    found = {"schema": "mlcore.vocabulary/1", "rule": rule, "kinds": KINDS, **vocabulary(model)}
    return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


def onnx_model(model: Model) -> bytes:
    """The network as an ONNX file with standard operators.

    Inputs for n texts with m different features: ids (m,) int64; counts (m,) int64, unless each feature counts once;
    offsets (n + 1,) int64, from 0 to m: text i has the ids from offsets[i] to offsets[i + 1] - 1, or none. Outputs:
    logits (n, k) and probabilities (n, labels), or rating (n, 1), float32.

    Raises: DataError without the extra, or if the file would be too large for ONNX.
    """
    onnx, stored = optional("onnx", "onnx", "Writing ONNX"), stored_parameters(model)
    if (size := stored["table"].nbytes) > MAX_ONNX:
        problem = f"The embedding has {size / 1e9:.1f} GB, and ONNX files have up to {MAX_ONNX / 1e9:g}"
        raise DataError(f"{problem}; mlcore compress makes it smaller")
    made = onnx.parser.parse_model(fill("network.onnx.j2", str, model=model, outputs=len(model.parameters.b2)))
    numbers = {"step": model.compressed.step if model.compressed else 1.0}
    numbers |= dict(zip(("low", "high"), model.seen or (), strict=False))
    arrays = stored | {name: np.float32(number) for name, number in numbers.items()}
    found = (onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items())
    made.graph.initializer.extend(found)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString(deterministic=True))
