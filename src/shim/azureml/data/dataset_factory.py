"""Ways to make datasets."""
from azureml.core.dataset import _File as FileDatasetFactory, _Tabular as TabularDatasetFactory  # noqa: F401
