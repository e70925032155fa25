"""Compute is declared in the Amlfile."""
from azureml.core._absent import absent

_INSTEAD = "declare the machine under [targets.NAME] in the Amlfile, and name it as `target`"

ComputeTarget = absent("ComputeTarget", _INSTEAD)
AmlCompute = absent("AmlCompute", _INSTEAD)
ComputeInstance = absent("ComputeInstance", _INSTEAD)
RemoteCompute = absent("RemoteCompute", _INSTEAD)
HDInsightCompute = absent("HDInsightCompute", _INSTEAD)
DatabricksCompute = absent("DatabricksCompute", _INSTEAD)
DataFactoryCompute = absent("DataFactoryCompute", _INSTEAD)
BatchCompute = absent("BatchCompute", _INSTEAD)
AksCompute = absent("AksCompute", _INSTEAD)
KubernetesCompute = absent("KubernetesCompute", _INSTEAD)
SynapseCompute = absent("SynapseCompute", _INSTEAD)
