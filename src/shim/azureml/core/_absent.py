"""Classes that only drive the service: they can be imported and named, and say what to do instead when they are used."""


def absent(name, instead):
    """A class that says so when it is made or asked for anything."""

    def refuse(what):
        from azureml.exceptions import NotHere

        raise NotHere("{} needs the Azure Machine Learning service, which a job of amlrun does not have: {}".format(what, instead))

    class Meta(type):
        def __call__(cls, *_arguments, **_options):
            refuse(cls.__name__)

        def __getattr__(cls, attribute):
            if attribute.startswith("_"):
                raise AttributeError(attribute)
            refuse("{}.{}".format(cls.__name__, attribute))

    return Meta(name, (object,), {"__doc__": "Not here: " + instead, "__slots__": ()})
