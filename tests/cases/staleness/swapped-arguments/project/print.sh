#!/bin/sh
printf "<%s>" "$@" > arguments.txt
