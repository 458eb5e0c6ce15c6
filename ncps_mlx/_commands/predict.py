"""``ncps-mlx predict MODEL TABLE``: a table of predictions from a saved predictor and a table of readings."""

from __future__ import annotations

import argparse
import os
import sys

from ncps_mlx._predictor import Predictor, load
from ncps_mlx.data._frame import Frame
from ncps_mlx.data._table_file import parse_times, read_frame

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a predictor's file, as `tune` or Predictor.save() wrote it")
    table = "readings: a CSV or Parquet file with the columns that it was trained on"
    parser.add_argument("table", metavar="TABLE", help=table)
    parser.add_argument("--output", "-o", metavar="FILE.csv", help="where to write (default: to the screen)")
    parser.add_argument("--spread", action="store_true", help="add the standard deviation between its models")


def run(arguments: argparse.Namespace) -> int:
    """Predict; return the exit status."""
    try:
        predictor = load(arguments.model)
        if not isinstance(predictor, Predictor) or predictor.table is None:
            what = type(predictor).__name__
            raise ValueError(
                f"{arguments.model} must hold a predictor of a table, got a {what}. Save what record.train(task) gives."
            )
        time = predictor.table.settings.time
        frame = read_frame(arguments.table)
        readings = Frame(parse_times(frame, time, arguments.table), arguments.table)
        found = predictor.predict(readings, spread=arguments.spread)
        if time is not None:
            found[time] = frame[time]  # as the file has it, to be joined with it
        found.to_csv(sys.stdout if arguments.output is None else arguments.output, index=False)
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, ImportError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
