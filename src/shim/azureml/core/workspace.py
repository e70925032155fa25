"""The workspace: the project that amlrun runs, or what a `config.json` names."""
import os


class Workspace(object):
    """A name, and the inputs, secrets and runs of the job."""

    def __init__(self, subscription_id=None, resource_group=None, workspace_name=None, auth=None, **_options):
        self._subscription_id = subscription_id
        self._resource_group = resource_group
        self._name = workspace_name

    @classmethod
    def _own(cls):
        from azureml.core import _journal

        try:
            found = cls.from_config(_journal.START)
        except Exception:  # noqa: B902, a broken file of the service is no matter here
            found = cls(None, None, None)
        found._name = os.environ.get("AZUREML_ARM_WORKSPACE_NAME") or found._name or "workspace"
        return found

    @staticmethod
    def from_config(path=None, auth=None, _logger=None, _file_name=None):
        """From a `config.json` here or above; the project of the Amlfile where there is none."""
        start = os.path.abspath(path or os.curdir)
        if os.path.isfile(start):
            return _read(start)
        names = [_file_name] if _file_name else ["config.json", "project.json"]
        folder = start
        while True:
            for inside in (".azureml", "aml_config", ""):
                for name in names:
                    file = os.path.join(folder, inside, name)
                    if os.path.isfile(file):
                        return _read(file)
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
        if os.environ.get("AZUREML_ARM_WORKSPACE_NAME"):
            return Workspace(None, None, os.environ["AZUREML_ARM_WORKSPACE_NAME"])
        from azureml.exceptions import UserErrorException

        raise UserErrorException("no config.json was found in {} or above, and the script was not started by amlrun".format(start))

    @staticmethod
    def get(name, auth=None, subscription_id=None, resource_group=None, **_options):
        return Workspace(subscription_id, resource_group, name)

    def write_config(self, path=None, file_name=None):
        import json

        folder = os.path.join(path or os.curdir, ".azureml")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, file_name or "config.json"), "w") as file:
            json.dump({"Id": None, "Scope": self._scope()}, file)

    def _scope(self):
        return "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}".format(
            self._subscription_id, self._resource_group, self._name
        )

    @property
    def name(self):
        return self._name

    @property
    def subscription_id(self):
        return self._subscription_id

    @property
    def resource_group(self):
        return self._resource_group

    @property
    def location(self):
        return "local"

    @property
    def tags(self):
        return {}

    def get_details(self):
        return {"id": self._scope(), "name": self._name, "location": self.location, "workspaceid": self._name}

    @property
    def datasets(self):
        from azureml.core.dataset import Dataset

        return Dataset.get_all(self)

    @property
    def models(self):
        from azureml.core.model import Model

        return {model.name: model for model in reversed(Model.list(self))}

    @property
    def experiments(self):
        from azureml.core.experiment import Experiment

        return {experiment.name: experiment for experiment in Experiment.list(self)}

    @property
    def datastores(self):
        from azureml.core.datastore import Datastore

        class Named(dict):
            def __missing__(named, name):
                return Datastore(self, name)

        return Named()

    compute_targets = environments = webservices = images = linked_services = property(lambda self: {})

    def get_default_datastore(self):
        from azureml.core.datastore import Datastore

        return Datastore(self)

    def get_default_keyvault(self):
        from azureml.core.keyvault import Keyvault

        return Keyvault(self)

    def get_run(self, run_id):
        from azureml.core.run import Run

        return Run.get(self, run_id)

    def get_mlflow_tracking_uri(self, _with_auth=False):
        """The server of amlrun, where there is one."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return os.environ["MLFLOW_TRACKING_URI"]
        return self._missing("get_mlflow_tracking_uri")

    def _missing(self, name):
        from azureml.exceptions import NotHere

        raise NotHere(
            "Workspace.{} needs the Azure Machine Learning service, which a job of amlrun does not have; "
            "what the service keeps is declared in the Amlfile".format(name)
        )

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        self._missing(name)

    def __repr__(self):
        return "Workspace.create(name={!r}, subscription_id={!r}, resource_group={!r})".format(
            self._name, self._subscription_id, self._resource_group
        )


def _read(path):
    import io
    import json

    from azureml.exceptions import UserErrorException

    try:
        with io.open(path, encoding="utf-8-sig") as file:
            found = json.load(file)
        if "Scope" in found:
            parts = found["Scope"].split("/")
            return Workspace(parts[2], parts[4], parts[8])
        return Workspace(found["subscription_id"], found["resource_group"], found["workspace_name"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserErrorException("{} names no workspace: {}: {}".format(path, type(error).__name__, error))
