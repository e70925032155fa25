"""`Run`: what a training script logs, tags, leaves and asks for, told to amlrun."""
import os
import time

from azureml.core import _journal
from azureml.core._files import Files
from azureml.core._logging import Logging

_TERMINAL = ("Completed", "Failed", "Canceled")
_BEGAN = int(time.time() * 1000)
# Kept with the tags, where MLflow has them, and shown by properties of their own.
_NAME, _NOTE = "mlflow.runName", "mlflow.note.content"


def _user_error(text):
    from azureml.exceptions import UserErrorException

    return UserErrorException(text)


class Run(Logging, Files):
    """A run: the job's own, or a child of it."""

    def __init__(self, experiment=None, run_id=None, outputs=None, **_options):
        root = _journal.root_id()
        self._child = None if run_id in (None, root) else run_id
        self._experiment = experiment

    @classmethod
    def get_context(cls, allow_offline=True, used_for_context_manager=False, **_options):
        """The run that the script belongs to."""
        if _journal.folder() is not None:
            return _SubmittedRun()
        if allow_offline:
            from azureml.core._offline import _OfflineRun

            return _OfflineRun()
        from azureml.exceptions import RunEnvironmentException

        raise RunEnvironmentException("could not load the run context: start the script with amlrun, or allow_offline=True")

    get_submitted_run = get_context

    @staticmethod
    def get(workspace, run_id):
        """The job's run or one of its children; amlrun shows others on the command line."""
        run = Run(run_id=run_id)
        if run._child is not None and run._line() is None:
            raise _user_error("{!r} is no run of this job; `amlrun runs show {}` shows runs of others".format(run_id, run_id))
        return run

    @staticmethod
    def list(experiment, type=None, tags=None, properties=None, status=None, include_children=False, **_options):
        """The runs of this job, the latest first."""
        root = Run()
        runs = list(root.get_children(recursive=True, tags=tags, properties=properties, status=status))
        return (run for run in runs + ([root] if root._is(tags, properties, status) else []))

    @property
    def id(self):
        return self._child or _journal.root_id()

    @property
    def identity(self):
        return self.id

    @property
    def type(self):
        return "azureml.scriptrun" if self._child is None else "azureml.run"

    @property
    def number(self):
        if self._child is None:
            return 1
        ids = [entry["child"] for entry in _journal.entries() if "child" in entry]
        return ids.index(self._child) + 1 if self._child in ids else 1

    @property
    def experiment(self):
        from azureml.core.experiment import Experiment

        if self._experiment is None:
            self._experiment = Experiment._own()
        return self._experiment

    @property
    def parent(self):
        line = self._line()
        return None if line is None else Run(self._experiment, line.get("run"))

    @property
    def name(self):
        line = self._line()
        return self._all_tags().get(_NAME) or (line or {}).get("name") or os.environ.get("AMLRUN_JOB")

    @property
    def display_name(self):
        return self.name

    @display_name.setter
    def display_name(self, value):
        self._write(tag=_NAME, value=str(value))

    @property
    def description(self):
        return self._all_tags().get(_NOTE)

    @description.setter
    def description(self, value):
        self._write(tag=_NOTE, value=str(value))

    def _write(self, **entry):
        _journal.write(self._child, entry)

    def _line(self):
        """The line that made this child."""
        if self._child is None:
            return None
        return next((entry for entry in _journal.entries() if entry.get("child") == self._child), None)

    # Tags and properties.

    def tag(self, key, value=None):
        # A tag of null is one that was taken away; one without a value is an empty text.
        self._write(tag=str(key), value="" if value is None else str(value))

    def set_tags(self, tags):
        for key, value in tags.items():
            self.tag(key, value)

    def remove_tags(self, tags):
        for key in [tags] if isinstance(tags, str) else tags:
            self._write(tag=str(key), value=None)

    def _all_tags(self):
        found = {}
        for entry in _journal.of(self._child):
            if "tag" in entry:
                found[entry["tag"]] = entry.get("value")
        return {key: value or None for key, value in found.items() if value is not None}

    def get_tags(self):
        return {key: value for key, value in self._all_tags().items() if key not in (_NAME, _NOTE)}

    @property
    def tags(self):
        return self.get_tags()

    def add_properties(self, properties):
        """Properties are written once: a second value is refused."""
        before = self.get_properties()
        texts = {str(key): str(value) for key, value in properties.items()}
        for key, value in texts.items():
            if before.get(key, value) != value:
                raise _user_error("the property {!r} is {!r}; properties do not change (tags do)".format(key, before[key]))
        for key, value in texts.items():
            if key not in before:
                self._write(property=key, value=value)

    def get_properties(self):
        return {entry["property"]: entry.get("value") for entry in _journal.of(self._child) if "property" in entry}

    @property
    def properties(self):
        return self.get_properties()

    # Life.

    def get_status(self):
        status = "Running"
        for entry in _journal.of(self._child):
            status = entry.get("status", status)
        return status

    @property
    def status(self):
        return self.get_status()

    def start(self):
        self._write(status="Running") if self.get_status() in ("NotStarted", "Preparing") else None

    def complete(self, _set_status=True):
        self._write(status="Completed")

    def fail(self, error_details=None, error_code=None, _set_status=True):
        text = ": ".join(str(part) for part in (error_code, error_details) if part is not None)
        self._write(status="Failed", error=text)

    def cancel(self):
        self._write(status="Canceled")

    def flush(self, timeout_seconds=300):
        """Nothing waits: every call has written what it logged."""

    def wait_for_completion(self, show_output=False, wait_post_processing=False, raise_on_error=True):
        details = self.get_details()
        if details["status"] == "Failed" and raise_on_error:
            from azureml.exceptions import ActivityFailedException

            raise ActivityFailedException(details["error"]["error"]["message"])
        return details

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.get_status() not in _TERMINAL:
            if kind is None:
                self.complete()
            else:
                self.fail("{}: {}".format(kind.__name__, value))
        return False

    def get_details(self):
        began, ended, error = _BEGAN, None, None
        line = self._line()
        if line is not None:
            began = line["at"]
        for entry in _journal.of(self._child):
            if entry.get("status") in _TERMINAL:
                ended, error = entry["at"], entry.get("error")
        status = self.get_status()
        details = {
            "runId": self.id,
            "target": os.environ.get("AMLRUN_TARGET", "local"),
            "status": status,
            "startTimeUtc": _utc(began),
            "properties": self.get_properties(),
            "inputDatasets": [],
            "outputDatasets": [],
            "logFiles": {},
            "submittedBy": os.environ.get("USER", ""),
        }
        if ended is not None:
            details["endTimeUtc"] = _utc(ended)
        if status == "Failed":
            details["error"] = {"error": {"code": "UserError", "message": error or "", "details": []}}
        return details

    def get_detailed_status(self):
        return {"status": self.get_status(), "details": None}

    get_details_with_logs = get_details

    # Family.

    def child_run(self, name=None, run_id=None, outputs=None):
        return self._child_of(name, run_id)

    def _child_of(self, name, run_id=None, experiment=None):
        child = str(run_id) if run_id else "{}_{}".format(_journal.root_id(), os.urandom(6).hex())
        if not all(c.isalnum() or c in "-_" for c in child) or len(child) > 256:
            raise _user_error("{!r} is no id for a run: letters, digits, dashes and underscores, at most 256".format(child))
        if child == _journal.root_id() or any(entry.get("child") == child for entry in _journal.entries()):
            raise _user_error("there is a run {!r} already".format(child))
        entry = {"child": child}
        if name is not None:
            entry["name"] = str(name)
        self._write(**entry)
        return Run(experiment or self._experiment, child)

    def create_children(self, count=None, tag_key=None, tag_values=None):
        if count is None and tag_key is None and tag_values is None:
            raise _user_error("give either count, or tag_key and tag_values")
        if (tag_key is None) != (tag_values is None):
            raise _user_error("tag_key and tag_values go together")
        if tag_key is not None and count is not None:
            raise _user_error("give either count, or tag_key and tag_values, not all three")
        values = list(range(count)) if tag_values is None else list(tag_values)
        if len(values) > 100:
            raise _user_error("at most 100 children at once, not {}".format(len(values)))
        children = []
        for value in values:
            child = self._child_of(None)
            child.tag(tag_key or "azureml.batch_child_number", value)
            children.append(child)
        return children

    def get_children(self, recursive=False, tags=None, properties=None, type=None, status=None, **_options):
        """The latest first."""
        lines = [entry for entry in _journal.entries() if "child" in entry]
        of, found = {self._child}, []
        for line in lines:
            if line.get("run") in of:
                found.append(Run(self._experiment, line["child"]))
                if recursive:
                    of.add(line["child"])
        return (run for run in reversed(found) if run._is(tags, properties, status) and type in (None, run.type))

    def _is(self, tags, properties, status):
        def has(wanted, there):
            if wanted is None:
                return True
            wanted = {wanted: None} if isinstance(wanted, str) else wanted if isinstance(wanted, dict) else dict.fromkeys(wanted)
            return all(key in there and (value is None or there[key] == value) for key, value in wanted.items())

        return has(tags, self.get_tags()) and has(properties, self.get_properties()) and status in (None, self.get_status())

    def submit_child(self, config, tags=None, **_options):
        _refuse("submit_child", "declare the other script as an experiment of its own in the Amlfile, and what they share as files")

    # What is around it.

    @property
    def input_datasets(self):
        from azureml.core.dataset import Dataset

        return _Inputs(Dataset.get_all(None))

    @property
    def output_datasets(self):
        prefix = "AZURE_ML_OUTPUT_"
        return {name[len(prefix):]: os.path.abspath(os.path.join(_journal.START, path))
                for name, path in os.environ.items() if name.startswith(prefix)}

    def get_secret(self, name):
        from azureml.core.keyvault import Keyvault

        return Keyvault().get_secret(name)

    def get_secrets(self, secrets):
        return {name: self.get_secret(name) for name in secrets}

    def get_environment(self):
        _refuse("get_environment", "`amlrun env show` shows the environment")

    def get_snapshot_id(self):
        _refuse("get_snapshot_id", "amlrun records it: `amlrun runs show {}`".format(self.id))

    def take_snapshot(self, file_or_folder_path):
        _refuse("take_snapshot", "amlrun took the snapshot that the job runs from; more files go with upload_folder")

    def restore_snapshot(self, snapshot_id=None, path=None):
        _refuse("restore_snapshot", "`amlrun snapshot restore` does it")

    def clean(self):
        pass

    def get_all_logs(self, destination=None):
        return []

    def __eq__(self, other):
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return "Run(Experiment: {},\nId: {},\nType: {},\nStatus: {})".format(
            self.experiment.name, self.id, self.type, self.get_status()
        )


class _SubmittedRun(Run):
    """The run of the job that the script is."""


class _Inputs(dict):
    def __missing__(self, name):
        from azureml.core.dataset import Dataset

        return Dataset.get_by_name(None, name)


def get_run(experiment, run_id, rehydrate=True):
    return Run.get(None, run_id)


def _refuse(what, instead):
    from azureml.exceptions import NotHere

    raise NotHere("Run.{} needs the Azure Machine Learning service, which a job of amlrun does not have: {}".format(what, instead))


def _utc(at):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000)) + ".{:06d}Z".format(at % 1000 * 1000)
