"""Not here: this needs the service."""
from azureml.core._absent import absent

Webservice = absent("Webservice", "amlrun trains models; take the model with `amlrun runs` and serve it elsewhere")
