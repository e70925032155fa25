"""The part of `Run` that logs, and gives back what was logged."""
from azureml.core import _journal
from azureml.core._values import encoded, name_of, plain, scalar, sequence, user_error


class Logging(object):
    _steps = None

    def log(self, name, value, description="", step=None):
        """A number or a text. Without a step, values of a name count from 0."""
        name = name_of(name)
        value = scalar(name, value)
        if step is None:
            if self._steps is None:
                self._steps = {}
            step = self._steps.get(name, 0)
            self._steps[name] = step + 1
        else:
            step = int(step)
        if isinstance(value, (bool, int, float)):
            self._write(metric=name, value=encoded(value + 0), step=step)
        else:
            self._write(log="scalar", name=name, value=value, step=step)

    def log_list(self, name, value, description=""):
        self._write(log="list", name=name_of(name), value=encoded(sequence(name, value)))

    def log_row(self, name, description=None, **kwargs):
        if not kwargs:
            raise user_error("log_row takes the columns as keyword arguments: run.log_row({!r}, x=1, y=2)".format(name))
        row = {column: scalar("{}.{}".format(name, column), value) for column, value in kwargs.items()}
        self._write(log="row", name=name_of(name), value=encoded(row))

    def log_table(self, name, value, description=""):
        if not isinstance(value, dict):
            raise user_error("the table {!r} is a {}: log_table takes a dict of columns".format(name, type(value).__name__))
        table = {}
        for column, values in value.items():
            values = plain(values)
            table[str(column)] = values if isinstance(values, list) else [values]
        if len({len(values) for values in table.values()}) > 1:
            lengths = ", ".join("{} {}".format(column, len(values)) for column, values in table.items())
            raise user_error("the columns of the table {!r} are not of one length: {}".format(name, lengths))
        self._write(log="table", name=name_of(name), value=encoded(table))

    def log_confusion_matrix(self, name, value, description=""):
        self._shape("confusion_matrix", name, value)

    def log_accuracy_table(self, name, value, description=""):
        self._shape("accuracy_table", name, value)

    def log_residuals(self, name, value, description=""):
        self._shape("residuals", name, value)

    def log_predictions(self, name, value, description=""):
        self._shape("predictions", name, value)

    def _shape(self, kind, name, value):
        """JSON as a text, or the dict that it stands for; it is kept as it is, whatever of it can be drawn."""
        if isinstance(value, (str, bytes)):
            import json

            try:
                value = json.loads(value)
            except ValueError as error:
                raise user_error("log_{} of {!r}: the text is no JSON: {}".format(kind, name, error))
        value = plain(value)
        if not isinstance(value, dict):
            raise user_error("log_{} of {!r} takes a dict with schema_type, schema_version and data".format(kind, name))
        self._write(log=kind, name=name_of(name), value=encoded(value))

    def log_image(self, name, path=None, plot=None, description=""):
        """A file or a stream by `path`, or a figure of matplotlib (its `pyplot`, too) by `plot`."""
        if (path is None) == (plot is None):
            raise user_error("log_image of {!r} takes either a path or a plot".format(name))
        self._write(log="image", name=name_of(name), value=self._take_image(name, path, plot))

    def get_metrics(self, name=None, recursive=False, run_type=None, populate=False):
        """By name; with `recursive` by the ids of this run and of all below it."""
        from azureml.core._metrics import metrics

        own = metrics(_journal.of(self._child), name)
        if not recursive:
            return own
        found = {self.id: own}
        for child in self.get_children(recursive=True):
            found[child.id] = metrics(_journal.of(child._child), name)
        return found
