#!/usr/bin/env bash
# Usage: tests/run_clean_install.sh [WHEEL [PROGRAM [ARGUMENT...]]]
#
# Installs the wheel as a user would, in a fresh virtual environment, and runs a Python program there, in an empty
# directory, with nothing of the source tree or of the caller's Python environment within reach. Without a wheel, pip
# builds one. The program is tests/programs/stock_itk.py by default, which imports only itk.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PIP_CONSTRAINT=${PIP_CONSTRAINT-$root/constraints.txt}
export PIP_BUILD_CONSTRAINT=${PIP_BUILD_CONSTRAINT-$root/build-constraints.txt}
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH LD_PRELOAD

if [[ $# -eq 0 ]]; then
  "$python" -m pip wheel --no-deps --wheel-dir "$scratch/dist" "$root"
  set -- "$scratch"/dist/*.whl
fi
wheel=$(realpath "$1")
program=$(realpath "${2:-$root/tests/programs/stock_itk.py}")
shift $(($# < 2 ? $# : 2))

echo "clean install of $(basename "$wheel")"
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"

mkdir "$scratch/empty"
cd "$scratch/empty"
"$scratch/venv/bin/impact-elastix" --version
"$scratch/venv/bin/python" -I "$program" "$@"
echo "clean install: $(basename "$program") ran"
