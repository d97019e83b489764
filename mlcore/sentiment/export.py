"""The classifier for other programs: an HTML page with JavaScript, or ONNX with the vocabulary as JSON."""

import base64
import html.entities
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.kernels import losses
from mlcore.sentiment.compression import compress
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import content_of, stored_parameters
from mlcore.sentiment.report import describe
from mlcore.templates import web_page
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

OPSET, IR_VERSION = 17, 8  # of early 2022: ScatterElements adds since 16
MAX_ONNX = 2_000_000_000  # of a Protocol Buffers message
SCHEMA = "mlcore.vocabulary/1"
Add = Callable[..., None]  # takes the operator, the names of its inputs with blanks between them, and of its output
RULE = [
    "Tags, which match </?[a-zA-Z][^<>]*>, are spaces. Then entities are decoded as in HTML 5.",
    "'characters' has rows: the first and the last code point, their kind (a number of 'kinds'), and the code points "
    "as which the first is read. The others are read with the same difference; all of kind other, expands and left as "
    "these code points. Ignored characters vanish, and what is in no row is a space. Read the text so, compose it "
    "(NFC), read it again, drop U+0307 behind an i, and compose.",
    "A word consists of letters with the extending characters behind them; an apostrophe or a joiner between two of "
    "them is part of it. Other tokens: a single letter with its extending characters, a pictograph with all that is "
    "joined to it, two regional indicators, and each of . , ! ? ; : ( ) # @.",
    "Where the second of 'sizes' is above 0, a token of 4 to 64 code points that is not in 'words' is read as the "
    "first of them (of 50,000, and of up to 64 code points) that has a sequence in common with it: the whole, or what "
    "is left without one of its code points.",
    "The id of a token is its place in 'words'. The id of an n-gram of words is the number of words plus its place in "
    "'pairs', which have the id of the n-gram without its last word, or -1 for the beginning of the text, and the id "
    "of this word; all its words are known. It has up to 'ngrams' words, not counting the beginning. The id of an "
    "n-gram of characters of a token between < and >, known or not, is the number of words and pairs plus its place in "
    "'pieces'; 'sizes' are the smallest and the largest, and it is never the whole.",
    "'ids' are the different ids of each text, one text after the other, 'counts' how often each occurs in its text "
    "(no input if 'binary'), and 'offsets' the place of each text's first id, and at last the number of all ids.",
    "Predicted is the most probable label, or with 'multiLabel' each label above its threshold. The class Features in "
    "data/web/classifier.js of mlcore, with data/web/text.js, reads this file and finds the ids of texts.",
]


def vocabulary_json(model: Model) -> bytes:
    """The vocabulary and the rule for tokens, for readers in other languages."""
    found = {"schema": SCHEMA, "rule": RULE, "kinds": KINDS, **vocabulary(model)}
    return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


