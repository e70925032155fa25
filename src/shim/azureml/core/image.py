"""Not here: this needs the service."""
from azureml.core._absent import absent

Image = absent("Image", "containers are declared under [environments.NAME] in the Amlfile")
