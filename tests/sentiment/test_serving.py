"""``mlcore serve``: the answers of the command line over HTTP, whatever clients send, and while files are replaced."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from urllib.request import urlopen

import pytest
from conftest import REPOSITORY, axe_findings
from naive import KINDS, TWO, random_model
from test_report import EVIL

from mlcore.errors import InputError
from mlcore.sentiment.model_file import save_model

pytest.importorskip("uvicorn", reason="it is in mlcore[serve]")
HTTPException = pytest.importorskip("starlette.exceptions").HTTPException
JSON = "application/json"
TEXTS = ["A good, warm film.", "bad plot", "", "x \ud800 <b>\u202e", "good " * 900]
LONG = " ".join(f"{word}{i}" for i in range(1500) for word in ("good", "bad"))[:20_000]
EXPLAINED = json.dumps({"text": LONG}).encode()


class Client:
    """Requests to one server."""

    def __init__(self, process):
        for line in process.stderr:
            if found := re.search(r"on http://127\.0\.0\.1:(\d+); Ctrl-C", line):
                break
        self.process, self.port = process, int(found[1])

    def ask(self, path, body=None, method=None):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method or ("GET" if body is None else "POST"), path, body)
        return self.answer(connection)

    def begin(self, path, body, length):
        """A request that the server has begun to read, with the beginning of its body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", path, headers={"Content-Length": length, "Expect": "100-continue"})
        connection.sock.recv(1, socket.MSG_PEEK)  # of "100 Continue", which getresponse() skips
        connection.send(body)
        return connection

    @staticmethod
    def answer(connection):
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content) if response.headers["Content-Type"] == JSON else content.decode()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1], self.process.returncode


@pytest.fixture
def serve(start):
    """Start servers."""
    processes = []

    def call(*arguments):
        processes.append(start("serve", *arguments, "--port", 0))
        return Client(processes[-1])

    yield call
    for process in processes:
        process.kill()
        process.communicate()


REFUSED = {
    b"": "is not JSON", b"{": "is not JSON", b"\xff": "is not JSON", b"[" * 99_999: "is not JSON",
    b"[1]": "the body is of type list; expected an object", b'{"text": 5}': "texts[0] is 5; expected a text.",
    b'{"txt": "a"}': "'txt' is not a field; expected text, texts, top, threshold, otherwise.",
    b'{"text": null}': "either text or texts", b'{"text": "a", "texts": []}': "either text or texts",
    b'{"texts": ["a", 1]}': "texts[1] is 1;", b'{"text": "%b"}' % (b"a" * 100_001): "has 100,001 characters",
    b'{"texts": [%b"a"]}' % (b'"a",' * 1000): "expected at most 1,000 texts; got 1,001.",
    b'{"text": "a", "top": 0}': "top is 0;", b'{"text": "a", "top": "1"}': "top is '1'; expected a whole number",
    b'{"text": "a", "top": true}': "top is True;", b'{"text": "a", "threshold": true}': "threshold is True;",
    b'{"texts": "a"}': "expected a list of texts", b'{"text": "a", "otherwise": []}': "otherwise is []; expected",
    b'{"text": "a", "threshold": 1e999}': "threshold is inf;", b'{"text": "a", "otherwise": "?"}': "needs a threshold",
}  # fmt: skip


