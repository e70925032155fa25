"""Models: registered with the run, by a path among what it leaves."""
import os

from azureml.core import _journal


class Model(object):
    """A model of this job, or an input that is one."""

    def __init__(self, workspace=None, name=None, id=None, tags=None, properties=None, version=None, run_id=None,
                 model_framework=None, expand=True, _path=None, **_options):
        self.workspace = workspace
        if name is None and id is not None:
            name, _, version = id.partition(":")
        self.name = name
        self.version = int(version) if version else 1
        self.id = "{}:{}".format(name, self.version)
        self.tags = dict(tags or {})
        self.properties = dict(properties or {})
        self.run_id = run_id or _journal.root_id()
        self.model_framework = model_framework
        self.description = _options.get("description")
        self._path = _path

    @staticmethod
    def register(workspace, model_path, model_name, tags=None, properties=None, description=None, datasets=None,
                 model_framework=None, model_framework_version=None, child_paths=None, sample_input_dataset=None,
                 sample_output_dataset=None, resource_configuration=None):
        """Registers a file or folder of this machine with the job's run."""
        from azureml.core.run import Run

        run = Run.get_context()
        return run._register(model_name, run._take_model(model_name, model_path), tags, properties, description, model_framework,
                             model_framework_version, workspace)

    @staticmethod
    def get_model_path(model_name, version=None, _workspace=None):
        """A model that this job registered, or an input of that name."""
        from azureml.core.dataset import declared, input_path

        own = [entry for entry in _journal.entries() if entry.get("model") == model_name]
        path = (_find(own[-1].get("run"), own[-1]["path"]) if own else None) or input_path(model_name)
        if path is None:
            from azureml.exceptions import ModelNotFoundException

            raise ModelNotFoundException(
                'no model "{0}": this job registered none of that name, and the experiment has no input named so (it has: {1}); '
                'declare inputs = {{ {0} = "PATH" }}'.format(model_name, ", ".join(declared()) or "none")
            )
        return path

    @staticmethod
    def list(workspace, name=None, tags=None, properties=None, run_id=None, latest=False, **_options):
        found = []
        for entry in _journal.entries():
            if "model" in entry and name in (None, entry["model"]) and run_id in (None, entry.get("run") or _journal.root_id()):
                version = 1 + sum(model.name == entry["model"] for model in found)
                found.append(Model(workspace, entry["model"], tags=entry.get("tags"), version=version, _path=entry["path"],
                                   run_id=entry.get("run")))
        return found[::-1]

    def download(self, target_dir=".", exist_ok=False, exists_ok=None):
        import shutil

        child = None if self.run_id == _journal.root_id() else self.run_id
        path = _find(child, self._path) if self._path else Model.get_model_path(self.name)
        to = os.path.join(target_dir, os.path.basename(path))
        if os.path.exists(to) and not (exist_ok or exists_ok):
            from azureml.exceptions import WebserviceException

            raise WebserviceException("{} is there already; say exist_ok=True".format(to))
        os.makedirs(target_dir, exist_ok=True)
        if os.path.isdir(path):
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(path, to)
        else:
            shutil.copyfile(path, to)
        return to

    def __repr__(self):
        return "Model(name={}, id={}, version={}, tags={}, properties={})".format(
            self.name, self.id, self.version, self.tags, self.properties
        )

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        from azureml.exceptions import NotHere

        raise NotHere("Model.{} needs the Azure Machine Learning service; `amlrun models` tells of models".format(name))


def _find(child, path):
    """Where the bytes of a model are: among the artifacts, or where the job left them."""
    for candidate in (_journal.artifact(child, path), os.path.join(_journal.START, path)):
        if os.path.exists(candidate):
            return candidate
    return None
