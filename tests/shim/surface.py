"""What a script may call, as a job of amlrun: started by tests/shim.rs with a tracking folder, and inputs."""
import io
import os
import sys
import threading

import azureml.core
from azureml.core import Dataset, Datastore, Environment, Experiment, Model, Run, ScriptRunConfig, Workspace, get_run
from azureml.core.authentication import ServicePrincipalAuthentication
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.dataset import Dataset as SameDataset
from azureml.core.experiment import Experiment as SameExperiment
from azureml.core.model import Model as SameModel
from azureml.core.run import Run as SameRun
from azureml.core.runconfig import RunConfiguration
from azureml.core.workspace import Workspace as SameWorkspace
from azureml.data import FileDataset, TabularDataset
from azureml.data.data_reference import DataReference
from azureml.exceptions import AzureMLException, ModelPathNotFoundException, UserErrorException

assert (Run, Dataset, Experiment, Model, Workspace) == (SameRun, SameDataset, SameExperiment, SameModel, SameWorkspace)
assert azureml.core.VERSION and "Run" in dir(azureml.core)


def refused(kind, what, *words):
    try:
        what()
    except kind as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, (missing, str(error))
        return
    raise AssertionError("not refused: {}".format(words))


run = Run.get_context()
assert run.id == "r1" and run.experiment.name == "train" and run.experiment.workspace.name == "project"
assert run.parent is None and run.get_status() == "Running" and run.name == "train[alpha=1]"
assert Run.get_context(allow_offline=False) == run and get_run(run.experiment, "r1") == run

# Scalars: of numpy's kind, with steps, texts; what is no single value is refused.


class Numpyish(object):
    size = 1

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


run.log("mse", 1.5)
run.log("mse", float("nan"))
run.log(name="mse", value=Numpyish(2.5), description="a number")
run.log("step", 7, step=40)
run.log("one", Numpyish([3]))
run.log("flag", True)
run.log("text", "hello \ud800 é\n")
for wrong in ([1], (1,), (n for n in [1]), Numpyish([1, 2])):
    refused(UserErrorException, lambda: run.log("wrong", wrong), "log_list")
refused(UserErrorException, lambda: run.log("", 1), "name")
metrics = run.get_metrics()
assert metrics["mse"][0] == 1.5 and metrics["mse"][1] != metrics["mse"][1] and metrics["mse"][2] == 2.5
assert (metrics["step"], metrics["one"], metrics["flag"]) == (7, 3, 1) and metrics["text"].startswith("hello")

# Lists, rows, tables.
run.log_list("list", [1, 2.5, float("-inf"), "a"])
run.log_list("list", Numpyish([3, 4]).tolist())
assert run.get_metrics("list") == {"list": [1, 2.5, float("-inf"), "a", 3, 4]}
refused(UserErrorException, lambda: run.log_list("list", "abc"), "list")
run.log_row("once", x=1, y="a")
run.log_row("rows", "with a description", x=1, y=2)
run.log_row("rows", x=3, y=4)
run.log_table("table", {"a": Numpyish([1, 2]), "b": range(2)})
metrics = run.get_metrics()
assert metrics["once"] == {"x": 1, "y": "a"} and metrics["rows"] == {"x": [1, 3], "y": [2, 4]}
assert metrics["table"] == {"a": [1, 2], "b": [0, 1]}
refused(UserErrorException, lambda: run.log_table("t", {"a": [1, 2], "b": [1]}), "length", "a 2", "b 1")
refused(UserErrorException, lambda: run.log_table("t", [1]), "dict")
refused(UserErrorException, lambda: run.log_row("t"), "columns")

# Shapes, as dict and as text.
run.log_confusion_matrix("cm", {"schema_type": "confusion_matrix", "schema_version": "1.0.0", "data": {"class_labels": ["a"], "matrix": [[1]]}})
run.log_accuracy_table("at", '{"schema_type": "accuracy_table", "data": {}}')
run.log_residuals("res", {"schema_type": "residuals", "data": {}})
run.log_predictions("pred", {"schema_type": "predictions", "data": {}})
assert run.get_metrics("at")["at"]["schema_type"] == "accuracy_table"
refused(UserErrorException, lambda: run.log_residuals("res", "{"), "JSON")

# Images: a file, a stream, a figure.


class Figure(object):
    def savefig(self, path, format):
        with open(path, "wb") as file:
            file.write(b"\x89PNG" + format.encode())


class Pyplot(object):
    def gcf(self):
        return Figure()


with open("picture.jpg", "wb") as file:
    file.write(b"jpg")
