"""Environments are declared in the Amlfile."""
from azureml.core._absent import absent

_INSTEAD = "declare the software under [environments.NAME] in the Amlfile (`amlrun init` reads SDK scripts and proposes it)"

Environment = absent("Environment", _INSTEAD)
DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.1-cudnn8-ubuntu20.04"
