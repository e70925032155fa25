import json
import os
import signal
import subprocess
import sys
import urllib.request

from azureml.core import Run

LOG = os.path.join(os.environ["AMLRUN_TRACKING"], "log.jsonl")
# Writes half a line, and is killed before the other half.
KILLED = """
import os, signal, sys
handle = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(handle, b'{"metric":"torn","va')
os.kill(os.getpid(), signal.SIGKILL)
"""


def tear():
    ended = subprocess.run([sys.executable, "-c", KILLED, LOG])
    assert ended.returncode == -signal.SIGKILL, ended


def through_server(endpoint, **fields):
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + endpoint)
    request.add_header("Authorization", "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"])
    request.add_header("Content-Type", "application/json")
    fields["run_id"] = os.environ["MLFLOW_RUN_ID"]
    with urllib.request.urlopen(request, json.dumps(fields).encode()) as answer:
        return json.load(answer)


run = Run.get_context()
tear()
through_server("runs/log-metric", key="server", value=1, timestamp=0)
tear()
run.log("sdk", 2)
tear()
through_server("runs/log-parameter", key="alpha", value="0.1")
run.log("sdk", 3)
print(run.get_metrics())
