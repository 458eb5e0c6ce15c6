"""``ncps-mlx tune FILE.toml``: search, train the best configuration anew, write a predictor."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

from ncps_mlx._commands.job_file import HELP, RUN, STUDY, Job, read_job
from ncps_mlx._utils.toml import to_toml
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
        study = Study(task=job.task, **job.study)
        some = study.space.sample(lambda _, values: values.bounds()[0])
        config = complete_config(study.config.model, study.config.with_defaults(some) | dict(job.changes))
        check_config(job.task, study.config.model, config)  # before anything is trained
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
    print(study.run(progress=progress, **job.run).summary())
    predictor = study.best.train(task, seeds=job.seeds, progress=progress, **job.changes)
    unit = f" {task.units}" if task.units else ""
    groups = () if task.test.group is None else set(task.test.group.tolist())
    for by, count in (("group", len(groups)), ("seed", len(predictor.seeds))):
        if count > 1:  # an interval is of several
            print(f"test {task.metric} by {by}: {predictor.score(task, by=by)}{unit}, n = {count}")
    if len(predictor.seeds) == 1:
        print(f"test {task.metric}: {evaluate(predictor.models[0], task):.4g}{unit}")
    try:
        beside = ", ".join(f"{name} {value:.4g}" for name, value in task.baselines().items())
        print(f"test {task.metric} of the baselines: {beside}")
    except ValueError:  # a task without
        pass
    predictor.save(job.output)
    print(f"saved {job.output}")
    if predictor.table is not None:
        print(f"Predict a table with: ncps-mlx predict {job.output} TABLE.csv")


def _completed(job: Job, study: Study) -> str:
    """The job as TOML, every default written out."""
    config = study.config
    fixed = {name: value for name, value in config.fixed.items() if not isinstance(value, dict)}  # no wiring's matrix
    return to_toml(
        {
            "data": job.sections["data"],
            "model": {"class": job.study["model"]} | fixed,
            "space": job.sections["space"],
            "search": {
                name: job.sections["search"].get(name, parameter.default)
                for function in (Study, Study.run)
                for name, parameter in inspect.signature(function).parameters.items()
                if name in STUDY | RUN
            } | {"name": study.name, "trials": None if config.sampler == "grid" else config.trials},
            "final": {"seeds": job.seeds, "output": str(job.output), **job.changes},
        }
    )
