#!/usr/bin/env bash
# Usage: tests/run_sdist.sh PYTHON
#
# Makes the source distribution, builds a wheel of it and nothing else, and checks that wheel: `make sdist-check`. PYTHON has
# what the build requires.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m build --sdist --no-isolation --outdir "$scratch" "$root" >/dev/null
cd "$scratch"
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./impact_plugin-*.tar.gz
"$python" "$root/cmake/check_wheel.py" dist/*.whl
