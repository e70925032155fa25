"""What `get_metrics` gives, made from the lines of a run."""
from azureml.core._values import decoded


def metrics(lines, wanted=None):
    """By name: a scalar that was logged once as it is and as a list else, a list as a list, rows and tables as a dict of
    columns, an image as the name of its artifact, the other shapes as what was logged."""
    scalars, shapes = {}, {}
    order = []
    for line in lines:
        if "metric" in line:
            name, kind = line["metric"], "scalar"
        elif "log" in line:
            name, kind = line.get("name"), line["log"]
        else:
            continue
        if wanted is not None and name != wanted:
            continue
        value = decoded(line.get("value"))
        if name not in order:
            order.append(name)
        if kind == "scalar":
            shapes.pop(name, None)
            scalars.setdefault(name, []).append(value)
        elif kind == "list":
            before = shapes.get(name)
            shapes[name] = (before if isinstance(before, list) else []) + value
        elif kind in ("row", "table"):
            before = shapes.get(name)
            shapes[name] = _joined(before if isinstance(before, dict) else {}, value)
        else:
            shapes[name] = value
    found = {}
    for name in order:
        if name in shapes:
            value = shapes[name]
            found[name] = _columns(value) if isinstance(value, _Table) else value
        else:
            found[name] = scalars[name][0] if len(scalars[name]) == 1 else scalars[name]
    return found


class _Table(dict):
    """Columns, each a list."""


def _joined(before, row):
    table = _Table({name: list(column) for name, column in before.items()})
    for name, value in row.items():
        table.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return table


def _columns(table):
    return {name: column[0] if len(column) == 1 else column for name, column in table.items()}
