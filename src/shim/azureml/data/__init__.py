"""`azureml.data`: the kinds of datasets."""
from azureml.core.dataset import FileDataset, TabularDataset  # noqa: F401
from azureml.core._absent import absent

OutputFileDatasetConfig = absent("OutputFileDatasetConfig", "declare what the script makes under `outputs` of the experiment in the Amlfile")
HDFSOutputDatasetConfig = absent("HDFSOutputDatasetConfig", "declare what the script makes under `outputs` of the experiment in the Amlfile")
DataType = absent("DataType", "read the file with pandas, which takes types")