run.log_image("a picture", path="picture.jpg")
run.log_image("fig", plot=Figure())
run.log_image("fig", plot=Pyplot())
run.log_image("stream", path=io.BytesIO(b"png"))
refused(UserErrorException, lambda: run.log_image("none"), "path", "plot")
refused(UserErrorException, lambda: run.log_image("both", "picture.jpg", Figure()), "path", "plot")
refused(UserErrorException, lambda: run.log_image("no", plot=3), "matplotlib")
assert run.get_metrics("fig") == {"fig": "fig_2.png"}

# Tags and properties.
run.tag("k", "v")
run.tag("only")
run.set_tags({"k": "w", "gone": 1})
run.remove_tags(["gone"])
assert run.get_tags() == run.tags == {"k": "w", "only": None}
run.add_properties({"p": 1})
run.add_properties({"p": "1"})
refused(UserErrorException, lambda: run.add_properties({"q": "1", "p": "2"}), "do not change")
assert run.get_properties() == run.properties == {"p": "1"}
run.display_name = "shown"
run.description = "said"
assert (run.display_name, run.description, run.get_tags()) == ("shown", "said", {"k": "w", "only": None})

# Children.
children = run.create_children(count=3)
assert [child.tags["azureml.batch_child_number"] for child in children] == ["0", "1", "2"]
colours = run.create_children(tag_key="colour", tag_values=["red", "blue"])
assert [child.tags["colour"] for child in colours] == ["red", "blue"]
refused(UserErrorException, lambda: run.create_children(), "count")
refused(UserErrorException, lambda: run.create_children(tag_key="a"), "tag_values")
refused(UserErrorException, lambda: run.create_children(count=1, tag_key="a", tag_values=["b"]), "count")
refused(UserErrorException, lambda: run.create_children(count=101), "100")
with run.child_run("inner", run_id="mine") as child:
    child.log("mse", 9)
    with child.child_run() as grandchild:
        grandchild.log("deep", 1)
    assert grandchild.parent == child and child.parent == run and child.get_status() == "Running"
    child.upload_file("f.txt", io.BytesIO(b"of the child"))
assert child.get_status() == "Completed" and child.name == "inner"
refused(UserErrorException, lambda: run.child_run(run_id="mine"), "already")
refused(UserErrorException, lambda: run.child_run(run_id="../x"), "id")
try:
    with run.child_run("broken") as broken:
        raise ValueError("no data")
except ValueError:
    details = broken.get_details()
    assert details["status"] == "Failed" and details["error"]["error"]["message"] == "ValueError: no data", details
refused(AzureMLException, broken.wait_for_completion, "no data")
assert len(list(run.get_children())) == 7 and len(list(run.get_children(recursive=True))) == 8
assert next(iter(run.get_children())) == broken
assert list(run.get_children(tags={"colour": "red"})) == [colours[0]]
assert run.get_metrics(recursive=True)["mine"] == {"mse": 9}
refused(UserErrorException, lambda: Run.get(None, "other"), "amlrun runs show other")
details = run.get_details()
assert {"runId", "target", "status", "startTimeUtc", "properties", "inputDatasets", "logFiles"} <= set(details)

# A run in the process, as notebooks do.
workspace = Workspace.from_config(auth=ServicePrincipalAuthentication("t", "p", "s"))
experiment = Experiment(workspace=workspace, name="by-hand")
with experiment.start_logging(snapshot_directory=None) as logged:
    logged.log("alpha", 0.03)
assert logged.parent == run and logged.experiment.name == "by-hand"
refused(UserErrorException, lambda: Experiment(workspace, "-x"), "letter")

# Files.
os.makedirs("outputs/sub")
for name in ("outputs/model.pkl", "outputs/sub/b.txt", "loose.txt"):
    with open(name, "w") as file:
        file.write(name)
run.upload_file("kept/loose.txt", "loose.txt")
run.upload_files(["one", "two"], ["loose.txt", "loose.txt"])
run.upload_folder("folder", "outputs")
refused(AzureMLException, lambda: run.upload_file("kept/loose.txt", "loose.txt"), "Conflict")
for name in ("../x", "/", "a//b", ""):
    refused(UserErrorException, lambda: run.upload_file(name, "loose.txt"), "name")
