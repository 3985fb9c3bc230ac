#!/usr/bin/env bash
# Builds the plugin against the torch of a machine with a GPU, checks the GPU's results against the CPU's and measures:
#
#   benchmarks/gpu.sh [OPTION...]     all of it; the options are those of benchmarks/gpu.py (--help)
#   benchmarks/gpu.sh pack            packs what a machine without a network needs into out/gpu-kit, some 70 MB, after a
#                                     build (make install). There, with this source tree and that folder in its place,
#                                     the first form fetches nothing.
#
# Needs a C++17 compiler, Python with its headers, and torch 2.13 and numpy in it (PYTHON, python3 by default). Without
# them, and with a network, pip installs them. Everything is written below out/gpu; the machine's own packages stay as they are.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
kit=${IMPACT_GPU_KIT:-$root/out/gpu-kit}
work=$root/out/gpu
needed=(numpy "SimpleITK>=2.4" "click>=8.1" "msgspec>=0.19" "tomlkit>=0.12" "tqdm>=4.66") # of the plugin, beside torch
tools=("scikit-build-core>=0.11" "pybind11>=2.13" "cmake>=3.24" "ninja>=1.11")
export PIP_CONSTRAINT=$root/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH

if [[ ${1-} == pack ]]; then
  python=$root/.venv/bin/python
  [[ -x $python ]] || { echo "There is no build to pack: run make install first." >&2; exit 1; }
  mkdir -p "$kit/wheels"
  builds=("$root"/build/*/elastix-0.25.2/impact_host.cmake)
  "$python" "$root/benchmarks/pack_headers.py" "$(dirname "$(dirname "${builds[0]}")")" "$kit/headers" --host elastix-0.25.2 --ninja "$root/.venv/bin/ninja"
  "$python" -m pip download --quiet --no-deps --dest "$kit/wheels" itk-elastix==0.25.3
  "$python" -m pip download --quiet --dest "$kit/wheels" "${tools[@]}"
  testing=$("$python" "$root/cmake/obtain_sources.py" --print-data)
  (cd "$testing" && tar cf - Data/3DCT_lung_{baseline,followup}.mha Data/3DCT_lung_baseline_landmarks.txt \
    Data/transformparameters.3DCT_lung.affine.txt Data/M730_1_Layers.pt Data/parameters.3D.IMPACT.bspline.ASGD.00[12].txt \
    Baselines/3DCT_lung_groundtruth_point.txt) | (mkdir -p "$kit/Testing" && tar xf - -C "$kit/Testing")
  du -sh "$kit"
  exit 0
fi

# An environment that sees the packages of the machine's Python, its torch among them, and takes new ones itself.
"$python" -m venv "$work/venv" || "$python" -m virtualenv --quiet "$work/venv"
own=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(next(iter(s.submodule_search_locations)) if s else "")')
if [[ -n $torch ]]; then
  dirname "$torch" > "$own/machine.pth"
  ln -sfn "$torch" "$own/torch" # the plugin looks for torch's libraries beside itself
fi
pip() { "$work/venv/bin/python" -m pip "$@"; }
from=()
headers=()
if [[ -d $kit ]]; then
  echo "gpu.sh: without a network, from $kit"
  from=(--no-index --find-links "$kit/wheels")
  headers=("--config-settings=cmake.define.IMPACT_HEADERS_DIR=$kit/headers")
  data=$kit/Testing
fi
[[ -n $torch ]] || pip install --quiet "${from[@]}" "torch==2.13.*"
pip install --quiet "${from[@]}" "${needed[@]}"
pip install --quiet "${from[@]}" "${tools[@]}"
pip install --quiet "${from[@]}" --no-deps --ignore-installed itk-elastix==0.25.3 # it must lie beside the plugin, too
PATH=$work/venv/bin:$PATH
echo "gpu.sh: building against torch $("$work/venv/bin/python" -c 'import torch; print(torch.__version__)')"
rm -rf "$work/dist"
pip wheel --quiet --no-deps --no-build-isolation "--config-settings=build-dir=$work/build" --config-settings=cmake.define.IMPACT_TESTS=ON "${headers[@]}" \
  --wheel-dir "$work/dist" "$root"
pip install --quiet --no-deps --no-index --force-reinstall "$work"/dist/*.whl
cmake --install "$work/build" --component testing \
  --prefix "$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" >/dev/null
data=${data:-$("$work/venv/bin/python" "$root/cmake/obtain_sources.py" --print-data)}
exec "$work/venv/bin/python" "$root/benchmarks/gpu.py" "$data" "$@"
