"""Not here: this needs the service."""
from azureml.core._absent import absent

LinkedService = absent("LinkedService", "amlrun links no services")
SynapseWorkspaceLinkedServiceConfiguration = absent("SynapseWorkspaceLinkedServiceConfiguration", "amlrun links no services")
