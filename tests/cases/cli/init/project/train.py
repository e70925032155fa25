import argparse
import json

parser = argparse.ArgumentParser()
parser.add_argument("--data", default="data/raw.csv")
parser.add_argument("--alpha", type=float, default=0.03)
parser.add_argument("--out", default="model.json")
arguments = parser.parse_args()
json.dump({"alpha": arguments.alpha}, open(arguments.out, "w"))
