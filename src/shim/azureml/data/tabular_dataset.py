"""Kinds of datasets."""
from azureml.core.dataset import TabularDataset  # noqa: F401
