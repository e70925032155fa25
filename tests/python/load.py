"""Loads jobs and environments offline, warnings being errors."""
import logging
import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from azure.ai.ml import load_environment, load_job
    from marshmallow.warnings import RemovedInMarshmallow4Warning

# What the package itself does with a library of its own is no one's concern here.
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=RemovedInMarshmallow4Warning)


class Loud(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            print("logged:", record.getMessage())


logging.getLogger().addHandler(Loud())
for path in sys.argv[1:]:
    load = load_environment if "/environments/" in path else load_job
    try:
        loaded = load(path)
        str(loaded)  # all of it is written out again
    except BaseException as error:
        print(f"{path}: {type(error).__name__}: {error}")
        print(open(path).read())
        sys.exit(1)
    print("loaded", path)
