"""How a script is run is declared in the Amlfile."""
from azureml.core._absent import absent

ScriptRunConfig = absent(
    "ScriptRunConfig",
    "declare the script under [experiments.NAME] in the Amlfile and run `amlrun` (`amlrun init` reads SDK scripts and proposes it)",
)
