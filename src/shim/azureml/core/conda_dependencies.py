"""Packages are declared in the Amlfile."""
from azureml.core._absent import absent

CondaDependencies = absent("CondaDependencies", "list the packages under [environments.NAME] in the Amlfile")
