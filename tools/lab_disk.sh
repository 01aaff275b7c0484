#!/bin/sh
# Make the disk of `make up`: 64 MiB with a GPT of two partitions.  Every 64 bytes name their own
# place, so what is read through /scheme can be checked by eye.   lab_disk.sh FILE
set -eu
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps sgdisk, also from ordinary users
file=$1
echo "up: making a 64 MiB lab disk in $file"
mkdir -p "$(dirname "$file")"
trap 'rm -f "$file.new"' EXIT
awk 'BEGIN {
    for (at = 0; at < 64 * 1024 * 1024; at += 64)
        printf "redbear-host lab disk, written by make up.  Byte %014d\n", at
}' >"$file.new"
sgdisk --clear --new=1:2048:67583 --change-name=1:first --new=2:67584:0 --change-name=2:second \
    "$file.new" >/dev/null
mv "$file.new" "$file"
