"""Not here: this needs the service."""
from azureml.core._absent import absent

ContainerRegistry = absent("ContainerRegistry", "name the image under [environments.NAME], key docker, in the Amlfile")
