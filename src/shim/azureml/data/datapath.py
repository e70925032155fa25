"""Paths in a datastore."""
from azureml.core._absent import absent

DataPath = absent("DataPath", "declare the file or folder under `inputs` of the experiment in the Amlfile")
