"""``mlcore export``: a model for programs in other languages."""

from pathlib import Path
from typing import Annotated

from mlcore.errors import InputError
from mlcore.files import check_outputs

from .dataset import path_option
from .output import ModelFile, compilation, load, write_output

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
    from mlcore.sentiment.export import onnx_model, vocabulary_json

    if output.suffix.lower() != ".onnx":
        raise InputError("expected a name that ends with .onnx", parameter="output", value=str(output))
    beside = output.with_suffix(".json")
    check_outputs({"output": output}, [model], {"output": ONNX})
    check_outputs({"output": beside}, [model, output], {"output": VOCABULARY})
    with compilation():
        loaded = load(model)
        contents = {output: onnx_model(loaded), beside: vocabulary_json(loaded)}
    for path, content in contents.items():
        write_output(path, content)
