# Runs inside network, mount and process namespaces of its own: tgtd on $1, then iscsi-test-cu, whose
# suites are the other arguments, and whose output is ours.
set -eu
file=$1
shift
ip link set lo up
mount -t tmpfs none /run
mkdir -p /run/tgtd
tgtd -f -C 77 --iscsi portal=127.0.0.1:3260 >/dev/null 2>&1 &
for _ in $(seq 1000); do
    tgtadm -C 77 --op show --mode sys >/dev/null 2>&1 && break
    sleep 0.02
done
name=iqn.2026-01.test:disk
tgtadm -C 77 --lld iscsi --op new --mode target --tid 1 -T $name
tgtadm -C 77 --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b "$file"
tgtadm -C 77 --lld iscsi --op bind --mode target --tid 1 -I ALL
for suite in "$@"; do
    timeout 40 iscsi-test-cu -d -v -t "ALL.$suite" iscsi://127.0.0.1:3260/$name/1 2>&1 || true
done
