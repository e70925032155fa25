"""Ways to sign in. There is nothing to sign in to: they can be made and are not used."""


class AbstractAuthentication(object):
    """What a script hands to `Workspace.from_config(auth=…)`."""

    def __init__(self, *_arguments, **_options):
        pass

    def get_authentication_header(self):
        from azureml.exceptions import AuthenticationException

        raise AuthenticationException("a job of amlrun signs in to no service; pass what it needs by `secrets` in the Amlfile")

    get_token = get_authentication_header


class InteractiveLoginAuthentication(AbstractAuthentication):
    pass


class AzureCliAuthentication(AbstractAuthentication):
    pass


class ServicePrincipalAuthentication(AbstractAuthentication):
    pass


class MsiAuthentication(AbstractAuthentication):
    pass


class TokenAuthentication(AbstractAuthentication):
    pass
