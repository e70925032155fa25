"""Compute is declared in the Amlfile."""
from azureml.core.compute import ComputeTarget  # noqa: F401
from azureml.exceptions import ComputeTargetException  # noqa: F401
