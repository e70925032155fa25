"""amlrun's stand-in for the Azure ML SDK v1: what a training script can call, without a service behind it.

Other folders named `azureml` on the path, which the distributions of the real SDK share, come before this one; where
they hold the real `azureml.core`, this one takes itself off. AMLRUN_AZUREML=shim turns that round.
"""
import os as _os
import sys as _sys

__version__ = "1.61.0+amlrun"


def _portions(own):
    """The folders of this package: those of the environment, then this one where it is needed."""
    candidates = [_os.path.join(entry or _os.curdir, "azureml") for entry in _sys.path if isinstance(entry, str)]
    others = [path for path in dict.fromkeys(candidates) if _os.path.isdir(path) and not _same(path, own)]
    # An installation in editable form is found by a hook only; looking for one costs more than the rest of this file.
    hooks = [finder for finder in _sys.meta_path if "editable" in type(finder).__name__.lower() or "editable" in str(getattr(finder, "__name__", "")).lower()]
    if hooks:
        from pkgutil import extend_path

        others = [path for path in extend_path([own], "azureml") if not _same(path, own)]
    if _os.environ.get("AMLRUN_AZUREML") == "shim":
        return [own] + others
    for path in others:
        if _os.path.isfile(_os.path.join(path, "core", "__init__.py")):
            _tell_real()
            return others
    return others + [own]


def _same(path, own):
    try:
        return _os.path.samefile(path, own)
    except OSError:
        return False


def _tell_real():
    """Says that the real SDK is in use: amlrun then reads what it prints."""
    folder = _os.environ.get("AMLRUN_TRACKING")
    if folder:
        try:
            open(_os.path.join(folder, "azureml-sdk"), "a").close()
        except OSError:
            pass


__path__ = _portions(_os.path.dirname(_os.path.abspath(__file__)))
