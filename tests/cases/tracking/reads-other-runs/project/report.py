from ask import OWN, runs_where

with open("report.txt", "w") as out:
    print(len([run for run in runs_where("") if run["info"]["run_id"] != OWN]), file=out)
