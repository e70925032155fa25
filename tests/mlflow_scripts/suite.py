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


def version(of):
    return [of.version, of.current_stage, of.description, dict(sorted(of.tags.items())), sorted(of.aliases)]


def newest(name):
    return [version(v) for v in client.get_registered_model(name).latest_versions]


client.create_registered_model("suite")
see("no versions", [newest("suite"), client.get_latest_versions("suite")])
for tags in [{"by": "hand"}, {}, {}]:
    client.create_model_version("suite", f"{active.info.artifact_uri}/tree", run_id=id, tags=tags)
see("staged", version(client.transition_model_version_stage("suite", "1", "staging")))
see("produced", version(client.transition_model_version_stage("suite", "2", "Production")))
see("newest", newest("suite"))
see("newest in production", [version(v) for v in client.get_latest_versions("suite", ["production"])])
archived = client.transition_model_version_stage("suite", "3", "Production", archive_existing_versions=True)
see("archived", [version(archived), version(client.get_model_version("suite", "2"))])
see("newest of all", sorted(version(v) for v in client.get_latest_versions("suite")))
see("newest of two", [version(v) for v in client.get_latest_versions("suite", ["None", "Staging"])])
refused("no stage", lambda: client.transition_model_version_stage("suite", "1", "Shelf"))
refused("no such stage", lambda: client.get_latest_versions("suite", ["Shelf"]))
refused("no version", lambda: client.transition_model_version_stage("suite", "9", "Staging"))
refused("no model", lambda: client.get_latest_versions("nobody has this"))
see("described", version(client.update_model_version("suite", "1", description="the first")))
client.set_model_version_tag("suite", "1", "checked", "yes")
client.set_model_version_tag("suite", "1", "by", "script")
client.set_model_version_tag("suite", "2", "gone", "soon")
client.delete_model_version_tag("suite", "2", "gone")
client.delete_model_version_tag("suite", "2", "was never there")
client.set_registered_model_alias("suite", "champion", "1")
see("tagged", [version(client.get_model_version("suite", n)) for n in ["1", "2", "3"]])
see("by tag", [v.version for v in client.search_model_versions("name = 'suite' and tags.checked = 'yes'")])
refused("no tag of none", lambda: client.set_model_version_tag("suite", "9", "k", "v"))

with open(sys.argv[1], "w") as file:
    json.dump(seen, file, indent=1, sort_keys=True)
