#!/bin/sh
# PID 1 of a lab guest until the host's root is mounted; runs in the initrd, under busybox.
#
# The root is the host's own, read-only by 9p, below an overlay whose upper layer is memory: the
# guest may write anywhere and the host never sees it. /exchange goes both ways (session.sh).

PATH=/bin
die() { echo "lab guest: $1" >/dev/console; busybox reboot -f; }

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
for module in /first/*.ko; do
    insmod "$module" || die "cannot load $module"
done

p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $p9,cache=loose,ro host /host || die "cannot mount the host's root"
mount -t tmpfs -o size=50%,mode=755 writable /writable
mkdir /writable/upper /writable/work
mount -t overlay -o lowerdir=/host,upperdir=/writable/upper,workdir=/writable/work root /root ||
    die "cannot lay a writable layer over the host's root"

mount -t proc -o nosuid,nodev,noexec proc /root/proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /root/sys
mount -t devtmpfs -o nosuid devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o nosuid,nodev shm /root/dev/shm
# Sockets, locks and state below /run are the host's business, and dead here.
mount -t tmpfs -o nosuid,nodev,mode=755 run /root/run
mkdir -p /root/run/lock /root/run/lab /root/run/exchange
cp /bin/busybox /root/run/lab/busybox
mount -t 9p -o $p9,cache=none exchange /root/run/exchange || die "cannot mount the exchange folder"
cp /root/run/exchange/session.sh /root/run/exchange/environment /root/run/lab/
# Linux's own drivers for the spare devices, vfio and fuse.
for module in /later/*.ko; do
    insmod "$module" || die "cannot load $module"
done
umount /proc /dev
exec switch_root /root /run/lab/busybox sh /run/lab/session.sh
