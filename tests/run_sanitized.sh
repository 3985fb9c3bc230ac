#!/usr/bin/env bash
# Runs tests on a build of our code with AddressSanitizer and UndefinedBehaviorSanitizer: run_sanitized.sh [PYTEST_ARGUMENT...]
# The build (CMake's IMPACT_SANITIZE) lies in build/sanitize, and so do the packages, links to those of .venv but for ours.
# torch, ITK and Python are not instrumented: what they leave for the end of the process is not looked at.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=".venv/bin/python"
build="build/sanitize"
PATH="$PWD/.venv/bin:$PATH" cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -DNDEBUG" -DIMPACT_SANITIZE=ON -DIMPACT_TESTS=ON "-DPython_EXECUTABLE=$PWD/$python" >"$build.log" 2>&1 ||
  { cat "$build.log"; exit 1; }
PATH="$PWD/.venv/bin:$PATH" cmake --build "$build" --parallel ${SANITIZE_JOBS:+"$SANITIZE_JOBS"}

installed="$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
site="$PWD/$build/site"
rm -rf "$site"
mkdir -p "$site"
ln -s "$installed"/* "$site"
rm "$site"/impact_plugin "$site"/impact_testing* "$site"/itk_elastix.libs "$site"/itk
# Folders on whose own path the linker's search rests.
mkdir "$site"/impact_plugin "$site"/itk_elastix.libs "$site"/itk
ln -s "$installed"/itk/* "$site/itk"
ln -s "$installed"/itk_elastix.libs/* "$site/itk_elastix.libs"
cp -r src/python/impact_plugin/. "$site/impact_plugin"
rm "$site/itk_elastix.libs/libImpactMetric.so"
PATH="$PWD/.venv/bin:$PATH" cmake --install "$build" --prefix "$site" >/dev/null
PATH="$PWD/.venv/bin:$PATH" cmake --install "$build" --component testing --prefix "$site" >/dev/null

compiler="${CXX:-c++}"
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)"
export PYTHONPATH="$site" PYTHONDONTWRITEBYTECODE=1 OMP_WAIT_POLICY=passive
# The sanitizer opens libraries in elastix's stead, and so does not look where elastix's search path points to.
export LD_LIBRARY_PATH="$site/itk_elastix.libs"
# Models that divide by zero or want an exabyte get what they get elsewhere: a signal, an exception. Leaks: tests/test_leaks.py.
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1:handle_sigfpe=0:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
# An image of 15 TB is refused by SimpleITK's own new, which the sanitizer ends the process for.
exec "$python" -m pytest -p no:cacheprovider --deselect "tests/test_hostile_images.py::test_headers[size below zero]" "$@"
