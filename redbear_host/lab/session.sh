# PID 1 of a lab guest once the host's root is there: sets the machine up, runs one command, and
# powers off. Runs under /run/lab/busybox, which prefers its own applets to the host's programs:
# what shall be the host's is named by its path.
#
# `environment` sets DIRECTORY and the positional parameters (the command) and exports
# what the command shall see. The command's exit status goes to /run/exchange/status.

. /run/lab/environment
exec 3>/dev/console
busybox=/run/lab/busybox

# The two streams of the command; virtio-serial ports may each be opened once, pipes as often as
# the command likes.
port() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        for path in /dev/vport*p"$1"; do
            [ -c "$path" ] && echo "$path" && return
        done
        $busybox sleep 0.1
    done
    echo "lab guest: the console port $1 did not appear" >&3
    echo /dev/console
}
$busybox mkfifo /run/lab/out /run/lab/err
$busybox cat /run/lab/out >"$(port 1)" &
out=$!
$busybox cat /run/lab/err >"$(port 2)" &
err=$!

$busybox hostname redbear-lab
$busybox ip link set lo up

(
    cd "$DIRECTORY" || exit 126
    exec /usr/bin/env -- "$@"
) </dev/null >/run/lab/out 2>/run/lab/err
status=$?

# What the command left running may hold the pipes open for ever: a moment, then no longer.
$busybox timeout 5 $busybox sh -c "while kill -0 $out || kill -0 $err; do $busybox usleep 20000; done" 2>/dev/null
echo $status >/run/exchange/status
$busybox sync
$busybox poweroff -f
