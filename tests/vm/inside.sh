#!/bin/bash
# Runs in a virtual machine that scripts/test-kernels has booted: puts files that are read often on the disk that it
# brought, and runs tests. The machine ends with this script.
# inside.sh BOOT RESULTS OUTPUT PYTHON SITE-PACKAGES STDLIB TESTS [PYTEST OPTIONS]
boot=$1 results=$2 output=$3 python=$4 site=$5 stdlib=$6
shift 6
exec >"$output" 2>&1
checkout=$(cd "$(dirname "$0")/../.." && pwd)
ip link set lo up

disk=/run/netprobe-disk
modprobe virtio_blk && modprobe ext4
mkdir -p "$disk"
for _ in $(seq 1000); do [ -b /dev/vda ] && break; sleep 0.1; done
mount -o noatime /dev/vda "$disk" || exit 3
mount --bind "$disk/site" "$site" && mount --bind "$disk/stdlib" "$stdlib" || exit 3
for part in "$disk"/checkout/*; do
    mount --bind "$part" "$checkout/${part##*/}" || exit 3
done

# Tests that are not root import from there as well.
for folder in "$stdlib" "$site" "$checkout"; do
    while [ "$folder" != / ]; do chmod a+rx "$folder" 2>/dev/null; folder=${folder%/*}; folder=${folder:-/}; done
done

export NETPROBE_VM=$boot NETPROBE_VM_RESULTS=$results NETPROBE_VM_DISK=$disk
export NETPROBE_REQUIRE_KERNEL=1 NETPROBE_TEST_PATIENCE=20
export LD_LIBRARY_PATH=$disk/libraries PYTHONPATH=$checkout:$checkout/tests/vm PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
cd "$checkout" || exit 3
exec "$python" -m pytest -o addopts= -o testpaths= -ra --import-mode=importlib -p no:cacheprovider \
    -p telling "$@"