refused(UserErrorException, lambda: run.upload_file("no", "missing.txt"), "missing.txt")
names = run.get_file_names()
assert {"kept/loose.txt", "one", "two", "folder/model.pkl", "folder/sub/b.txt", "outputs/model.pkl"} <= set(names), names
assert child.get_file_names() == ["f.txt"]
run.download_file("kept/loose.txt", "back/loose.txt")
child.download_file("f.txt", "back/")
run.download_files(prefix="folder", output_directory="all", append_prefix=False)
assert open("back/loose.txt").read() == "loose.txt" and open("back/f.txt").read() == "of the child"
assert sorted(os.listdir("all")) == ["model.pkl", "sub"]
refused(UserErrorException, lambda: run.download_file("nowhere"), "nowhere", "kept/loose.txt")

# Models.
model = run.register_model("ridge", "outputs/model.pkl", tags={"a": 1}, model_framework=Model, description="best")
assert (model.name, model.version, model.run_id) == ("ridge", 1, "r1")
assert run.register_model(model_name="ridge", model_path="outputs/").version == 2
assert Model.register(workspace, "loose.txt", "text").id == "text:1"
refused(ModelPathNotFoundException, lambda: run.register_model("nothing"), "nothing")
assert open(Model.get_model_path("text")).read() == "loose.txt"
assert Model.get_model_path("data-set") == os.path.abspath("table.csv")
refused(AzureMLException, lambda: Model.get_model_path("unknown"), "inputs", "unknown")
assert [found.id for found in Model.list(workspace)] == ["text:1", "ridge:2", "ridge:1"]

# Inputs.
data = Dataset.get_by_name(workspace, "data-set")
assert run.input_datasets["data_set"] == data == os.path.abspath("table.csv") and isinstance(data, (TabularDataset, FileDataset))
assert open(data).read() == "a,b\n1,2\n" and data.to_path() == ["/table.csv"]
assert workspace.datasets["data_set"] == data and data.as_named_input("x").as_mount() == data
folder = Dataset.File.from_files("outputs")
with folder.mount() as mounted:
    assert sorted(os.listdir(mounted.mount_point)) == ["model.pkl", "sub"]
assert len(folder.download("copied")) == 2
refused(UserErrorException, lambda: Dataset.get_by_name(workspace, "none"), "inputs = { none")
refused(UserErrorException, lambda: Dataset.Tabular.from_delimited_files("https://example.com/a.csv"), "inputs")
refused(UserErrorException, lambda: Dataset.File.from_files((Datastore.get(workspace, "s"), "far")), "inputs")
assert Datastore.get(workspace, "s").path("folder/data_set.csv") == data
refused(UserErrorException, lambda: workspace.get_default_datastore().upload("x"), "inputs", "outputs")
assert run.output_datasets == {"made": os.path.abspath("made")}

# Secrets.
assert run.get_secret("api-key") == run.get_secrets(["api-key"])["api-key"] == "s3cret"
assert workspace.get_default_keyvault().get_secret("API_KEY") == "s3cret"
refused(UserErrorException, lambda: run.get_secret("other-key"), "OTHER_KEY", "secrets")

# What only drives the service can be named, and says what to do when it is used.
for what, word in (
    (lambda: ScriptRunConfig(source_directory=".", script="a.py"), "experiments"),
    (lambda: Environment("x"), "environments"),
    (lambda: Environment.get(workspace, "x"), "environments"),
    (lambda: ComputeTarget.create(workspace, "x", None), "targets"),
    (lambda: AmlCompute.provisioning_configuration(), "targets"),
    (lambda: CondaDependencies.create(), "packages"),
    (lambda: RunConfiguration(), "Amlfile"),
    (lambda: DataReference(None), "inputs"),
    (lambda: experiment.submit(None), "amlrun init"),
    (lambda: run.submit_child(None), "Amlfile"),
    (lambda: run.take_snapshot("."), "snapshot"),
    (lambda: workspace.add_private_endpoint(None), "service"),
):
    refused(UserErrorException, what, word)
assert not hasattr(Environment, "whatever") and not isinstance(run, Environment)

# Threads and processes write whole lines.
threads = [threading.Thread(target=lambda: [run.log("many", n) for n in range(200)]) for _ in range(4)]
[thread.start() for thread in threads]
child_process = os.fork()
if child_process == 0:
    [run.log("many", n) for n in range(200)]
    os._exit(0)
[thread.join() for thread in threads]
os.waitpid(child_process, 0)
assert len(run.get_metrics("many")["many"]) == 1000

os.chdir("/")
assert run.get_file_names() == sorted(set(names) | {"models/text/loose.txt"}), "files are where the job began"
run.fail("by hand", "Code")
assert run.get_status() == "Failed"
run.complete()
sys.stdout.write("all of it\n")
