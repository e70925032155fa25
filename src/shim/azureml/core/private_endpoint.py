"""Not here: this needs the service."""
from azureml.core._absent import absent

PrivateEndPoint = absent("PrivateEndPoint", "amlrun has no network to set up")
PrivateEndPointConfig = absent("PrivateEndPointConfig", "amlrun has no network to set up")
