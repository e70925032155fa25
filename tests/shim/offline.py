"""A script that nobody records."""
from azureml.core import Run

run = Run.get_context()
assert run.id.startswith("OfflineRun_")
run.log("mse", 1.0)
run.log("mse", 2, step=1)
run.log("where", "here")
run.log_list("l", [1, 2, float("nan")])
run.log_row("r", x=1, y="a")
run.log_table("t", {"a": [1, 2]})
run.log_residuals("res", {"schema_type": "residuals"})
run.log_predictions("pred", {"a": 1})
run.log_accuracy_table("acc", "{}")
run.log_confusion_matrix("cm", {"a": 1})
run.log_image("img", path="x.png")
run.tag("k", "v")
run.tag("only")
run.set_tags({"a": "b"})
run.add_properties({"a": "b"})
run.upload_file("n", "p")
run.upload_files(["n"], ["p"])
run.upload_folder("n", "p")
run.fail("why", "code")
run.complete()
run.cancel()
assert run.child_run("x").id == run.id + ".x"
for missing in ("create_children", "get_metrics", "experiment", "parent"):
    try:
        getattr(run, missing)
        raise SystemExit(missing + " is there")
    except AttributeError as error:
        assert "amlrun" in str(error)
try:
    Run.get_context(allow_offline=False)
    raise SystemExit("there is no run")
except Exception as error:
    assert "amlrun" in str(error)
