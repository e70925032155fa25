"""Reads projects with MLflow; the commands of their entry points with the parameters' defaults."""
import json
import sys

from mlflow.projects.utils import load_project

found = {}
for path in sys.argv[1:]:
    project = load_project(path)
    commands = {}
    for name, entry in project._entry_points.items():
        given = {key: "given" for key, one in entry.parameters.items() if one.default is None}
        commands[name] = entry.compute_command(given, None)
    found[path] = commands
print(json.dumps(found))
