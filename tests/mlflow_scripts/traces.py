"""What a script traces, and what it is told of it."""

import json
import sys

import mlflow
from mlflow.exceptions import MlflowException


@mlflow.trace
def inner(x):
    return {"twice": 2 * x}


@mlflow.trace(name="outer", attributes={"kind": "test"})
def outer(x):
    mlflow.update_current_trace(tags={"own": "tag"})
    return inner(x)["twice"] + 1


@mlflow.trace
def fails():
    raise ValueError("no")


def told(id):
    trace = mlflow.get_trace(id)
    return {
        "state": trace.info.state.value,
        "previews": [trace.info.request_preview, trace.info.response_preview],
        "tags": {k: v for k, v in sorted(trace.info.tags.items()) if not k.startswith("mlflow.") or k == "mlflow.traceName"},
        "of the run": trace.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id,
        "spans": [[s.name, s.inputs, s.outputs, s.status.status_code.value, s.get_attribute("kind")] for s in trace.data.spans],
    }


with mlflow.start_run() as run:
    mlflow.log_metric("m", outer(20))
    first = mlflow.get_last_active_trace_id()
    try:
        fails()
    except ValueError:
        pass
    second = mlflow.get_last_active_trace_id()
    mlflow.flush_trace_async_logging()
    seen = {"first": told(first), "second": told(second)}
    try:
        seen["none"] = mlflow.MlflowClient().get_trace("tr-" + "0" * 32) is None
    except MlflowException as error:
        seen["none"] = error.error_code
with open(sys.argv[1], "w") as file:
    json.dump(seen, file, indent=1, sort_keys=True)
