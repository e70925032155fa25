"""Logs on while other processes of the job, which log too, are killed in the middle of a line."""

import json
import os
import signal
import subprocess
import sys

import mlflow

LOG = os.path.join(os.environ["AMLRUN_TRACKING"], "log.jsonl")
KILLED = """
import os, signal, sys
handle = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(handle, b'{"metric":"torn","va')
os.kill(os.getpid(), signal.SIGKILL)
"""


def tear():
    assert subprocess.run([sys.executable, "-c", KILLED, LOG]).returncode == -signal.SIGKILL


with mlflow.start_run() as run:
    tear()
    mlflow.log_metric("mse", 1.5)
    tear()
    mlflow.log_param("alpha", 0.1)
    mlflow.log_metric("mse", 2.5, step=1)

data = mlflow.get_run(run.info.run_id).data
with open(sys.argv[1], "w") as out:
    json.dump({"metrics": data.metrics, "params": data.params}, out)
