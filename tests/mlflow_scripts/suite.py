"""What scripts do with mlflow, and what they are told: the same under amlrun and with MLflow's own server."""

import json
import math
import os
import sys

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

seen = {}
client = MlflowClient()


def see(name, value):
    seen[name] = value


def run(data):
    return {
        "name": data.info.run_name,
        "status": data.info.status,
        "user": data.info.user_id,
        "stage": data.info.lifecycle_stage,
        "ended": data.info.end_time is not None,
        "metrics": {k: repr(v) for k, v in sorted(data.data.metrics.items())},
        "params": dict(sorted(data.data.params.items())),
        "tags": dict(sorted(data.data.tags.items())),
        "datasets": [
            [d.dataset.name, d.dataset.digest, d.dataset.source_type, [[t.key, t.value] for t in d.tags]]
            for d in data.inputs.dataset_inputs
        ],
        "uri": data.info.artifact_uri.split("/")[0],
    }


def refused(name, act):
    try:
        act()
        see(name, "not refused")
    except MlflowException as error:
        see(name, [error.error_code, str(error).split("\n")[0][:60]])


def series(id, name):
    return [[m.key, repr(m.value), m.step] for m in client.get_metric_history(id, name)]


mlflow.set_experiment("diabetes")
see("experiment", mlflow.get_experiment_by_name("diabetes").name)
see("no experiment", mlflow.get_experiment_by_name("nobody has this"))

with mlflow.start_run() as active:
    id = active.info.run_id
    see("begun", [active.info.status, active.info.run_name])
    mlflow.log_param("alpha", 0.03)
    mlflow.log_params({"l1": 1, "text": "a b"})
    mlflow.log_param("alpha", 0.03)
    refused("changed param", lambda: client.log_param(id, "alpha", "0.04"))
    refused("bad name", lambda: client.log_param(id, "a\nb", "1"))
    refused("bad path", lambda: client.log_param(id, "../x", "1"))
    for step in range(3):
        mlflow.log_metric("mse", 3.0 / (step + 1), step=step)
    mlflow.log_metrics({"nan": math.nan, "inf": math.inf, "minus": -math.inf})
    mlflow.log_metric("back", 1.0, step=5)
    mlflow.log_metric("back", 2.0, step=1)
    client.log_batch(
        id,
        metrics=[Metric("many", float(n), 1_700_000_000_000 + n, n) for n in range(900)],
        params=[Param("p", "1")],
        tags=[RunTag("t", "1")],
    )
    mlflow.set_tag("stage", "dev")
    mlflow.set_tags({"a": 1, "b": "2"})
    mlflow.delete_tag("a")
    refused("no tag", lambda: mlflow.delete_tag("a"))
    with open("local.txt", "w") as file:
        file.write("local\n")
    open("empty.txt", "w").close()
    mlflow.log_artifact("local.txt")
    mlflow.log_artifact("empty.txt", "sub dir")
    os.makedirs("tree/below", exist_ok=True)
    for place in ["tree/one.txt", "tree/below/two.txt"]:
        with open(place, "w") as file:
            file.write(place)
    mlflow.log_artifacts("tree", "tree")
    mlflow.log_text("a text", "texts/ä.txt")
    mlflow.log_dict({"k": [1, 2]}, "d.json")
    mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json") if "pandas" in sys.argv else None
    see("during", run(client.get_run(id)))

    with mlflow.start_run(nested=True, run_name="child", tags={"kind": "inner"}) as child:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("of the child", "c.txt")
        see("parent", child.data.tags["mlflow.parentRunId"] == id)
    see("child", {k: v for k, v in run(client.get_run(child.info.run_id)).items() if k != "tags"})
    see("child artifacts", [f.path for f in client.list_artifacts(child.info.run_id)])

    try:
        with mlflow.start_run(nested=True, run_name="fails"):
            raise ValueError("no")
    except ValueError:
        pass

found = client.search_runs([active.info.experiment_id], filter_string="metrics.loss < 1 and tags.kind = 'inner'")
see("found", [r.info.run_name for r in found])
found = client.search_runs([active.info.experiment_id], "attributes.status = 'FAILED'")
see("failed", [r.info.run_name for r in found])
found = client.search_runs([active.info.experiment_id], "tags.kind = 'none'")
see("nothing found", len(found))
refused("bad filter", lambda: client.search_runs([active.info.experiment_id], "metrics.loss <"))
see("series", [series(id, name) for name in ["mse", "nan", "inf", "minus", "back"]])
see("many", len(series(id, "many")))
see("no series", series(id, "nothing"))
see("after", run(client.get_run(id)))
see("listed", [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(id)])
see("listed below", [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(id, "tree")])
see("listed nowhere", [f.path for f in client.list_artifacts(id, "nowhere")])
folder = client.download_artifacts(id, "tree")
see("downloaded", open(os.path.join(folder, "below", "two.txt")).read())
see("loaded", mlflow.artifacts.load_text(f"{active.info.artifact_uri}/texts/ä.txt"))
refused("no run", lambda: client.get_run("0" * 32))
see("active experiments", sorted(e.name for e in client.search_experiments(filter_string="name = 'diabetes'")))

with open(sys.argv[1], "w") as file:
    json.dump(seen, file, indent=1, sort_keys=True)
