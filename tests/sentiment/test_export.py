"""``mlcore export``: ONNX Runtime computes what Python does, from what a reader in another language finds in texts."""

import json
import sys

import numpy as np
import pytest
from conftest import run_in_node
from naive import FILES, KINDS, WORDS, random_model
from test_page import texts

from mlcore.sentiment.export import onnx_model, vocabulary_json
from mlcore.sentiment.prediction import predict
from mlcore.text.tokenizer import tokens

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: it is in mlcore[test]")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: it is in mlcore[test]")

MODELS = FILES | {"any ratings": lambda: random_model(4, ())}
READ = """([vocabulary, texts]) => {
  const features = new Features(vocabulary);
  return texts.map((text) => {
    const tokens = features.tokenizer.tokens(text);
    return [tokens, Array.from(features.counts(features.occurrences(tokens)))];
  });
}"""


def session(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def compare(model, started, given, ids, counts, offsets):
    """Outputs of ONNX Runtime with those of Python for the same texts."""
    feed = {"ids": ids.astype(np.int64), "counts": counts.astype(np.int64), "offsets": offsets.astype(np.int64)}
    feed = {name: feed[name] for name in (one.name for one in started.get_inputs())}
    assert ("counts" in feed) == (not model.settings.binary)
    found = dict(zip((one.name for one in started.get_outputs()), started.run(None, feed), strict=True))
    expected = predict(model, given)
    if not model.labels:
        assert found.keys() == {"rating"}
        return np.testing.assert_allclose(found["rating"], expected.outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["logits"], expected.outputs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_onnx_runtime_computes_what_python_does(kind):
    model, given = MODELS[kind](), [*texts(1999), "", *[" ".join(WORDS * 50)] * 2]
    content = onnx_model(model)
    assert content == onnx_model(model)
    made = onnx.load_from_string(content)
    onnx.checker.check_model(made, full_check=True)
    assert {(one.domain, one.version) for one in made.opset_import} == {("", 17)}
    started = session(content)
    assert started.get_modelmeta().producer_name == "mlcore"
    for some in (given, given[:1], [""], ["", ""], ["", "good", ""], [], ["good film not good"] * 3):
        ids, counts, offsets = model.features.documents(some)
        compare(model, started, some, ids, np.broadcast_to(counts, ids.shape), offsets)


@pytest.mark.parametrize("kind", ["two", "three"])
def test_a_reader_in_another_language_finds_the_same_ids(kind):
    model, given = KINDS[kind](), texts(300)
    vocabulary = json.loads(vocabulary_json(model))
    assert (vocabulary["schema"], vocabulary["labels"]) == ("mlcore.vocabulary/1", list(model.labels))
    read = run_in_node(("text", "layers", "classifier"), READ, [vocabulary, given])
    assert [one[0] for one in read] == [tokens(text) for text in given]
    ids, counts = np.array([pair for _, found in read for pair in found]).reshape(-1, 2).T
    offsets = np.cumsum([0, *(len(found) for _, found in read)])
    compare(model, session(onnx_model(model)), given, ids, counts, offsets)


def test_what_is_too_large_or_needs_the_extra_is_refused(run, model, tmp_path, monkeypatch):
    assert len(onnx_model(KINDS["compressed"]())) < len(onnx_model(KINDS["two"]()))
    monkeypatch.setattr("mlcore.sentiment.export.MAX_ONNX", 10)
    done = run("export", model, "-o", "m.onnx")
    assert (done.code, "mlcore compress makes it smaller" in done.err) == (3, True), done.err
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = run("export", model, "-o", "m.onnx")
    assert (done.code, "pip install 'mlcore[onnx]'" in done.err) == (3, True)
    assert not any(tmp_path.glob("m.*"))
