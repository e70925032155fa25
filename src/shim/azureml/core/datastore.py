"""Datastores are storage of the service; what a job reads from one is an input of the experiment."""


class Datastore(object):
    """A name of storage that is not here."""

    def __init__(self, workspace=None, name="workspaceblobstore", **_options):
        self.workspace = workspace
        self.name = name

    @staticmethod
    def get(workspace, datastore_name):
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace):
        return Datastore(workspace)

    def path(self, path=None, data_reference_name=None):
        """The input of that name."""
        import os

        from azureml.core.dataset import _elsewhere, _of_path, input_path

        name = data_reference_name or os.path.splitext(os.path.basename((path or "").rstrip("/")))[0]
        found = input_path(name) if name else None
        if found is None:
            _elsewhere("{!r} of the datastore {!r}".format(path, self.name))
        return _of_path(found, name)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        from azureml.exceptions import NotHere

        raise NotHere(
            "Datastore.{} needs the Azure Machine Learning service: what a job reads is declared under `inputs`, what it makes under `outputs`".format(name)
        )
