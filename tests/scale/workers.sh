#!/bin/sh
# What one machine runs: two workers for a study, until all is trained.
# workers.sh STORAGE STUDY
for number in 1 2; do
    python -m ncps_mlx worker --quiet "$1" "$2" &
done
wait
