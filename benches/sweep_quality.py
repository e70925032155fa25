"""The quality of the search: `bayesian` against Optuna's TPE and against `random`, with the same budget; `asha` against
Optuna's pruner.

    python3 -m venv venv && venv/bin/pip install optuna scikit-learn
    venv/bin/python benches/sweep_quality.py            # a table for docs/sweeps.md
    venv/bin/python benches/sweep_quality.py --policies # another one

The samplers are asked over benches/sweep.rs (`--server`: how to start it). Regret is the distance of the best point that was
proposed from the minimum; of the noisy task, the distance of the chosen point's error, measured over many splits, from
the least that any sweep found. Median over the seeds, quartiles in brackets.

Policies are asked about learning curves that are made up: they fall by a power of the epoch to where they end, noisily; those
that end lowest do not always begin lowest. The same trials for all, in the same order, as many at once as there are slots.
Regret is the distance of the best trial that came to its end from the best there was; beside it stands the share of all
epochs that was spent.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import warnings

warnings.filterwarnings("ignore")


class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **said):
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def branin(p, _):
    x, y = p["x"], p["y"]
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    return (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10


A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def hartmann(p, _):
    x = [p[f"x{i}"] for i in range(6)]
    alpha = [1.0, 1.2, 3.0, 3.2]
    inner = (sum(a * (v - q) ** 2 for a, v, q in zip(A[i], x, P[i])) for i in range(4))
    return -sum(weight * math.exp(-i) for weight, i in zip(alpha, inner))


def rosenbrock(p, _):
    x = [p[f"x{i}"] for i in range(4)]
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(3))


class Noisy:
    """The error of a support vector machine on one small random split after the other."""

    def __init__(self):
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        self.x, self.y = x[:600] / 16, y[:600]
        self.known = {}

    def error(self, p, split):
        from sklearn.model_selection import train_test_split
        from sklearn.svm import SVC

        fitted, tested, told, truth = train_test_split(
            self.x, self.y, train_size=150, test_size=150, random_state=split
        )
        model = SVC(kernel=p["kernel"], C=p["C"], gamma=p["gamma"], degree=p["degree"])
        return 1 - model.fit(fitted, told).score(tested, truth)

    def __call__(self, p, split):
        return self.error(p, split)

    def true(self, p):
        key = json.dumps(p, sort_keys=True)
        if key not in self.known:
            self.known[key] = statistics.fmean(self.error(p, 1_000_000 + split) for split in range(40))
        return self.known[key]


UNIT = {"uniform": [0, 1]}
TASKS = {
    "Branin": (branin, 0.39788735772973816, {"x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]}}),
    "Hartmann-6": (hartmann, -3.322368011415515, {f"x{i}": UNIT for i in range(6)}),
    "Rosenbrock-4": (rosenbrock, 0.0, {f"x{i}": {"uniform": [-5, 10]} for i in range(4)}),
    "SVM on digits (noisy)": (
        None,
        None,
        {
            "C": {"loguniform": [-7, 7]},
            "gamma": {"loguniform": [-9, 2]},
            "kernel": {"choice": ["rbf", "poly", "sigmoid"]},
            "degree": {"quniform": [1, 5, 1]},
        },
    ),
}


def suggest(trial, name, draw):
    (kind, arguments), = draw.items()
    if kind == "choice":
        return trial.suggest_categorical(name, arguments)
    if kind == "uniform":
        return trial.suggest_float(name, *arguments)
    if kind == "loguniform":
        return trial.suggest_float(name, math.exp(arguments[0]), math.exp(arguments[1]), log=True)
    if kind == "quniform":
        return trial.suggest_int(name, *arguments[:2], step=arguments[2])
    raise ValueError(kind)


def ours(server, sampling, objective, space, seed, trials, slots):
    """The points and their values. With several slots the trials end in another order than they began."""
    server.ask(study={"space": space, "sampling": sampling, "seed": seed})
    order, running, done = random.Random(seed), [], []
    for _ in range(trials):
        proposed = server.ask(propose=True)
        if proposed["number"] is None:
            break
        running.append(proposed)
        if len(running) == slots:
            done.append(end(server, running.pop(order.randrange(slots)), objective, seed))
    while running:
        done.append(end(server, running.pop(0), objective, seed))
    return done


def end(server, proposed, objective, seed):
    value = objective(proposed["values"], seed * 10_000 + proposed["number"])
    server.ask(tell=proposed["number"], objective=value)
    return proposed["values"], value


def optunas(objective, space, seed, trials, slots, options):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, **options))
    order, running, done = random.Random(seed), [], []

    def finish(at):
        trial, values = running.pop(at)
        value = objective(values, seed * 10_000 + trial.number)
        study.tell(trial, value)
        done.append((values, value))

    for _ in range(trials):
        trial = study.ask()
        running.append((trial, {name: suggest(trial, name, draw) for name, draw in space.items()}))
        if len(running) == slots:
            finish(order.randrange(slots))
    while running:
        finish(0)
    return done


def quality(server, options):
    import optuna

    kept = json.load(open(options.keep)) if options.keep and os.path.exists(options.keep) else {}
    ways = {
        "bayesian": lambda *a: ours(server, "bayesian", *a),
        "random": lambda *a: ours(server, "random", *a),
        f"Optuna {optuna.__version__}": lambda *a: optunas(*a, {}),
        "with `multivariate=False`": lambda *a: optunas(*a, {"multivariate": False}),
    }
    print(f"\n| task | trials | slots | {' | '.join(ways)} |\n| --- | --- | --- |{' --- |' * len(ways)}")
    for name, (objective, least, space) in TASKS.items():
        if options.only and options.only not in name:
            continue
        noisy = objective or Noisy()
        for trials in options.trials:
            results = {}
            for way, search in ways.items():
                key = f"{name} {trials} {options.slots} {way} {options.seeds}"
                if way in ("bayesian",) or key not in kept:
                    found = []
                    for seed in range(options.seeds):
                        done = search(noisy, space, seed, trials, options.slots)
                        values, value = min(done, key=lambda one: one[1])
                        found.append(noisy.true(values) if least is None else value - least)
                    kept[key] = found
                results[way] = kept[key]
            if least is None:
                best = min(min(found) for key, found in kept.items() if key.startswith(name))
                results = {way: [value - best for value in found] for way, found in results.items()}
            cells = []
            for found in results.values():
                low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
                cells.append(f"{middle:.3g} ({low:.2g} to {high:.2g})")
            print(f"| {name} | {trials} | {options.slots} | {' | '.join(cells)} |", flush=True)
            if options.keep:
                with open(options.keep, "w") as file:
                    json.dump(kept, file)


EPOCHS = 81


def curves(seed, trials, noise):
    """What trials log, epoch by epoch, and where each ends without the noise."""
    r, all = random.Random(seed), []
    for _ in range(trials):
        end, start, speed = r.random() ** 2, 2 + r.random(), 10 ** r.uniform(-0.5, 0.2)
        clean = [end + (start - end) * (epoch + 1) ** -speed for epoch in range(EPOCHS)]
        all.append(([value + r.gauss(0, noise) for value in clean], clean[-1]))
    return all


def raced(all, seed, slots, begin, log, end):
    """Runs trials side by side; answers with the regret and the share of the epochs that was spent."""
    order, running, spent, ended, left = random.Random(seed), [], 0, [], list(range(len(all)))
    while running or left:
        while left and len(running) < slots:
            running.append((begin(), left.pop(0), 0))
        at = order.randrange(len(running))
        trial, number, epoch = running.pop(at)
        values, final = all[number]
        stopped = log(trial, epoch, values[epoch])
        spent += 1
        if stopped or epoch + 1 == EPOCHS:
            end(trial, values[epoch], bool(stopped))
            if not stopped:
                ended.append(final)
        else:
            running.append((trial, number, epoch + 1))
    return min(ended) - min(final for _, final in all), spent / (len(all) * EPOCHS)


def our_race(server, policy, all, seed, slots):
    server.ask(study={"space": {"x": UNIT}, "sampling": "random", "seed": seed, "policy": {policy: [1, 3, EPOCHS]}})
    return raced(
        all,
        seed,
        slots,
        lambda: server.ask(propose=True)["number"],
        lambda trial, _, value: server.ask(log=trial, value=value)["stopped"],
        lambda trial, value, _: server.ask(tell=trial, objective=value),
    )


def optunas_race(pruner, all, seed, slots):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=f"race-{seed}", sampler=optuna.samplers.RandomSampler(seed), pruner=pruner)

    def log(trial, epoch, value):
        trial.report(value, epoch + 1)
        return trial.should_prune()

    pruned = optuna.trial.TrialState.PRUNED

    def end(trial, value, stopped):
        study.tell(trial, **({"state": pruned} if stopped else {"values": value}))

    return raced(all, seed, slots, study.ask, log, end)


def policies(server, options):
    from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

    ways = {
        "asha": lambda *a: our_race(server, "asha", *a),
        "Optuna, SuccessiveHalvingPruner": lambda *a: optunas_race(
            SuccessiveHalvingPruner(min_resource=1, reduction_factor=3), *a
        ),
        "hyperband": lambda *a: our_race(server, "hyperband", *a),
        "Optuna, HyperbandPruner": lambda *a: optunas_race(
            HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3), *a
        ),
    }
    print(f"\n| noise | trials | slots | {' | '.join(ways)} |\n| --- | --- | --- |{' --- |' * len(ways)}")
    for noise in (0.0, 0.05, 0.2):
        for trials in options.trials:
            cells = []
            for race in ways.values():
                found = [
                    race(curves(seed, trials, noise), seed, options.slots) for seed in range(options.seeds)
                ]
                regrets, spent = zip(*found)
                low, middle, high = statistics.quantiles(regrets, n=4, method="inclusive")
                cells.append(f"{middle:.2g} ({low:.2g} to {high:.2g}), {100 * statistics.median(spent):.0f} %")
            print(f"| {noise} | {trials} | {options.slots} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="cargo bench -q --bench sweep", help="starts benches/sweep.rs")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--policies", action="store_true", help="`asha` and `hyperband` in the place of the samplers")
    parser.add_argument("--only", help="tasks with this in their name")
    parser.add_argument("--keep", help="a file that keeps the results of the others, so that only `bayesian` is measured anew")
    options = parser.parse_args()
    (policies if options.policies else quality)(Server(options.server.split()), options)


if __name__ == "__main__":
    sys.exit(main())
