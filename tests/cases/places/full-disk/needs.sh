[ "$(id -u)" = 0 ] || { echo "needs root, to mount a tmpfs"; exit 1; }
mkdir "$SANDBOX/try" && mount -t tmpfs -o size=1m none "$SANDBOX/try" 2> /dev/null || { echo "cannot mount a tmpfs here"; exit 1; }
umount "$SANDBOX/try" && rmdir "$SANDBOX/try"
