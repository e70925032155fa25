"""Secrets: the environment variables that the experiment lists under `secrets`."""
import os


class Keyvault(object):
    """The key vault of the workspace."""

    def __init__(self, workspace=None):
        self.workspace = workspace

    def get_secret(self, name):
        """The variable of that name; as variables have no dashes, `my-key` is also looked for as `my_key` and `MY_KEY`."""
        plain = name.replace("-", "_")
        for candidate in (name, plain, plain.upper()):
            if candidate in os.environ:
                return os.environ[candidate]
        from azureml.exceptions import UserErrorException

        raise UserErrorException(
            'there is no secret "{0}": set the variable {1} where amlrun is started, and declare secrets = ["{1}"] in the experiment'.format(
                name, plain.upper()
            )
        )

    def get_secrets(self, secrets):
        return {name: self.get_secret(name) for name in secrets}

    def list_secrets(self):
        return []

    def set_secret(self, name, value):
        from azureml.exceptions import NotHere

        raise NotHere("a job of amlrun keeps no secrets: set the variable where amlrun is started, and declare it under `secrets`")

    set_secrets = delete_secret = delete_secrets = set_secret
