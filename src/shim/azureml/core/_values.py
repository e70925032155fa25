"""Values as they are logged: what numpy, pandas and the deep-learning frameworks hold becomes plain."""
import math

_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def user_error(text):
    from azureml.exceptions import UserErrorException

    return UserErrorException(text)


def plain(value):
    """A Python value of JSON's kinds; numbers that JSON lacks stay numbers here (see `encoded`)."""
    if value is None or isinstance(value, (bool, int, float, str)):
        # Subclasses, as of numpy.float64, become the plain thing.
        for kind in (bool, int, float, str):
            if isinstance(value, kind):
                return kind(value)
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # numpy, torch, tensorflow, pandas, jax: what they have in common.
    for name in ("detach", "numpy", "tolist"):
        step = getattr(value, name, None)
        if callable(step):
            try:
                value = step()
            except Exception:  # noqa: B902, of another library; the next way is tried
                continue
            if isinstance(value, (bool, int, float, str, list)):
                return plain(value)
    if hasattr(value, "__iter__"):
        return [plain(item) for item in value]
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def scalar(name, value):
    """One number, or one text."""
    if isinstance(value, (list, tuple, set, frozenset, range)) or hasattr(value, "__next__"):
        raise user_error("the metric {!r} is no single value but a {}: use log_list".format(name, type(value).__name__))
    found = plain(value)
    while isinstance(found, list) and len(found) == 1 and getattr(value, "size", None) in (1, ()):
        found = found[0]
    if isinstance(found, list):
        raise user_error("the metric {!r} has {} values: use log_list".format(name, len(found)))
    return str(found) if isinstance(found, dict) else found


def sequence(name, value):
    """A list of values."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        raise user_error("log_list takes a list of values; {!r} is a {}".format(name, type(value).__name__))
    found = plain(value)
    return found if isinstance(found, list) else [found]


def name_of(name):
    """The name of a metric."""
    if not isinstance(name, str) or not name:
        raise user_error("the name of a metric is a text that is not empty, not {!r}".format(name))
    return name


def encoded(value):
    """With texts in place of the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, dict):
        return {key: encoded(item) for key, item in value.items()}
    return value


def decoded(value):
    """The other way round."""
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    return value
