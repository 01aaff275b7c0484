#!/bin/sh
# Show what is served below a mount of ours, files with their sizes.   tree.sh DIRECTORY
set -eu
cd "$1"
echo "$1"
# A path sorts with its slashes as the lowest character, or "a-b" would stand between "a" and "a/b".
find . -mindepth 1 -printf '%P\t%d\t%y\t%s\t%f\n' |
    awk -F '\t' '{ key = $1 "/"; gsub("/", "\001", key); print key "\t" $0 }' | LC_ALL=C sort |
    awk -F '\t' '{
        name = sprintf("%*s%s", 2 * $3, "", $6)
        if ($4 == "f") printf "%-40s %14d\n", name, $5; else print name
    }'
