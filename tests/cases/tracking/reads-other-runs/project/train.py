from ask import OWN, ask, runs_where

ask("runs/log-metric", run_id=OWN, key="mse", value=3.5, timestamp=0)
own = runs_where(f"attributes.run_id = '{OWN}'")
within = runs_where(f"tags.mlflow.parentRunId = '{OWN}'")
with open("own.txt", "w") as out:
    print(len(own), len(within), file=out)
