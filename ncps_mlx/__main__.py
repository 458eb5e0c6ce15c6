"""The command line: ``ncps-mlx COMMAND``, or ``python -m ncps_mlx COMMAND``."""

from __future__ import annotations

import argparse
import importlib
import sys

from ncps_mlx import __version__
from ncps_mlx._commands.info import info

__all__ = ["info", "main"]

COMMANDS = {
    "tune": "train what a TOML file describes: search, final models, a file to predict with",
    "report": "write what a study found to one HTML file: summary, figures, numbers",
    "predict": "predict a table with a saved predictor, to a table",
    "worker": "take part in a study until it is done; the storage holds all that is needed",
    "reproduce": "measure a claim of the guide again on fresh seeds, beside what is recorded of it",
    "info": "versions, device, BLAS and its speed, layers in C, advice",
}
"""The commands, each a module of :mod:`ncps_mlx._commands`, with what they do."""

WRONG_USE = 2  # exit status, as argparse has it
EXAMPLES = """\
examples:
  ncps-mlx tune sensors.toml
  ncps-mlx report sensors.db sensors --output report.html
  ncps-mlx predict sensors.safetensors readings.csv --output predictions.csv
  ncps-mlx worker sensors.db sensors
  ncps-mlx reproduce depth-residual

`ncps-mlx COMMAND --help` says what a command takes.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="ncps-mlx",
        description="Tune liquid neural networks on MLX.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ncps-mlx {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    wanted = next((each for each in given if each in COMMANDS), None)
    for name, about in COMMANDS.items():
        added = commands.add_parser(
            name, help=about, description=f"{about}.", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == wanted:  # the others, and what they import, are not needed
            module = importlib.import_module(f"ncps_mlx._commands.{name}")
            module.add_arguments(added)
    parsed = parser.parse_args(given)
    if parsed.command is None:
        parser.print_help()
        return WRONG_USE
    status: int = module.run(parsed)
    return status


if __name__ == "__main__":
    sys.exit(main())
