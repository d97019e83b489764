"""``mlcore serve`` under load, against the same model behind FastAPI by hand, and under fire: python serving.py MODEL.

It needs hey (apt-get install hey), FastAPI (pip install fastapi), and Linux, whose /proc tells times and memory.
"""

import argparse
import csv
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

TEXT = "A warm, funny film with a great cast, but the plot is thin and it drags in the middle."
BODY = json.dumps({"text": TEXT})
CONNECTIONS = (1, 16, 128)
BY_HAND = """
import os
from fastapi import FastAPI
from pydantic import BaseModel
from mlcore import SentimentClassifier

model = SentimentClassifier.load(os.environ["MODEL"])
labels = list(map(str, model.classes_))
app = FastAPI()

class Request(BaseModel):
    text: str

@app.post("/predict")
def predict(request: Request):
    probabilities = dict(zip(labels, model.predict_proba([request.text])[0].tolist()))
    label = max(probabilities, key=probabilities.get)
    return {"label": label, "probability": probabilities[label], "probabilities": probabilities}
"""
BROKEN = (
    b"",
    b"{",
    b"\xff",
    b"[" * 10_000,
    b'{"text": 5}',
    b'{"texts": ["a", 1]}',
    b'{"text": "\\ud800"}',
    b"a" * 9_000_000,
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, port, **options):
    """A server as a process, from when it answers."""
    process = subprocess.Popen([sys.executable, "-m", *map(str, command), "--port", str(port)], **options)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"{command} ended"
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def processor_seconds(process):
    """Time on the processor so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def load(port, connections, seconds):
    """Requests per second, the 99th percentile of the seconds of one, and the status codes."""
    url = f"http://127.0.0.1:{port}/predict"
    command = [
        "hey",
        "-z",
        f"{seconds}s",
        "-c",
        connections,
        "-o",
        "csv",
        "-m",
        "POST",
        "-T",
        "application/json",
        "-d",
        BODY,
        url,
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    times = sorted(float(row["response-time"]) for row in rows)
    return len(rows) / seconds, times[int(0.99 * (len(times) - 1))], Counter(row["status-code"] for row in rows)


def throughput(servers, rounds, seconds):
    """Both servers in turn, at each number of connections."""
    for connections in CONNECTIONS:
        for _, port in servers.values():
            load(port, connections, 1)
        found = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (process, port) in servers.items():
                before = processor_seconds(process)
                rate, late, codes = load(port, connections, seconds)
                assert set(codes) == {"200"}, codes
                found[name].append((rate, late, (processor_seconds(process) - before) / (rate * seconds)))
        for name, rows in found.items():
            rate, late, busy = map(statistics.median, zip(*rows, strict=True))
            print(f"{connections:4} {name:16} {rate:8.0f} requests/s   99%: {late * 1e3:6.1f} ms", end="   ")
            print(f"processor: {busy * 1e3:.2f} ms each")


def send(port, *parts, pause=0.0, reset=False):
    """Send parts of a request, and read the status code of the answer, or leave with a reset."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return "left"
        return connection.recv(99).split()[1].decode()


def fire(process, port, model, minutes):
    """Load, slow clients, broken requests, clients that leave, and new files, until the time is over."""
    codes, memory, end = Counter(), [], time.monotonic() + 60 * minutes

    def attack():
        number = 0
        while time.monotonic() < end:
            number += 1
            body = BROKEN[number % len(BROKEN)] if number % 3 else BODY.encode()
            head = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (
                (b"predict", b"explain")[number % 2],
                len(body),
            )
            whole, slow = head + body, number % 50 == 0
            parts = [whole[i : i + 20] for i in range(0, 400, 20)] if slow else [whole[: 1 + number * 37 % len(whole)]]
            try:
                leave = number % 5 < 3
                codes[send(port, *(parts if leave or slow else [whole]), pause=0.1 * slow, reset=leave)] += 1
            except (OSError, IndexError):
                codes["no answer"] += 1  # the server closes after the answer that a body is too large

    def ask():
        while time.monotonic() < end:
            for code, n in load(port, 16, 5)[2].items():
                codes[f"load {code}"] += n

    threads = [threading.Thread(target=target) for target in (attack, attack, ask)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(min(10, max(0, end - time.monotonic())))
        memory.append(round(resident_megabytes(process)))
        shutil.copyfile(model, model.with_suffix(".new"))
        os.replace(model.with_suffix(".new"), model)
    for thread in threads:
        thread.join()
    print(f"under fire for {minutes:g} minutes: {dict(sorted(codes.items()))}\nmemory in MB, every 10 s: {memory}")
    assert not any(code.removeprefix("load ").startswith("5") for code in codes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, ports = Path(folder, "model.safetensors"), (free_port(), free_port())
        shutil.copyfile(given.model, model)
        Path(folder, "by_hand.py").write_text(BY_HAND)
        by_hand = {"cwd": folder, "env": os.environ | {"MODEL": str(model)}}
        with (
            running(["mlcore", "serve", model], ports[0]) as ours,
            running(
                ["uvicorn", "by_hand:app", "--no-access-log", "--log-level", "error"], ports[1], **by_hand
            ) as theirs,
        ):
            throughput(
                {"mlcore serve": (ours, ports[0]), "FastAPI by hand": (theirs, ports[1])}, given.rounds, given.seconds
            )
        with running(["mlcore", "serve", model], ports[0], stderr=subprocess.PIPE, text=True) as ours:
            fire(ours, ports[0], model, given.minutes)
        log = ours.communicate()[1]
        print(f"the log has {len(log.splitlines())} lines, and {log.count('Traceback')} tracebacks")


if __name__ == "__main__":
    main()
