"""Runs of scripts, as the service shows them."""
from azureml.core._absent import absent

ScriptRun = absent("ScriptRun", "`amlrun runs list` and `amlrun runs show` tell of runs")
