"""Experiments: the one that the job belongs to, and names for children."""
import os

from azureml.core import _journal


class Experiment(object):
    """An experiment of the workspace."""

    def __init__(self, workspace, name, **_options):
        import re

        if not re.match(r"^[a-zA-Z0-9][\w\-]{0,254}$", name):
            from azureml.exceptions import UserErrorException

            raise UserErrorException(
                "{!r} is no name for an experiment: letters, digits, underscores and dashes, at most 255, a letter or digit first".format(name)
            )
        self._workspace = workspace
        self._name = name
        self._tags = {}

    @classmethod
    def _own(cls):
        """The one that the Amlfile declares, whatever its name."""
        self = cls.__new__(cls)
        self._workspace = None
        self._name = os.environ.get("AZUREML_ARM_PROJECT_NAME") or os.environ.get("AMLRUN_EXPERIMENT") or "experiment"
        self._tags = {}
        return self

    @property
    def name(self):
        return self._name

    @property
    def id(self):
        return os.environ.get("AZUREML_EXPERIMENT_ID", self._name)

    @property
    def workspace(self):
        if self._workspace is None:
            from azureml.core.workspace import Workspace

            self._workspace = Workspace._own()
        return self._workspace

    workspace_object = workspace

    def start_logging(self, *_arguments, **options):
        """A run in this process: a child of the job's, or an offline one where no amlrun is."""
        from azureml.core.run import Run

        if _journal.folder() is None:
            return Run.get_context()
        return Run()._child_of(options.get("display_name") or self._name, options.get("run_id"), self)

    def get_runs(self, type=None, tags=None, properties=None, include_children=False):
        from azureml.core.run import Run

        return Run.list(self, type, tags, properties, include_children=include_children)

    def submit(self, config, tags=None, **_options):
        from azureml.exceptions import NotHere

        raise NotHere(
            "Experiment.submit needs the Azure Machine Learning service: declare the script under [experiments.NAME] in the Amlfile "
            "and run `amlrun` (`amlrun init` reads SDK scripts and proposes it)"
        )

    @property
    def tags(self):
        return dict(self._tags)

    def tag(self, key, value=None):
        self._tags[key] = value

    def set_tags(self, tags):
        self._tags.update(tags)

    def remove_tags(self, tags):
        for key in tags:
            self._tags.pop(key, None)

    def archive(self):
        pass

    def reactivate(self, new_name=None):
        pass

    def refresh(self):
        pass

    @property
    def archived_time(self):
        return None

    @staticmethod
    def list(workspace, experiment_name=None, **_options):
        own = Experiment._own()
        return [own] if experiment_name in (None, own.name) else []

    def __repr__(self):
        return "Experiment(Name: {},\nWorkspace: {})".format(self.name, self.workspace.name)
