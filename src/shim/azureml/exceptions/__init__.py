"""The exceptions of the SDK, by name and kinship."""


class AzureMLException(Exception):
    """The base of all of them."""

    def __init__(self, exception_message="", inner_exception=None, **kwargs):
        super(AzureMLException, self).__init__(exception_message)
        self._exception_message = exception_message
        self._inner_exception = inner_exception

    @property
    def message(self):
        return self._exception_message

    @message.setter
    def message(self, value):
        self._exception_message = value

    @property
    def inner_exception(self):
        return self._inner_exception

    def __str__(self):
        return str(self._exception_message)


class AzureMLAggregatedException(AzureMLException):
    pass


class TrainingException(AzureMLException):
    pass


class ExperimentExecutionException(AzureMLException):
    pass


class ProjectSystemException(AzureMLException):
    pass


class SnapshotException(AzureMLException):
    pass


class RunEnvironmentException(AzureMLException):
    pass


class WorkspaceException(AzureMLException):
    pass


class WorkspacePrivateEndpointException(AzureMLException):
    pass


class ComputeTargetException(AzureMLException):
    pass


class UserErrorException(AzureMLException):
    pass


class AuthenticationException(UserErrorException):
    pass


class RunConfigurationException(AzureMLException):
    pass


class WebserviceException(AzureMLException):
    pass


class ModelNotFoundException(AzureMLException):
    pass


class ModelPathNotFoundException(AzureMLException):
    pass


class DiscoveryUrlNotFoundException(AzureMLException):
    pass


class ActivityFailedException(AzureMLException):
    """A run that was waited for has failed."""

    def __init__(self, error_details="", **kwargs):
        super(ActivityFailedException, self).__init__(error_details, **kwargs)


class ActivityCanceledException(AzureMLException):
    pass


class DatasetTimestampMissingError(AzureMLException):
    pass


class ParallelRunException(AzureMLException):
    pass


class ServiceException(AzureMLException):
    pass


class NotHere(UserErrorException, AttributeError):
    """What needs the service, and what to do instead. An AttributeError too, so that `hasattr` says no."""