def test_requests_are_answered_as_on_the_command_line_or_refused_with_a_reason(run, serve, model):
    client = serve(model)
    printed = run("predict", model, "--json", *(part for text in TEXTS[:3] for part in ("--text", text))).out
    expected = [json.loads(line) for line in printed.splitlines()]
    status, found = client.ask("/predict", {"texts": TEXTS})
    assert (status, found["schema"]) == (200, "mlcore.predictions/1")
    assert [one | {"schema": "mlcore.predict/1", "undecodable": False} for one in found["predictions"][:3]] == expected
    assert [client.ask("/predict", {"text": text})[1]["predictions"] for text in TEXTS] == [
        [one] for one in found["predictions"]
    ]
    options = {"top": 1, "threshold": 0.9, "otherwise": "?"}
    for one in client.ask("/predict", {"texts": TEXTS, **options})[1]["predictions"]:
        ((label, probability),) = one["probabilities"].items()
        assert (one["probability"], one["label"]) == (probability, label if probability >= 0.9 else "?")
    found = client.ask("/explain", {"text": TEXTS[0], "output": "neg"})[1]
    assert found == json.loads(run("explain", model, TEXTS[0], "--output", "neg", "--json").out)
    assert all(client.ask("/", {"text": text})[0] == 200 for text in TEXTS)
    assert client.ask("/", {"texts": TEXTS})[1]["error"].startswith("'texts' is not a field; expected text, output")
    with urlopen(f"http://127.0.0.1:{client.port}/", b'{"text": "good"}') as shown:
        assert "default-src 'none'" in shown.headers["Content-Security-Policy"], "it may be opened as a document"
    assert client.ask("/health")[1]["labels"] == 2

    for body, problem in REFUSED.items():
        status, answer = client.ask("/predict", body)
        assert (status, list(answer), problem in answer["error"]) == (422, ["error"], True), (body[:40], answer)
    assert "expected one of" in client.ask("/explain", {"text": "a", "output": "x"})[1]["error"]
    assert "20,000 characters" in client.ask("/explain", {"text": LONG + "and so on"})[1]["error"]
    assert client.ask("/predict", b"a" * 8_000_001)[0] == 413
    for path, method, code in (("/none", "GET", 404), ("/predict", "GET", 405), ("/health", "POST", 405)):
        status, answer = client.ask(path, method=method)
        assert (status, "/openapi.json" in answer["error"]) == (code, True)
    description = client.ask("/openapi.json")[1]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            example = content["application/json"]["example"] if content else None
            assert client.ask(path, example, method.upper())[0] == 200

    text = (REPOSITORY / "cli" / "README.md").read_text()
    ((path, body, answer),) = re.findall(r"^\$ curl http://127.0.0.1:8000(\S+) -d '(.*)'\n(.*)$", text, re.MULTILINE)
    found, shown = client.ask(path, body)[1], json.loads(answer)
    assert (list(found), list(found["predictions"][0])) == (list(shown), list(shown["predictions"][0]))

    # a client that never ends its request, and those that leave: nobody else waits, and nothing is logged
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"
    with ExitStack() as slow:
        for i in range(90):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", client.port)))
            connection.sendall(head[: 10 + i])
            if i % 3:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
                connection.close()
        assert client.ask("/health")[0] == 200
    running = client.begin("/explain", EXPLAINED, len(EXPLAINED))
    assert client.stop() == ("mlcore: stopped.\n", 0)
    assert client.answer(running)[0] == 200, "what was running is finished"


def test_a_replaced_file_is_taken_up_without_a_lost_request(serve, tmp_path):
    path, new = tmp_path / "m.safetensors", tmp_path / "new.safetensors"
    save_model(random_model(1, TWO), path)
    client, codes, done = serve(path, "--workers", 2), [], threading.Event()

    def keep_asking():
        while not done.wait(0.02):
            codes.append(client.ask("/predict", {"text": "good film"})[0])

    def wait_for(condition):
        """What the two workers say of the file when both meet the condition."""
        deadline, said = time.monotonic() + 90, {}
        while not (len(said) == 2 and all(map(condition, said.values()))):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
            found = client.ask("/health")[1]
            said[found.pop("process")] = found
        return next(iter(said.values()))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda found: found["labels"] == 2)
        save_model(random_model(2, ("a", "b", "c")), new)
        os.utime(new, (2_000_000_000, 2_000_000_000))
        os.replace(new, path)
        before = wait_for(lambda found: found["labels"] == 3)
        assert (before["modified"], before["problem"]) == ("2033-05-18T03:33:20Z", None)
        path.write_bytes(path.read_bytes()[:-99])
        after = wait_for(lambda found: found["problem"])
        assert after == before | {"problem": after["problem"]}
        assert after["problem"].startswith("ModelFileError: m.safetensors is"), "without the folders"
        os.mkfifo(new)
        os.replace(new, path)
        assert "is a pipe" in wait_for(lambda found: found["problem"] != after["problem"])["problem"]
        assert set(client.ask("/predict", {"text": "good"})[1]["predictions"][0]["probabilities"]) == {"a", "b", "c"}
    finally:
        done.set()
        for thread in threads:
            thread.join()
    said, code = client.stop(signal.SIGINT)
    assert (code, set(codes)) == (0, {200})
    assert "was replaced, and cannot be used: the earlier model answers on." in said
    assert "Traceback" not in said


