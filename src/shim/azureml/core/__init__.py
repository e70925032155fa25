"""`azureml.core`: every name is loaded when it is asked for, so that importing the package costs next to nothing."""
import sys as _sys
import types as _types

from azureml import __version__

VERSION = __version__

_HOMES = {
    "Run": "run",
    "get_run": "run",
    "Workspace": "workspace",
    "Experiment": "experiment",
    "Dataset": "dataset",
    "Datastore": "datastore",
    "Model": "model",
    "Keyvault": "keyvault",
    "Environment": "environment",
    "ScriptRunConfig": "script_run_config",
    "ScriptRun": "script_run",
    "RunConfiguration": "runconfig",
    "ComputeTarget": "compute",
    "ContainerRegistry": "container_registry",
    "Image": "image",
    "Webservice": "webservice",
    "PrivateEndPoint": "private_endpoint",
    "PrivateEndPointConfig": "private_endpoint",
    "LinkedService": "linked_service",
    "SynapseWorkspaceLinkedServiceConfiguration": "linked_service",
}

__all__ = sorted(_HOMES)


class _Lazy(_types.ModuleType):
    # A module's own `__getattr__` came with Python 3.7; a class works before that, too.
    def __getattr__(self, name):
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError("module 'azureml.core' has no attribute {!r}".format(name))
        from importlib import import_module

        value = getattr(import_module("azureml.core." + home), name)
        setattr(self, name, value)
        return value

    def __dir__(self):
        return sorted(set(self.__dict__) | set(_HOMES))


_sys.modules[__name__].__class__ = _Lazy


def diagnostic_log(*_arguments, **_options):
    """Does nothing: there is no service whose calls could be logged."""
    from contextlib import contextmanager

    @contextmanager
    def nothing():
        yield

    return nothing()
