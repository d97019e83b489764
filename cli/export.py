"""``mlcore export``: a model for programs in other languages."""

from pathlib import Path
from typing import Annotated

from mlcore.errors import InputError
from mlcore.files import check_outputs
from mlcore.sentiment import export as exporting

from .options import ModelFile, path_option
from .output import compilation, load, write_output

ONNX, VOCABULARY = rb"\x12\x06mlcore", rb'"schema": "mlcore\.vocabulary/'  # what files of these kinds have


def export(
    model: ModelFile,
    output: Annotated[Path, path_option("Where to write it: a name that ends with .onnx.", "--output", "-o")],
) -> None:
    """Example: mlcore export sentiment.safetensors -o sentiment.onnx

    Write the network as ONNX, for ONNX Runtime and others, and beside it, as
    .json, the vocabulary with the rule for tokens, for readers in any language.
    Inputs are the ids of the features of all texts and the offsets of the
    texts in them, outputs logits and probabilities. It needs mlcore[onnx].
    """
    if output.suffix.lower() != ".onnx":
        raise InputError("expected a name that ends with .onnx", parameter="output", value=str(output))
    beside = output.with_suffix(".json")
    check_outputs([model], output=(output, ONNX))
    check_outputs([model, output], output=(beside, VOCABULARY))
    with compilation():
        loaded = load(model)
        contents = {output: exporting.onnx_model(loaded), beside: exporting.vocabulary_json(loaded)}
    for file, content in contents.items():
        write_output(file, content)
