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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

TEXT = "A warm, funny film with a great cast, but the plot is thin and it drags in the middle."
BODY = json.dumps({"text": TEXT})
CONNECTIONS, KILLS, SLOW, REQUESTS = (1, 16, 128), 1000, 20, 1600
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
BROKEN = b"", b"{", b"\xff", b"[" * 10_000, b'{"text": 5}', b'{"texts": ["a", 1]}', b'{"text": NaN}'


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


def load(port, connections, *amount):
    """Seconds of each answer to so many requests (-n 1000), or for so long (-z 10s), and the status codes."""
    url = f"http://127.0.0.1:{port}/predict"
    request = ["-c", connections, "-o", "csv", "-m", "POST", "-T", "application/json", "-d", BODY, url]
    done = subprocess.run(["hey", *map(str, (*amount, *request))], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    return sorted(float(row["response-time"]) for row in rows), Counter(row["status-code"] for row in rows)


def throughput(servers, rounds, seconds):
    """Both servers in turn, at each number of connections, as rows of a table."""
    print(f"| connections | {' | '.join(servers)} |\n|---|---|---|")
    for connections in CONNECTIONS:
        for _, port in servers.values():
            load(port, connections, "-z", "1s")
        found = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (process, port) in servers.items():
                before = processor_seconds(process)
                times, codes = load(port, connections, "-z", f"{seconds}s")
                assert set(codes) == {"200"}, codes
                late, busy = times[int(0.99 * (len(times) - 1))], processor_seconds(process) - before
                found[name].append((len(times) / seconds, 1e3 * late, 1e3 * busy / len(times)))
        medians = [map(statistics.median, zip(*rows, strict=True)) for rows in found.values()]
        cells = ["{:,.0f} requests/s, 99 %: {:.0f} ms, processor {:.1f} ms".format(*figures) for figures in medians]
        print(f"| {connections} | {' | '.join(cells)} |", flush=True)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def status(connection):
    """The status code of an answer."""
    return connection.recv(99).split()[1].decode()


def fire(process, port, model, minutes):
    """Load, slow clients, broken requests, at least KILLS clients that leave, and new files, until the time is over."""
    counts, memory, end = Counter(), [round(resident_megabytes(process))], time.monotonic() + 60 * minutes

    def request(body, number):
        path = (b"predict", b"explain")[number % 2]
        return b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)

    def leave(number):
        time.sleep(0.02)
        whole = request(BROKEN[number % len(BROKEN)] if number % 3 else BODY.encode(), number)
        with connect(port) as connection:
            connection.sendall(whole[: 1 + number * 37 % (len(whole) - 1)])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        return {("clients that leave in the middle", "none"): 1}

    def drip(number):
        whole = request(BODY.encode(), number)
        with ExitStack() as stack:
            connections = [stack.enter_context(connect(port)) for _ in range(SLOW)]
            for i in range(0, len(whole), 20):
                for connection in connections:
                    connection.sendall(whole[i : i + 20])
                time.sleep(0.2)
            return Counter(("slow clients", status(connection)) for connection in connections)

    def spoil(number):
        is_large = number % 10 == 0
        time.sleep(0.05)
        try:
            with connect(port) as connection:
                connection.sendall(request(b"a" * 9_000_000 if is_large else BROKEN[number % len(BROKEN)], number))
                return {("too large requests" if is_large else "broken requests", status(connection)): 1}
        except (OSError, IndexError):
            if is_large:  # the server closes once it has answered, which the client may not see while it sends
                return {("too large requests", "closed"): 1}
            raise

    def ask(number):
        codes = load(port, 16, "-n", REQUESTS)[1]
        return {("load at 16 connections", code): n for code, n in (codes | {"lost": REQUESTS - codes.total()}).items()}

    def repeat(work):
        number = 0
        while time.monotonic() < end or (work is leave and number < KILLS):
            number += 1
            try:
                counts.update(work(number))
            except (OSError, IndexError) as error:
                counts[work.__name__, f"lost: {error!r}"] += 1

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (leave, drip, spoil, ask)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(min(10, max(0, end - time.monotonic())))
        memory.append(round(resident_megabytes(process)))
        shutil.copyfile(model, model.with_suffix(".new"))
        os.replace(model.with_suffix(".new"), model)
    for thread in threads:
        thread.join()
    print(f"\n| under fire for {minutes:g} minutes | number | answers |\n|---|---|---|")
    for name in sorted({name for name, _ in counts}):
        found = {code: n for (what, code), n in sorted(counts.items()) if what == name and n}
        print(f"| {name} | {sum(found.values()):,} | {', '.join(f'{code}: {n:,}' for code, n in found.items())} |")
    print(f"| new files | {len(memory) - 1} | |\nmemory in MB, every 10 s: {memory}")
    assert not any(code.startswith(("5", "lost")) for (_, code), n in counts.items() if n), counts


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
        options = {"cwd": folder, "env": os.environ | {"MODEL": str(model)}}
        by_hand = ["uvicorn", "by_hand:app", "--no-access-log", "--log-level", "error"]
        with running(["mlcore", "serve", model], ports[0]) as ours, running(by_hand, ports[1], **options) as theirs:
            servers = {"mlcore serve": (ours, ports[0]), "FastAPI by hand": (theirs, ports[1])}
            throughput(servers, given.rounds, given.seconds)
        with running(["mlcore", "serve", model], ports[0], stderr=subprocess.PIPE, text=True) as ours:
            fire(ours, ports[0], model, given.minutes)
        log = ours.communicate()[1]
        print(f"the log has {len(log.splitlines())} lines, and {log.count('Traceback')} tracebacks")


if __name__ == "__main__":
    main()
