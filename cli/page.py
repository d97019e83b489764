"""``mlcore page``: a model in one HTML file that works in every browser, without a network or a server."""

from mlcore.files import check_outputs

from .output import PAGE, ModelFile, Output, compilation, load, write_output


def page(model: ModelFile, output: Output) -> None:
    """Example: mlcore page sentiment.safetensors -o demo.html

    Write a web page that holds the model: it predicts what is typed, pasted or
    dropped as a CSV file, and shows the exact contribution of every word. It is
    one file, which needs neither a network nor a server, and opens on phones.
    """
    from mlcore.sentiment.page import classifier_page

    check_outputs({"output": output}, [model], {"output": PAGE})
    with compilation():
        content = classifier_page(load(model), model.name).encode()
    write_output(output, lambda file: file.write(content))
