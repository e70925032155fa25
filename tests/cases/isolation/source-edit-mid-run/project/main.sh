hold gate
. ./second.sh
