"""How a script is run is declared in the Amlfile."""
from azureml.core._absent import absent

_INSTEAD = "declare it under [experiments.NAME] in the Amlfile (`amlrun init` reads SDK scripts and .runconfig files)"

RunConfiguration = absent("RunConfiguration", _INSTEAD)
DataReferenceConfiguration = absent("DataReferenceConfiguration", "`inputs` of the experiment in the Amlfile")
DockerConfiguration = absent("DockerConfiguration", "`docker` of the environment in the Amlfile")
MpiConfiguration = absent("MpiConfiguration", "`distributed` of the experiment in the Amlfile")
PyTorchConfiguration = absent("PyTorchConfiguration", "`distributed` of the experiment in the Amlfile")
TensorflowConfiguration = absent("TensorflowConfiguration", "`distributed` of the experiment in the Amlfile")
DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.1-cudnn8-ubuntu20.04"
