"""``ncps-mlx tune FILE.toml``: search, train the best configuration anew, write a predictor."""

from __future__ import annotations

import argparse
import inspect
import statistics
import sys
from pathlib import Path

from ncps_mlx._commands.job_file import HELP, RUN, STUDY, Job, errors_name_keys, read_job
from ncps_mlx._utils.toml import to_toml
from ncps_mlx.data import Task
from ncps_mlx.search import Study
from ncps_mlx.training import evaluate
from ncps_mlx.training._hyperparameters import check_config, complete_config

__all__ = ["add_arguments", "run"]

STOPPED = 130  # exit status after Ctrl-C, as shells have it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.epilog = f"FILE.toml:\n\n{HELP}"
    parser.add_argument("file", metavar="FILE.toml", type=Path, help="what to tune; see below")
    parser.add_argument("--print-config", action="store_true", help="write the file with every default, train nothing")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    """Tune; return the exit status, 130 if it was stopped."""
    try:
        job = read_job(arguments.file)
        keys = {"model": [*job.sections["model"], "class"], "space": job.sections["space"], "search": STUDY | RUN}
        with errors_name_keys(keys):
            study = Study(task=job.task, **job.study)
        with errors_name_keys({"final": job.changes}):  # before anything is trained
            some = study.space.sample(lambda _, values: values.bounds()[0])
            config = complete_config(study.config.model, study.config.with_defaults(some) | dict(job.changes))
            check_config(job.task, study.config.model, config)
        if arguments.print_config:
            print(_completed(job, study))
            return 0
        _tune(job, study, progress=not arguments.quiet)
    except KeyboardInterrupt:
        again = "" if job.study["storage"] is None else " Call it again to go on."
        print(f"Stopped.{again}", file=sys.stderr)
        return STOPPED
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _tune(job: Job, study: Study, *, progress: bool) -> None:
    """Search, report, train the best anew, score it on the test split and save it."""
    task = job.task
    print(task)
    with errors_name_keys({"search": RUN}):
        study.run(progress=progress, **job.run)
    print(study.summary())
    predictor = study.best.train(task, seeds=job.seeds, progress=progress, **job.changes)
    unit = f" {task.units}" if task.units else ""
    groups = () if task.test.group is None else set(task.test.group.tolist())
    for by, count in (("group", len(groups)), ("seed", len(predictor.seeds))):
        if count > 1:  # an interval is of several
            print(f"test {task.metric} by {by}: {predictor.score(task, by=by)}{unit}, n = {count}")
    score = statistics.fmean(evaluate(list(predictor.models), task))
    if len(predictor.seeds) == 1:
        print(f"test {task.metric}: {score:.4g}{unit}")
    _print_baselines(task, score)
    predictor.save(job.output)
    print(f"saved {job.output}")
    if predictor.table is not None:
        print(f"Predict a table with: ncps-mlx predict {job.output} TABLE.csv")


def _print_baselines(task: Task, score: float) -> None:
    """Print the scores of classical methods, and which of them is no worse than the models' mean score."""
    try:
        scores = task.baselines()
    except ValueError:  # a task without
        return
    print(f"test {task.metric} of the baselines: {', '.join(f'{name} {each:.4g}' for name, each in scores.items())}")
    best = (max if task.higher_is_better else min)(scores, key=scores.__getitem__)
    if scores[best] == score or (scores[best] > score) == task.higher_is_better:
        print(f"No better than a baseline: {best}. When to expect that: `Is a CfC worth it?`, a page of the guide.")


def _completed(job: Job, study: Study) -> str:
    """The job as TOML, every default written out."""
    config = study.config
    fixed = {name: value for name, value in config.fixed.items() if not isinstance(value, dict)}  # no wiring's matrix
    search = {
        name: job.sections["search"].get(name, parameter.default)
        for function in (Study, Study.run)
        for name, parameter in inspect.signature(function).parameters.items()
        if name in STUDY | RUN
    }
    trials = None if config.sampler == "grid" else config.trials
    steps = {"steps": fixed["steps"]} if "steps" in fixed else {}
    return to_toml(
        {
            "data": job.data,
            "model": {"class": job.study["model"]} | fixed,
            "space": job.sections["space"],
            "search": search | {"storage": job.study["storage"], "name": study.name, "trials": trials},
            "final": {"seeds": job.seeds, "output": str(job.output), **steps, **job.changes},
        }
    )
