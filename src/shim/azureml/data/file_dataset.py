"""Kinds of datasets."""
from azureml.core.dataset import FileDataset  # noqa: F401
