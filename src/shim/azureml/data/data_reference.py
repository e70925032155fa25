"""References to data of a datastore."""
from azureml.core._absent import absent

DataReference = absent("DataReference", "declare the file or folder under `inputs` of the experiment in the Amlfile")