def test_what_is_too_much_or_too_slow(monkeypatch):
    from mlcore import serving

    class Stalled:
        async def stream(self):
            yield b"{"
            await asyncio.sleep(60)

    monkeypatch.setattr(serving, "PATIENCE", 0.01)
    with pytest.raises(HTTPException, match="408: The body did not arrive within 0.01 seconds"):
        asyncio.run(asyncio.wait_for(serving.body_of(Stalled()), 5))

    async def cancelled():
        done = threading.Event()
        task = asyncio.create_task(serving.in_thread(done.wait))
        await asyncio.sleep(0)  # until the task has begun
        task.cancel()
        done.set()
        await task

    with pytest.raises(HTTPException, match="503: The server stops"):
        asyncio.run(cancelled())
    monkeypatch.setattr(serving, "MAX_PROBABILITIES", 4)
    with pytest.raises(InputError, match="expected at most 2 texts for 2 labels; got 3"):
        serving.predictions(random_model(1), ["a"] * 3, {})


def test_a_second_ctrl_c_ends_without_waiting_or_tracebacks(serve, model):
    client = serve(model)
    explained = client.begin("/explain", EXPLAINED, len(EXPLAINED))
    unfinished = client.begin("/predict", b"{", 99)
    client.process.send_signal(signal.SIGINT)
    with suppress(ConnectionError):  # until the server has seen the signal
        while True:
            client.ask("/health")
    assert client.stop(signal.SIGINT) == ("mlcore: stopped.\n", 0)
    assert client.answer(explained)[0] in (200, 503)
    assert client.answer(unfinished) == (503, {"error": "The server stops; send the request again."})


SHOWN = {  # by models: what the page says of a text
    "two": ["neg ", "3 of 3 words known"], "three": ["Most probable labels", "Why"],
    "several": ["Most probable labels"], "ratings": ["for a higher rating"],
}  # fmt: skip


def opened(serve, visit, model, text):
    """A server of this model, and its page, into which this text has been typed."""
    client = serve(model)
    page = visit(f"http://127.0.0.1:{client.port}/", 390)
    page.fill("#text", text)
    page.wait_for_selector("#answer table")
    return client, page


@pytest.mark.parametrize("kind", SHOWN)
def test_the_page_shows_what_the_server_answers(serve, visit, tmp_path, kind):
    save_model(KINDS[kind](), tmp_path / "m")
    _, page = opened(serve, visit, tmp_path / "m", f"bad film, {EVIL}" if kind == "three" else "bad film !")
    found = page.inner_text("#answer")
    assert [text for text in SHOWN[kind] if text not in found] == []
    assert page.locator("script").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert axe_findings(page) == []
    if kind == "three":
        page.select_option("#label", "1")
        page.wait_for_selector("#answer .muted >> text=count for b")


def test_the_page_says_why_a_text_has_no_answer(serve, visit, model):
    client, page = opened(serve, visit, model, "bad film")
    page.fill("#text", "good " * 5_000)
    page.wait_for_selector("#answer >> text=predicted, but not explained")
    page.fill("#text", "a" * 100_001)
    page.wait_for_selector("#answer >> text=has 100,001 characters; expected at most 100,000")
    page.route("**", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad gateway</h1>"))
    page.fill("#text", "bad")
    page.wait_for_selector("#answer >> text=The server gave no proper answer (status 502).")
    page.unroute("**")
    page.fill("#text", "  ")
    page.wait_for_selector("#answer:empty", state="attached")
    client.stop()
    page.fill("#text", "good")
    page.wait_for_selector("#answer >> text=The server cannot be reached; it may have been stopped.")


def test_what_keeps_a_server_from_starting_is_said(run, model, monkeypatch):
    from mlcore.serving import listen

    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "else each answer waits 40 ms"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", model, "--port", port)
    assert (done.code, done.out) == (5, "")
    expected = f"cannot listen on 127.0.0.1, port {port} (Address already in use); choose another host or port."
    assert done.err == f"mlcore: {expected}\n"
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("serve", model)
    assert (done.code, done.err) == (3, "mlcore: mlcore serve needs an extra: pip install 'mlcore[serve]'.\n")
