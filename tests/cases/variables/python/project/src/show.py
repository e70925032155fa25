import os
import sys

print(sys.argv[1:])
for name in sorted(os.environ):
    if name.startswith(("PYTHONP", "PYTHONH", "GREETING", "TAKEN", "CUDA", "AMLRUN_ATTEMPT", "AZURE_ML_", "FROM")):
        print(name, os.environ[name])
if os.environ["AMLRUN_ATTEMPT"] == "1":
    sys.exit(1)
with open(sys.argv[4], "w") as file:
    file.write("done\n")
