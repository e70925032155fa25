"""Autolog, logged and registered models, tables, figures, images and inputs, with full mlflow."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient
from sklearn.linear_model import Ridge

client = MlflowClient()
rng = np.random.default_rng(0)
x = rng.normal(size=(60, 3))
y = x @ np.array([1.0, 2.0, 3.0]) + 0.5

mlflow.sklearn.autolog(log_datasets=True)
with mlflow.start_run() as run:
    Ridge(alpha=0.4).fit(x, y)
mlflow.sklearn.autolog(disable=True)

with mlflow.start_run(run_name="by hand") as hand:
    model = Ridge(alpha=0.1).fit(x, y)
    info = mlflow.sklearn.log_model(model, name="ridge", input_example=x[:2])
    version = mlflow.register_model(info.model_uri, "diabetes-ridge")
    mlflow.log_table({"a": [1, 2]}, "table.json")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    mlflow.log_figure(figure, "plot.png")
    mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "image.png")
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [1.0]}), name="frame"), context="training")
    mlflow.log_metric("of-model", 0.5, step=2, model_id=info.model_id)
client.set_registered_model_alias("diabetes-ridge", "champion", version.version)
by_alias = client.get_model_version_by_alias("diabetes-ridge", "champion")
found = client.search_model_versions("name='diabetes-ridge'")
names = [model.name for model in client.search_registered_models()]
registered = mlflow.sklearn.load_model("models:/diabetes-ridge@champion")
logged = client.get_logged_model(info.model_id)
loaded = mlflow.sklearn.load_model(info.model_uri)
by_run = client.get_run(run.info.run_id)
by_hand = client.get_run(hand.info.run_id)
volatile = {"mlflow.log-model.history", "mlflow.autologging", "estimator_class", "mlflow.source.name", "mlflow.user"}
seen = {
    "params": by_run.data.params,
    "metrics": sorted(by_run.data.metrics),
    "tags": sorted(set(by_run.data.tags) - volatile),
    "datasets": [d.dataset.name for d in by_run.inputs.dataset_inputs],
    "outputs": len(by_run.outputs.model_outputs),
    "hand outputs": len(by_hand.outputs.model_outputs),
    "hand datasets": [[d.dataset.name, d.dataset.digest] for d in by_hand.inputs.dataset_inputs],
    "registered": [names, [[v.name, v.version] for v in found], by_alias.version, list(by_alias.aliases)],
    "registered predicts": [round(float(v), 6) for v in registered.predict(x[:2])],
    "model metrics": [[m.key, m.value, m.step, m.run_id == hand.info.run_id] for m in logged.metrics],
    "version": [version.name, version.version, version.status],
    "model": [info.name, client.get_logged_model(info.model_id).status.value],
    "predicts": [round(float(v), 6) for v in loaded.predict(x[:2])],
    "files": sorted(f.path for f in client.list_artifacts(hand.info.run_id)),
    "model files": sorted(f.path for f in mlflow.artifacts.list_artifacts(info.model_uri)),
}
with open(sys.argv[1], "w") as file:
    json.dump(seen, file, indent=1, sort_keys=True)
