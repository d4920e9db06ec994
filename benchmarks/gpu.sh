#!/bin/sh
# A campaign on a bare computer with one GPU: its packages, the speed of every system, then trainings in order of value.
#
#   OUT=results sh benchmarks/gpu.sh PACK [MINUTES [PROBE_SECONDS [further options of mmfer train]]]
#
# MINUTES (12) hold for all of it; the same command goes on afterwards if OUT/../campaign is kept. PROBE_SECONDS (20) are
# spent on each system before the first training: 0 where the time is short.
#
#   PARAMS     a ready set of `mmfer params` (comparison_gpu) or a file
#   ORDER      its list of trainings, else docs/params/orders/PARAMS.yaml
#   PROCESSES  that share the list (1); several share the GPU by NVIDIA's MPS, where nvidia-cuda-mps-control is there
#   ZIP_FIRST  number of the first zip that is written (0)
#
# Packages that are missing are taken from wheels in the folder `wheels` beside this repository's files, if it is there.
# OUT gets campaign.csv, log.txt and at most six zips of 15 MiB for `mmfer unpack`, renewed after each training. Where more
# are needed a line says so: the same command with MINUTES 0, which trains nothing, ZIP_FIRST=6 and another OUT brings them.
set -u
pack=${1:?usage: OUT=FOLDER sh benchmarks/gpu.sh PACK [MINUTES [PROBE_SECONDS [OPTIONS]]]}
minutes=${2:-12} probe=${3:-20}
[ $# -gt 3 ] && shift 3 || shift $#
out=${OUT:?set OUT to the folder for results}
root=$(cd "$(dirname "$0")/.." && pwd)
work=${WORK:-$(dirname "$out")/campaign}
python=${PYTHON:-python3}
params=${PARAMS:-comparison_gpu} processes=${PROCESSES:-1}
[ "$minutes" = 0 ] && processes=1 probe=0
mkdir -p "$out" "$work"
out=$(cd "$out" && pwd) work=$(cd "$work" && pwd) pack=$(cd "$(dirname "$pack")" && pwd)/$(basename "$pack")
export PYTHONPATH="$work/site:$root"
cd "$root" || exit 2

check() {
  "$python" - <<'PY'
import importlib.util, platform, sys
needed = ("torch numpy pandas pyarrow yaml pydantic numba cv2 safetensors scipy tqdm typer joblib").split()
missing = [name for name in needed if importlib.util.find_spec(name) is None]
print("python", platform.python_version(), "missing:", *(missing or ["nothing"]), flush=True)
sys.exit(1 if missing else 0)
PY
}

start_mps() {
  CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d) # a short path, for the sockets in it
  CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
  export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  if nvidia-cuda-mps-control -d; then
    trap 'echo quit | nvidia-cuda-mps-control > /dev/null' EXIT
    trap 'exit 143' INT TERM
    echo "MPS shares the GPU"
  else
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
}

{
  if ! check; then
    for wheel in wheels/*.whl; do
      [ -e "$wheel" ] && "$python" -m zipfile -e "$wheel" "$work/site" && echo "opened $wheel"
    done
    check || { echo "error: put wheels of what is missing into $root/wheels, for this Python; then run it again"; exit 2; }
  fi
  "$python" - <<'PY'
import torch
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: the CPU is used"
print("torch", torch.__version__, "CUDA", torch.version.cuda, "GPU", gpu, flush=True)
PY
  [ "$processes" -gt 1 ] && command -v nvidia-cuda-mps-control > /dev/null && start_mps
  train() {
    "$python" -u -m mmfer train "$pack" --params "$params" --order "${ORDER:-docs/params/orders/$params.yaml}" \
      --out "$work" --minutes "$minutes" --weights float16 "$@"
  }
  zipped() {
    train --zips "$out" --zip-mib 15 --zip-count 6 --zip-first "${ZIP_FIRST:-0}" "$@"
  }
  number=1
  while [ "$number" -lt "$processes" ]; do
    train --probe 0 "$@" 2>&1 | sed -u "s/^/process $number: /" &
    number=$((number + 1))
  done
  zipped --probe "$probe" "$@"
  code=$?
  wait # the others may have finished models since
  zipped --probe 0 --minutes 0 "$@" 2>&1 | grep -v "the time is over"
  echo "exit code $code"
} 2>&1 | tee -a "$out/log.txt"
[ "$(tail -n 1 "$out/log.txt")" = "exit code 0" ]
