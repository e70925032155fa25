#!/bin/sh
. ./lib/tool.sh
tool > out.txt
