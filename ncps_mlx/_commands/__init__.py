"""What `ncps-mlx COMMAND` does, a file for each command: `add_arguments(parser)` and `run(arguments) -> exit status`."""
