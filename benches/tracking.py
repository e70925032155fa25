"""100,000 `log_metric` calls through MLflow's own client: against amlrun, and against MLflow's own server, in the same run.

    python3 -m venv venv && venv/bin/pip install mlflow
    cargo build --release
    venv/bin/python benches/tracking.py            # a table for docs/mlflow.md

Of amlrun the time of its own process is counted (`/proc/PID/stat`), of MLflow's server that of all its processes, while the
client logs. The server keeps runs in SQLite and has as many workers as `--workers` says.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
SCRIPT = """
import json, os, sys, time
import mlflow
calls = int(sys.argv[1])
with mlflow.start_run():
    mlflow.log_metric("warm", 1.0)
    began, cpu = time.time(), time.process_time()
    watch = [int(pid) for pid in os.environ.get("WATCH", "").split()] or [os.getppid()]
    ticks = lambda: sum(sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) for pid in watch)
    before = ticks()
    for step in range(calls):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    seen = {"seconds": time.time() - began, "client": time.process_time() - cpu, "ticks": ticks() - before}
json.dump(seen, open(sys.argv[2], "w"))
"""


def amlrun(program, folder, calls):
    """What the client took with amlrun; the job's parent is amlrun itself."""
    (folder / "log.py").write_text(SCRIPT)
    (folder / "Amlfile").write_text(
        "format = 1\n[environments.py]\nuser_managed = true\n"
        f"interpreter = {json.dumps(sys.executable)}\nvariables = {{ MLFLOW_DISABLE_TELEMETRY = \"true\" }}\n"
        "[experiments.log]\nscript = \"log.py\"\nsources = [\"log.py\"]\nenvironment = \"py\"\n"
        f"arguments = [\"{calls}\", \"seen.json\"]\noutputs = [\"seen.json\"]\n"
    )
    subprocess.run([program, "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run([program, "runs", "show", "log", "--json"], cwd=folder, check=True, capture_output=True)
    points = json.loads(shown.stdout)["logged"]["series"]["loss"]
    assert len(points) == calls, f"{len(points)} of {calls} points are on record"
    return json.loads((folder / "seen.json").read_text())


def family(pid):
    """A process and all below it."""
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += family(int(child))
    return found


def server(folder, calls, workers):
    """What the client took with MLflow's own server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    quiet = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    process = subprocess.Popen(command, cwd=folder, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        until = time.time() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except OSError:
                if time.time() > until:
                    raise
                time.sleep(0.2)
        (folder / "log.py").write_text(SCRIPT)
        watch = " ".join(map(str, family(process.pid)))
        variables = dict(quiet, MLFLOW_TRACKING_URI=address, WATCH=watch)
        subprocess.run([sys.executable, "log.py", str(calls), "seen.json"], cwd=folder, env=variables, check=True,
                       stdout=subprocess.DEVNULL)
        return json.loads((folder / "seen.json").read_text())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main():
    here = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser()
    parser.add_argument("--amlrun", default=str(here / "target/release/amlrun"))
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--server-calls", type=int, help="fewer calls for MLflow's server, which is slower")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for name in ("amlrun", "MLflow's server"):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            calls = options.calls
            if name == "amlrun":
                seen = amlrun(options.amlrun, folder, calls)
            else:
                calls = options.server_calls or calls
                seen = server(folder, calls, options.workers)
        own = seen["ticks"] / TICKS
        rows.append((name, calls, seen["seconds"], calls / seen["seconds"], seen["client"], own, own / seen["client"]))
    print("| | calls | seconds | calls a second | CPU of the client | CPU of the server | of the client's |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, calls, seconds, rate, client, own, part in rows:
        print(f"| {name} | {calls:,} | {seconds:.1f} | {rate:,.0f} | {client:.1f} s | {own:.1f} s | {part:.0%} |")


if __name__ == "__main__":
    main()