def onnx_model(model: Model) -> bytes:
    """The network as an ONNX file with standard operators.

    Inputs for n texts with m different features: ids (m,) int64; counts (m,) int64, unless each feature counts once;
    offsets (n + 1,) int64, from 0 to m: text i has the ids from offsets[i] to offsets[i + 1] - 1, or none. Outputs:
    logits (n, k) and probabilities (n, labels), or rating (n, 1), float32.

    Raises: DataError without the extra, or if the file would be too large for ONNX.
    """
    onnx, constants, nodes = optional("onnx", "onnx", "Writing ONNX"), constants_of(model), list[Any]()

    def add(operator: str, inputs: str, output: str, **attributes: Any) -> None:
        nodes.append(onnx.helper.make_node(operator, inputs.split(), [output], **attributes))

    add_texts(add)
    add_means(add, model)
    add_layers(add, model)
    used = {name for node in nodes for name in node.input}
    value, integers, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    inputs = {"ids": "m"} | ({} if model.settings.binary else {"counts": "m"}) | {"offsets": "n + 1"}
    outputs = {"logits": len(model.parameters.b2), "probabilities": len(model.labels)}
    outputs = outputs if model.labels else {"rating": 1}
    graph = onnx.helper.make_graph(
        nodes,
        "mlcore",
        [value(name, integers, [length]) for name, length in inputs.items()],
        [value(name, floats, ["n", width]) for name, width in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    versions = {"ir_version": IR_VERSION, "opset_imports": [onnx.helper.make_opsetid("", OPSET)]}
    made = onnx.helper.make_model(graph, producer_name="mlcore", **versions)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString(deterministic=True))


def constants_of(model: Model) -> dict[str, Any]:
    """The parameters, and the numbers that the nodes take.

    Raises: DataError if they are too large for ONNX.
    """
    found: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in stored_parameters(model).items()}
    if (size := found["table"].nbytes) > MAX_ONNX:
        problem = f"The embedding has {size / 1e9:.1f} GB, and ONNX files have up to {MAX_ONNX / 1e9:g}"
        raise DataError(f"{problem}; mlcore compress makes it smaller")
    integers = {"zero": 0, "one": 1, "last": -1, "end": 2**62, "width": model.settings.dim}
    low, high = model.seen or (0, 0)
    floats = {"single": 1, "step": model.compressed.step if model.compressed else 1, "low": low, "high": high}
    found |= {name: np.array([number]) for name, number in integers.items()}
    return found | {name: np.float32(number) for name, number in floats.items()}


def add_texts(add: Add) -> None:
    """Add which text each id belongs to, as ``texts`` (m,): the number of texts that end before it."""
    add("Slice", "offsets one end zero", "ends")
    add("Slice", "offsets zero last zero", "starts")
    add("Shape", "ends", "n")
    add("Shape", "ids", "m")
    add("Add", "m one", "places")
    add("Expand", "zero places", "no_ends")
    add("Expand", "one n", "ones")
    add("ScatterElements", "no_ends ends ones", "ended", axis=0, reduction="add")
    add("CumSum", "ended zero", "texts_and_end")
    add("Slice", "texts_and_end zero m zero", "texts")


def add_means(add: Add, model: Model) -> None:
    """Add the mean of the rows of each text's features, as ``E`` (n, dim)."""
    add("Gather", "table ids", "stored")
    add("CastLike", "stored single", "numbers")
    add("Mul", "numbers step", "rows")
    terms = "rows"
    if model.settings.binary:
        add("Sub", "ends starts", "sizes")
    else:
        terms = "weighted"
        add("Expand", "zero n", "no_sizes")
        add("ScatterElements", "no_sizes texts counts", "sizes", axis=0, reduction="add")
        add("CastLike", "counts single", "factors")
        add("Unsqueeze", "factors one", "factor_column")
        add("Mul", "rows factor_column", terms)
    add("Concat", "n width", "shape", axis=0)
    add("ConstantOfShape", "shape", "nothing")
    add("Unsqueeze", "texts one", "column")
    add("Shape", "rows", "shape_of_rows")
    add("Expand", "column shape_of_rows", "targets")
    add("ScatterElements", f"nothing targets {terms}", "sums", axis=0, reduction="add")
    add("CastLike", "sizes single", "lengths")
    add("Max", "lengths single", "divisors")
    add("Unsqueeze", "divisors one", "divisor_column")
    add("Div", "sums divisor_column", "E")


def add_layers(add: Add, model: Model) -> None:
    """Add the layers, and what their outputs mean."""
    add("Gemm", "E W1 b1", "Z", transB=1)
    add("Relu", "Z", "H")
    add("Gemm", "H W2 b2", "logits", transB=1)
    if not model.labels:
        add("Clip" if model.seen else "Identity", "logits low high" if model.seen else "logits", "rating")
    elif model.loss == losses.SOFTMAX:
        add("Softmax", "logits", "probabilities", axis=1)
    elif model.settings.multi_label:
        add("Sigmoid", "logits", "probabilities")
    else:
        add("Sigmoid", "logits", "positive")
        add("Sub", "single positive", "negative")
        add("Concat", "negative positive", "probabilities", axis=1)
